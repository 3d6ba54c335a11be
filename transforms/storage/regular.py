"""Regular files, opened without waiting for the writer of a pipe, or waking a device."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

#: What may be found in a folder that is neither a file nor a folder.
_OTHERS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class IrregularError(ValueError):
    """Something isn't a regular file, or is too large; the message doesn't name it."""


@contextlib.contextmanager
def closing(descriptor: int) -> Iterator[int]:
    """Closes a file descriptor at the end of a context."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_at(path: str, descriptor: int) -> bool:
    """Returns whether an open file or folder is still what is at a path."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    return False


def describe_other(mode: int) -> str:
    """Returns what is neither a regular file nor a folder, such as `a pipe`; empty for those."""
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return ""
    return _OTHERS.get(stat.S_IFMT(mode), "no regular file")


def irregular_kind(path: str) -> str | None:
    """Returns what a local path is in place of a file; None if it is one.

    Raises:
        OSError: There is nothing, or it can't be looked at.
    """
    mode = os.lstat(path).st_mode
    if stat.S_ISREG(mode):
        return None
    if stat.S_ISLNK(mode):
        return "a link"
    return "a folder" if stat.S_ISDIR(mode) else describe_other(mode)


def open_regular(path: str, flags: int = os.O_RDONLY) -> int:
    """Opens a file, unless it is a pipe, socket or device; links are followed.

    Raises:
        OSError: It is one of these, or can't be opened.
    """
    # A device isn't even opened, as that may do something.
    if other := describe_other(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, f"it is {other}, not a file", path)
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def open_unlinked(path: str, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
    """Opens a regular file that anybody may have put there, and no link to one.

    Args:
        path: of the file.
        flags: of `os.open`, without `O_TRUNC`, which would come before the look at the file.
        mode: of a new one.

    Returns:
        Its descriptor.

    Raises:
        IrregularError: It is a link, folder, pipe, socket or device.
        OSError: It can't be opened.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    except OSError as error:
        # A link, a folder, a pipe that nobody reads and a socket.
        if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
    else:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    raise IrregularError(f"it is {irregular_kind(path) or 'no file'}")
