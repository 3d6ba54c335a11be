"""Walking the members of a folder, tar or zip without reading their bytes."""

import contextlib
import os
import posixpath
import stat
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO

from transforms.dataset.failures import PixelError, Reason
from transforms.sources.members import Address, Member
from transforms.storage import files
from transforms.storage.claims import ArchiveError
from transforms.storage.folders import LOOP, NO_FILE, walk_linked
from transforms.storage.objects import is_remote
from transforms.storage.stamps import number_of, stamp_of
from transforms.storage.stores import ObjectOptions
from transforms.storage.tars import SPARSE, read_members
from transforms.storage.zips import ZipEntry, read_entries

_STREAM_BYTES = 8 << 20


def walk_folder(path: str, options: ObjectOptions = files.DEFAULTS) -> Iterator[Member]:
    """Its files, at any depth, in an order that depends on their names alone, with absolute paths.

    In an object store that is the order of their keys. Links are followed, wherever they lead; each
    folder is entered once. A file that vanishes while its folder is listed isn't there.
    """
    if is_remote(path):
        for found in files.walk(path, options):
            address = Address(found.path, 0, found.size, stamp=number_of(found.stamp))
            yield Member(posixpath.relpath(found.path, path), address)
        return
    for entry in walk_linked(os.path.realpath(path)):
        # The files behind a loop are listed without the link.
        if entry.trouble != LOOP and (status := entry.status()):
            reason = Reason.UNSAFE_PATH if entry.trouble == NO_FILE else Reason.MISSING
            refusal = (reason, entry.trouble) if entry.trouble else None
            stamp = number_of(stamp_of(status))
            yield Member(entry.name, Address(entry.path, 0, status.st_size, stamp=stamp), refusal)


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
    with files.open_file(path, options, _STREAM_BYTES, stamp=stamp) as file, _damage():
        for name, start, size, refused, is_folder in read_members(reader_of(path, file)):
            reason = Reason.FORMAT_NOT_ALLOWED if refused == SPARSE else Reason.UNSAFE_PATH
            refusal = (reason, refused) if refused else None
            yield Member(name + "/" * is_folder, Address(path, start, size), refusal)


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
    with files.open_file(path, options, stamp=stamp) as file, _damage():
        for entry in read_entries(file):
            address = Address(path, entry.offset, entry.size, entry.method, entry.crc32)
            yield Member(entry.name, address, _zip_refusal(entry))


@contextlib.contextmanager
def _damage() -> Iterator[None]:
    """Turns the errors of an archive into failures."""
    try:
        yield
    except ArchiveError as error:
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
