"""Walking the members of a tar or zip without reading their bytes."""

import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO

from transforms.dataset.failures import PixelError, Reason
from transforms.sources.members import Member
from transforms.storage import files
from transforms.storage.objects import is_remote
from transforms.storage.stores import ObjectOptions
from transforms.storage.tars import SPARSE, TarError, read_members
from transforms.storage.zips import ZipEntry, ZipError, read_entries

_STREAM_BYTES = 8 << 20


def walk_tar(
    path: str, options: ObjectOptions = files.DEFAULTS, stamp: str = ""
) -> Iterator[Member]:
    """The members of a plain tar in their order, with memory for one at a time.

    In an object store the tar is read through, since a request a header would take longer.

    Raises:
        ChangedError: The archive hasn't the stamp that is given.
        StorageError: The object store can't be read.
        PixelError: TRUNCATED or CORRUPT where the archive can't be followed further, after the
            members before that place.
    """
    with files.open_file(path, options, buffer_size=_STREAM_BYTES, stamp=stamp) as file:
        try:
            for member in read_members(reader_of(path, file)):
                name = member.name + "/" if member.is_folder else member.name
                refusal = None
                if member.refusal:
                    is_sparse = member.refusal == SPARSE
                    reason = Reason.FORMAT_NOT_ALLOWED if is_sparse else Reason.UNSAFE_PATH
                    refusal = reason, member.refusal
                yield Member(name, path, member.start, member.size, refusal=refusal)
        except TarError as error:
            reason = Reason.TRUNCATED if error.is_cut else Reason.CORRUPT
            raise PixelError(reason, str(error)) from None
        except OSError as error:
            raise PixelError(Reason.CORRUPT, str(error)) from None


def reader_of(path: str, file: BinaryIO) -> Callable[[int, int], bytes]:
    """Returns what reads so many bytes from a place on."""
    if not is_remote(path):
        return lambda place, size: os.pread(file.fileno(), size, place)  # a third of the time
    return partial(files.read_at, file)


def walk_zip(
    path: str, options: ObjectOptions = files.DEFAULTS, stamp: str = ""
) -> Iterator[Member]:
    """The members of a zip in the order of its central directory, with a MiB of it in memory.

    Raises:
        ChangedError: The archive hasn't the stamp that is given.
        StorageError: The object store can't be read.
        PixelError: TRUNCATED or CORRUPT when that directory is missing or damaged.
    """
    with files.open_file(path, options, stamp=stamp) as file:
        try:
            for entry in read_entries(file):
                yield Member(
                    entry.name,
                    path,
                    entry.offset,
                    entry.size,
                    entry.method,
                    entry.crc32,
                    _zip_refusal(entry),
                )
        except ZipError as error:
            reason = Reason.TRUNCATED if error.is_cut else Reason.CORRUPT
            raise PixelError(reason, str(error)) from None
        except OSError as error:
            raise PixelError(Reason.CORRUPT, str(error)) from None


def _zip_refusal(entry: ZipEntry) -> tuple[Reason, str] | None:
    if stat.S_IFMT(entry.attributes >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return Reason.UNSAFE_PATH, "a link or device"
    if entry.overlaps:
        return Reason.CORRUPT, "its bytes are another member's too"
    return None
