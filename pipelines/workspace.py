"""A build's own folder: made, locked, and cleared away.

Below a local output it lies in the output itself. For an output in an object store it is a
temporary folder, or one that was named, in a file system that all workers see; where they see none,
it is in the store.
"""

import contextlib
import fcntl
import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator

from pipelines import lease
from transforms import journal
from transforms.publishing import card
from transforms.publishing.version import OUTCOME
from transforms.storage import files, objects
from transforms.storage.objects import StorageError, is_remote
from transforms.storage.stores import ObjectOptions

_OWN_ENTRIES = {"latest", "versions", "pins", ".work", card.NAME}
_FOLDERS = ("exchange", "parts", "version", "progress", journal.FOLDER)
_FINGERPRINT = "fingerprint"
_LEASE = "lease"


class OutputError(ValueError):
    """The output folder can't be used; the message is one line with the remedy."""


@contextlib.contextmanager
def workspace(
    output: str,
    work_folder: str | None = None,
    shares_files: bool = True,
    options: ObjectOptions = files.DEFAULTS,
    fingerprint: str | None = None,
    lease: str = "",
) -> Iterator[tuple[str, int]]:
    """A folder for one build, and how many pieces of its work are done already.

    It is that of a build with the same fingerprint that was killed or interrupted, or else new.
    What other stopped builds left behind is removed. So is the folder at the end, whatever
    happened, unless it was an interrupt.

    Who held the lease on a local output before can write nothing more below it, even if it lives:
    its folder goes by one rename, and what it had sealed where its folder is taken over.

    Args:
        output: where versions are published, a local folder or a URI.
        work_folder: for an output in an object store, a local folder to work in.
        shares_files: whether workers see each other's files. Where they don't, and no folder is
            named, the work for an output in an object store is done there.
        options: how object stores are reached.
        fingerprint: of what is to be built; empty to begin anew in any case, and None to leave
            stopped builds alone.
        lease: the token of the lease on `output` that is held; empty for a program that holds none.

    Raises:
        OutputError: `output` or `work_folder` can't be written, or `output` holds other files.
    """
    with contextlib.ExitStack() as stack:
        if is_remote(output):
            work, done = stack.enter_context(_in_store(output, options)), 0
            if work_folder or shares_files:
                folder = work_folder or _own_temporary_folder()
                work, done = stack.enter_context(_in_folder(folder, "--work_folder", fingerprint))
        elif work_folder:
            raise OutputError(
                f"--work_folder {work_folder}: only for an --output in an object store: drop it, "
                "since a local one is worked on in its own file system"
            )
        else:
            work, done = stack.enter_context(_in_folder(output, "--output", fingerprint, lease))
        yield work, done


def prepare(output: str, options: ObjectOptions = files.DEFAULTS) -> None:
    """Makes an output folder, and makes sure that versions can be published in it.

    Raises:
        OutputError: it can't be written, or holds other files.
    """
    try:
        if is_remote(output):
            _refuse_foreign(output, objects.children(output, options.hasty()))
        else:
            os.makedirs(output, exist_ok=True)
            _refuse_foreign(output, os.listdir(output))
            os.makedirs(os.path.join(output, ".work"), exist_ok=True)
    except (OSError, StorageError) as error:
        raise unusable(output, error) from None


def unusable(output: str, error: OSError | StorageError) -> OutputError:
    """What is said of an output that can't be used."""
    if isinstance(error, StorageError):
        return OutputError(f"--output {output} can't be used: {error}")
    return OutputError(f"--output {output} can't be written: {error.strerror}: name another folder")


def leftovers(
    output: str, work_folder: str | None = None, options: ObjectOptions = files.DEFAULTS
) -> list[str]:
    """What `workspace` would remove: what builds that live no more have left.

    Args:
        output: as for `workspace`.
        work_folder: likewise.
        options: how object stores are reached.

    Raises:
        StorageError: the output can't be listed.
    """
    found = lease.leftovers(objects.normal(output), options) if is_remote(output) else []
    folder = work_folder or (_own_temporary_folder() if is_remote(output) else output)
    builds = os.path.join(folder, ".work")
    for dead, descriptor in _dead(builds) if os.path.isdir(builds) else ():
        found.append(dead)
        os.close(descriptor)
    return found


def read_outcome(work: str, options: ObjectOptions = files.DEFAULTS) -> bytes:
    """What the last step left word of in a work folder."""
    return files.read_file(os.path.join(work, OUTCOME), options)


@contextlib.contextmanager
def _in_store(output: str, options: ObjectOptions) -> Iterator[str]:
    with contextlib.ExitStack() as stack:
        try:
            _refuse_foreign(output, objects.children(output, options.hasty()))
            work = stack.enter_context(lease.held(objects.normal(output), options))
        except StorageError as error:
            raise OutputError(f"--output {output} can't be used: {error}") from None
        yield work


def _own_temporary_folder() -> str:
    """A folder for temporary work that only this user can write to; the same for all builds."""
    folder = os.path.join(tempfile.gettempdir(), f"open-images-{os.getuid()}")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if os.stat(folder).st_uid != os.getuid():
        raise OutputError(f"{folder} is another user's: name a folder by --work_folder")
    return folder


@contextlib.contextmanager
def _in_folder(
    parent: str, flag: str, fingerprint: str | None, lease: str = ""
) -> Iterator[tuple[str, int]]:
    """A build locks its folder for as long as it lives, and the lock goes with the process."""
    builds = os.path.join(parent, ".work")
    folder = os.path.join(builds, uuid.uuid4().hex)
    lock, done, interrupted = None, 0, False
    try:  # a signal may come from the first line on
        try:
            os.makedirs(parent, exist_ok=True)
            if flag == "--output":
                _refuse_foreign(parent, os.listdir(parent))
            os.makedirs(builds, exist_ok=True)
            stopped = None
            if fingerprint is not None:
                stopped = _clear_away_stopped(builds, fingerprint, lease)
            if stopped:
                folder, lock, done = stopped
            else:
                lock = _lock_new(f"{folder}.lock")
            for name in _FOLDERS:
                os.makedirs(os.path.join(folder, name), exist_ok=True)
            for name, text in ((_FINGERPRINT, fingerprint or ""), (_LEASE, lease)):
                with open(os.path.join(folder, name), "w") as file:
                    file.write(text)
        except OSError as error:
            raise OutputError(
                f"{flag} {parent} can't be written: {error.strerror}: name another folder"
            ) from error
        yield folder, done
    except KeyboardInterrupt:
        interrupted = True
        raise
    finally:
        if not (interrupted and fingerprint and _has_entries(folder)):
            _remove(folder)
        if lock is not None:
            os.close(lock)
        with contextlib.suppress(OSError):
            os.rmdir(builds)


def _refuse_foreign(output: str, names: Iterable[str]) -> None:
    foreign = sorted({name.rstrip("/") for name in names} - _OWN_ENTRIES)
    if foreign:
        raise OutputError(
            f"--output {output} holds other files ({foreign[0]}): name an empty folder, or one "
            "of earlier builds"
        )


def _lock(path: str) -> int:
    """Locks a file for this process, or raises BlockingIOError if another one that lives has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _lock_new(path: str) -> int:
    """Locks a file that nobody else knows, but that one who looks for the dead may find."""
    while True:
        with contextlib.suppress(BlockingIOError):
            descriptor = _lock(path)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.stat(path), os.fstat(descriptor)):
                    return descriptor
            os.close(descriptor)  # it was removed before it was locked


def _clear_away_stopped(builds: str, fingerprint: str, lease: str) -> tuple[str, int, int] | None:
    """Removes the folders of builds that live no more, but for one to go on in.

    Those of builds that had the lease on the output before go even if they live.

    Returns:
        That one, if there is any with this fingerprint, its lock, and what of it is done.
    """
    found = None
    for folder, lock in _dead(builds):
        if found is None and fingerprint and _told(folder, _FINGERPRINT) == fingerprint:
            half_gone = [
                path.name for path in os.scandir(folder) if path.is_dir() and "." in path.name
            ]
            for stale in ("version", "progress", *half_gone):
                files.vanish(os.path.join(folder, stale))
            found = folder, lock, journal.clear_up(folder, ("exchange", "parts"))
        else:
            _remove(folder)
            os.close(lock)
    for name in os.listdir(builds) if lease else ():
        folder = os.path.join(builds, name)
        if (not found or folder != found[0]) and _told(folder, _LEASE):
            _remove(folder)
    return found


def _told(folder: str, name: str) -> str | None:
    """What a build has noted in its folder; None where it hasn't."""
    with contextlib.suppress(OSError), open(os.path.join(folder, name)) as file:
        return file.read()
    return None


def _has_entries(folder: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(os.listdir(os.path.join(folder, journal.FOLDER)))
    return False


def _remove(folder: str) -> None:
    """Removes a build's folder, and then its lock."""
    files.vanish(folder)
    with contextlib.suppress(OSError):
        os.remove(f"{folder}.lock")


def _dead(builds: str) -> Iterator[tuple[str, int]]:
    """The folders of builds that live no more, and their locks, which are this process's now.

    A folder without a lock is one that somebody made anew who was cleared away.
    """
    names = {name.removesuffix(".lock") for name in os.listdir(builds)} - {_LEASE}
    for name in sorted(names):
        path = os.path.join(builds, name)
        try:
            descriptor = _lock(f"{path}.lock")
        except OSError:
            continue
        yield path, descriptor
