"""Temporary files of a program: in one folder, which goes with it, or by the next program.

Beam and others leave theirs in the system's folder when their process is killed. The folder is
locked for as long as its process lives.
"""

import contextlib
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator

from runners.program import Cleanup

_PREFIX = "open-images-run-"


@contextlib.contextmanager
def temporary_folder() -> Iterator[str]:
    """Has temporary files lie in a new folder, those of processes that are started meanwhile, too.

    Folders of this user's processes that live no more are removed.
    """
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    _remove_dead(tempfile.gettempdir())
    folder, lock = _make()

    def remove() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)

    cleanup = Cleanup(remove)
    try:
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        yield folder
    finally:
        tempfile.tempdir = before[0]
        if before[1] is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before[1]
        cleanup()


def _make() -> tuple[str, int]:
    """Makes a folder; returns its path and the descriptor that holds its lock."""
    while True:
        folder = tempfile.mkdtemp(prefix=_PREFIX)
        with contextlib.suppress(FileNotFoundError):
            if (lock := _lock(folder)) is not None:
                return folder, lock
        # Another process took it for dead before it was locked.


def _lock(folder: str) -> int | None:
    """Locks a folder that is this user's and no other process's; returns a descriptor.

    Raises:
        FileNotFoundError: It is gone.
    """
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(lock)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_own = status.st_uid == os.getuid()
        if is_own and os.path.samestat(os.lstat(folder), status):
            lock, locked = -1, lock
            return locked
    except BlockingIOError:
        pass
    finally:
        if lock != -1:
            os.close(lock)
    return None


def _remove_dead(parent: str) -> None:
    for folder in glob.glob(os.path.join(glob.escape(parent), f"{_PREFIX}*")):
        with contextlib.suppress(OSError):  # it is another user's, or was removed meanwhile
            if (lock := _lock(folder)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)
