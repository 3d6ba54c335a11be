"""Files that anybody may have put there: read without following a link, or waiting for a pipe."""

import errno
import os
import stat
import uuid
from typing import BinaryIO

from transforms.storage.files import DEFAULTS, open_file
from transforms.storage.objects import is_remote
from transforms.storage.stamps import describe_other
from transforms.storage.stores import ObjectOptions


class IrregularError(ValueError):
    """A file is none, or too large; the message is a few words without its path."""


def kind_of(path: str) -> str | None:
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


def read_regular(path: str, options: ObjectOptions = DEFAULTS, limit: int | None = None) -> bytes:
    """Returns the content of a file or object.

    Args:
        path: a local path or a URI.
        options: how object stores are reached.
        limit: the most bytes that it may have.

    Raises:
        IrregularError: It is a link, folder, pipe, socket or device, or has too many bytes.
        OSError: It isn't there, or can't be read.
        StorageError: The object store can't be read.
    """
    if is_remote(path):
        with open_file(path, options) as file:
            return _read(file, limit)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, a socket
            raise IrregularError(f"it is {kind_of(path) or 'no file'}") from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise IrregularError(f"it is {kind_of(path) or 'no file'}")
        with open(descriptor, "rb", closefd=False) as file:
            return _read(file, limit)
    finally:
        os.close(descriptor)


def _read(file: BinaryIO, limit: int | None) -> bytes:
    if limit is None:
        return file.read()
    data = file.read(limit + 1)
    if len(data) > limit:
        raise IrregularError(f"it has more than {limit:,} bytes")
    return data


def move_folder_away(path: str, scratch: str) -> None:
    """Moves a local folder that is where a file belongs, for no rename replaces it.

    Args:
        path: where the file is to be; whatever else is there is left.
        scratch: a folder of the same file system, which is cleared away later.
    """
    if os.path.isdir(path) and not os.path.islink(path):
        os.rename(path, os.path.join(scratch, uuid.uuid4().hex))
