"""This user's key, by which secrets count in fingerprints that everybody may read.

A hash without a key would give short secrets away to whoever tries them all. The key lies with the
user's own files, not in an output: that may be copied, served, or lie in a public bucket.
"""

import contextlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from transforms.errors import UsageError
from transforms.storage import private
from transforms.storage.regular import IrregularError, open_unlinked

_BYTES = 32


def key_path() -> Path:
    """Returns where the key lies: in XDG_STATE_HOME, by default `~/.local/state`."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(os.path.expanduser(state), "open-images", "fingerprint.key")


def keyed_hash(text: str) -> str:
    """Returns a hash of a text that says nothing about it, the same each time for this user.

    Raises:
        UsageError: The key can't be read or made, or others can read it.
    """
    return hmac.digest(_read_key(), text.encode("utf-8", "surrogateescape"), "sha256").hex()


def _read_key() -> bytes:
    path = key_path()
    try:
        _check_folder(path.parent)
        with contextlib.suppress(FileExistsError):
            _make_key(path)
        # It has two names for a moment, when another thread or process has just made it.
        descriptor = open_unlinked(os.fspath(path))
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            key = file.read(_BYTES)
    except (OSError, IrregularError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"{path} can't be used ({cause}), without which a URL with a password or a "
            "query leaves no fingerprint: set XDG_STATE_HOME to a folder of yours, or leave the "
            "password to ~/.netrc"
        ) from None
    if status.st_uid != os.geteuid():
        raise UsageError(
            f"{path} belongs to {private.owner(status.st_uid)}: set XDG_STATE_HOME to a folder of "
            "yours"
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise UsageError(f"{path} can be read by others: remove it, and a new one is made")
    if len(key) != _BYTES:
        raise UsageError(f"{path} is no key: remove it, and a new one is made")
    return key


def _check_folder(folder: Path) -> None:
    """Raises `ForeignError` where another user has made the folder, or a link in its place."""
    with contextlib.suppress(FileNotFoundError):
        uid = os.lstat(folder).st_uid
        if uid not in (os.geteuid(), 0):
            raise private.ForeignError(f"{folder} belongs to {private.owner(uid)}", str(folder))


def _make_key(path: Path) -> None:
    """Makes the key, whole from the first, unless it is there.

    Raises:
        FileExistsError: It is there, or another process was first.
    """
    if os.path.lexists(path):
        raise FileExistsError
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    attempt = path.with_name(f".{secrets.token_hex(8)}")
    descriptor = private.open_file(os.fspath(attempt), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        with open(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
        os.link(attempt, path)
    finally:
        os.unlink(attempt)
