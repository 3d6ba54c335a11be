"""Temporary folders of this user's processes, each locked for as long as its process lives."""

import contextlib
import fcntl
import glob
import os
import tempfile
from collections.abc import Iterator

from transforms.storage import folders
from transforms.storage.regular import is_at
from transforms.system.program import Cleanup

_PREFIX = "open-images-run-"


@contextlib.contextmanager
def temporary_folder() -> Iterator[str]:
    """Makes a new folder in the system's temporary one, and removes it at the end.

    Folders of this user's processes that live no more are removed before.
    """
    remove_dead()
    # Another process may take it for dead before it is locked.
    while (lock := _lock(folder := tempfile.mkdtemp(prefix=_PREFIX))) is None:
        pass
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
        with contextlib.suppress(OSError):  # it is another user's
            if (lock := _lock(folder)) is not None:
                folders.remove(folder)
                os.close(lock)


def _lock(folder: str) -> int | None:
    """Locks a folder that is there, this user's and no other process's; returns a descriptor."""
    with contextlib.suppress(FileNotFoundError, BlockingIOError), contextlib.ExitStack() as stack:
        descriptor = os.open(folder, folders.FOLDER_FLAGS)
        stack.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_uid == os.getuid() and is_at(folder, descriptor):
            stack.pop_all()
            return descriptor
    return None
