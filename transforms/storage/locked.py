"""Local folders of processes, each locked as long as its process lives.

Beside a folder `NAME` lies its lock, `NAME.lock`. Who finds a folder whose lock nobody holds knows
that its process is dead.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator

from transforms.storage import files, private
from transforms.storage.regular import is_at

_SUFFIX = ".lock"


def lock(path: str, flags: int = os.O_RDWR | os.O_CREAT) -> int:
    """Locks a folder's file for this process; returns its descriptor.

    Args:
        path: of the folder.
        flags: by which the file is opened.

    Raises:
        BlockingIOError: A process that lives has it.
        OSError: It can't be opened.
    """
    descriptor = private.open_file(path + _SUFFIX, flags, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def lock_new(path: str) -> int:
    """Locks the file of a folder that nobody else knows, but one who looks for the dead may find.

    Raises:
        OSError: It can't be made.
    """
    while True:
        with contextlib.suppress(BlockingIOError):
            descriptor = lock(path)
            if is_at(path + _SUFFIX, descriptor):
                return descriptor
            os.close(descriptor)  # it was removed before it was locked


def is_dead(path: str) -> bool:
    """Returns whether nobody holds the lock of another user's folder, as far as can be told."""
    with contextlib.suppress(OSError):
        os.close(lock(path, os.O_RDONLY))
        return True
    return False


def write_note(descriptor: int, text: str) -> None:
    """Writes into a lock that this process holds what everybody may read by `note`."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)


def note(path: str) -> str:
    """Returns what the lock of a folder says; empty where there is none to be read."""
    name = path + _SUFFIX
    with contextlib.suppress(OSError), open(private.open_file(name, os.O_RDONLY), "rb") as file:
        return file.read(256).decode(errors="replace")
    return ""


def folders(above: str) -> list[str]:
    """Returns the paths of all folders, and of those whose lock alone is left, in order."""
    with os.scandir(above) as entries:
        names = {
            entry.name.removesuffix(_SUFFIX)
            for entry in entries
            if entry.name.endswith(_SUFFIX) or not entry.is_file(follow_symlinks=False)
        }
    return [os.path.join(above, name) for name in sorted(names)]


def is_of(path: str, uid: int) -> bool:
    """Returns whether a folder, or where it is gone its lock, belongs to a user."""
    for each in (path, path + _SUFFIX):
        with contextlib.suppress(OSError):
            return os.lstat(each).st_uid == uid
    return False


def dead(above: str, uid: int) -> Iterator[tuple[str, int]]:
    """Yields a user's folders whose processes live no more, with their locks, now this process's.

    A folder without a lock is one that somebody made anew who was cleared away.
    """
    for path in folders(above):
        if not is_of(path, uid):
            continue
        try:
            descriptor = lock(path)
        except OSError:
            continue
        yield path, descriptor


def remove(path: str) -> None:
    """Removes a folder, or a link in its place, and then its lock."""
    with contextlib.suppress(OSError):
        if os.path.islink(path):
            os.unlink(path)
    files.vanish(path)
    with contextlib.suppress(OSError):
        os.remove(path + _SUFFIX)
