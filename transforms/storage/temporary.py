"""Temporary folders of this user's processes, each locked for as long as its process lives."""

import contextlib
import fcntl
import glob
import os
import tempfile
from collections.abc import Iterator

from transforms.storage import folders
from transforms.system.program import Cleanup

_PREFIX = "open-images-run-"


@contextlib.contextmanager
def temporary_folder() -> Iterator[str]:
    """Makes a new folder in the system's temporary one, and removes it at the end.

    Folders of this user's processes that live no more are removed before.
    """
    remove_dead()
    folder, lock = _make()
    try:
        yield folder
    finally:
        folders.remove(folder)
        os.close(lock)


@contextlib.contextmanager
def program_folder() -> Iterator[str]:
    """Sends temporary files of this process, and of those that it starts, to a new folder.

    Beam and other libraries leave theirs in the system's folder when their process is killed.
    """
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    stack = contextlib.ExitStack()
    folder = stack.enter_context(temporary_folder())
    cleanup = Cleanup(stack.close)
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


def remove_dead() -> None:
    """Removes the folders of this user's processes that live no more."""
    parent = glob.escape(tempfile.gettempdir())
    for folder in glob.glob(os.path.join(parent, f"{_PREFIX}*")):
        with contextlib.suppress(OSError):  # it is another user's, or was removed meanwhile
            if (lock := _lock(folder)) is not None:
                folders.remove(folder)
                os.close(lock)


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
    descriptor = os.open(folder, folders.FOLDER_FLAGS)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, descriptor)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(descriptor)
            if status.st_uid == os.getuid() and os.path.samestat(os.lstat(folder), status):
                stack.pop_all()
                return descriptor
    return None
