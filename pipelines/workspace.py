"""The output folder and a build's own folder in it: made, locked, and cleared away."""

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator

_OWN_ENTRIES = {"latest", "versions", ".work"}


class OutputError(ValueError):
    """The output folder can't be used; the message is one line with the remedy."""


@contextlib.contextmanager
def workspace(output: str) -> Iterator[str]:
    """A new folder below `output` for one build; removed at the end, whatever happened.

    What a killed build left behind is removed too: a build holds a lock on its folder for as long
    as it lives, and the lock goes with the process.

    Raises:
        OutputError: `output` can't be written, or holds other files.
    """
    builds = os.path.join(output, ".work")
    try:
        os.makedirs(output, exist_ok=True)
        foreign = sorted(set(os.listdir(output)) - _OWN_ENTRIES)
        if foreign:
            raise OutputError(
                f"--output {output} holds other files ({foreign[0]}): name an empty folder, or one "
                "of earlier builds"
            )
        os.makedirs(builds, exist_ok=True)
        _remove_dead(builds)
        folder = os.path.join(builds, uuid.uuid4().hex)
        lock = _lock(f"{folder}.lock")
        for name in ("exchange", "parts", "version", "progress"):
            os.makedirs(os.path.join(folder, name))
    except OSError as error:
        raise OutputError(
            f"--output {output} can't be written: {error.strerror}: name another folder"
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.remove(f"{folder}.lock")
        os.close(lock)
        with contextlib.suppress(OSError):
            os.rmdir(builds)


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
    for name in os.listdir(builds):
        if name.endswith(".lock"):
            try:
                descriptor = _lock(os.path.join(builds, name))
            except OSError:
                continue
            shutil.rmtree(os.path.join(builds, name.removesuffix(".lock")), ignore_errors=True)
            os.remove(os.path.join(builds, name))
            os.close(descriptor)
