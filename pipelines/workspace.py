"""A build's own folder: made, locked, and cleared away.

Below a local output it lies in the output itself. For an output in an object store it is a
temporary folder, or one that was named, in a file system that all workers see; where they see none,
it is in the store.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator

from pipelines import lease
from transforms.publishing.version import OUTCOME
from transforms.storage import files, objects
from transforms.storage.objects import StorageError, is_remote
from transforms.storage.stores import ObjectOptions

_OWN_ENTRIES = {"latest", "versions", "pins", ".work"}


class OutputError(ValueError):
    """The output folder can't be used; the message is one line with the remedy."""


@contextlib.contextmanager
def workspace(
    output: str,
    work_folder: str | None = None,
    shares_files: bool = True,
    options: ObjectOptions = files.DEFAULTS,
) -> Iterator[str]:
    """A new folder for one build; removed at the end, whatever happened.

    What a killed build left behind is removed too.

    Args:
        output: where versions are published, a local folder or a URI.
        work_folder: for an output in an object store, a local folder to work in.
        shares_files: whether workers see each other's files. Where they don't, and no folder is
            named, the work for an output in an object store is done there.
        options: how object stores are reached.

    Raises:
        OutputError: `output` or `work_folder` can't be written, or `output` holds other files.
    """
    with contextlib.ExitStack() as stack:
        if is_remote(output):
            work = stack.enter_context(_in_store(output, options))
            if work_folder or shares_files:
                folder = work_folder or _own_temporary_folder()
                work = stack.enter_context(_in_folder(folder, "--work_folder"))
        elif work_folder:
            raise OutputError(
                f"--work_folder {work_folder}: only for an --output in an object store: drop it, "
                "since a local one is worked on in its own file system"
            )
        else:
            work = stack.enter_context(_in_folder(output, "--output"))
        yield work


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
def _in_folder(parent: str, flag: str) -> Iterator[str]:
    """A build locks its folder for as long as it lives, and the lock goes with the process."""
    builds = os.path.join(parent, ".work")
    folder = os.path.join(builds, uuid.uuid4().hex)
    lock = None
    try:  # a signal may come from the first line on
        try:
            os.makedirs(parent, exist_ok=True)
            if flag == "--output":
                _refuse_foreign(parent, os.listdir(parent))
            os.makedirs(builds, exist_ok=True)
            _remove_dead(builds)
            lock = _lock(f"{folder}.lock")
            for name in ("exchange", "parts", "version", "progress"):
                os.makedirs(os.path.join(folder, name))
        except OSError as error:
            raise OutputError(
                f"{flag} {parent} can't be written: {error.strerror}: name another folder"
            ) from error
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.remove(f"{folder}.lock")
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


def _remove_dead(builds: str) -> None:
    """Removes the folders of builds that live no more."""
    for folder, descriptor in _dead(builds):
        shutil.rmtree(folder, ignore_errors=True)
        os.remove(f"{folder}.lock")
        os.close(descriptor)


def _dead(builds: str) -> Iterator[tuple[str, int]]:
    """The folders of builds that live no more, and their locks, which are this process's now."""
    for name in os.listdir(builds):
        if name.endswith(".lock"):
            path = os.path.join(builds, name)
            try:
                descriptor = _lock(path)
            except OSError:
                continue
            yield path.removesuffix(".lock"), descriptor
