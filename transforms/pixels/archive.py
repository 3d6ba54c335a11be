"""Walking the members of a tar or zip without reading their bytes."""

import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO

from transforms.failures import PixelError, Reason
from transforms.pixels.members import Member
from transforms.storage import files
from transforms.storage.objects import is_remote
from transforms.storage.stores import ObjectOptions

_STREAM_BYTES = 8 << 20

# What `tarfile` and `zipfile` raise over forged or damaged headers, beside their own errors.
_MALFORMED = (
    ValueError,
    OverflowError,
    EOFError,
    OSError,
    MemoryError,
    RecursionError,
    NotImplementedError,
    struct.error,
)

# A tar's name; mode, owner, group, size and time; checksum, type, numbers of a device, and prefix.
_HEADER = struct.Struct("100s 8s8s8s12s12s 8s c 100x 8x 64x 8s8s 155s 12x")
# The numbers of it, joined: octal, and nothing but blanks and nulls behind.
_OCTAL = rb"[0-7]*[ \0]*"
_NUMBERS = re.compile(
    rb"(?:%b/){3}([0-7]+)[ \0]*/%b/([0-7]+)[ \0]*/%b/%b" % (_OCTAL, _OCTAL, _OCTAL, _OCTAL)
)


def walk_tar(path: str, options: ObjectOptions = files.DEFAULTS) -> Iterator[Member]:
    """The members of a plain tar in their order, with memory for one at a time.

    In an object store the tar is read through, since a request a header would take longer.

    Raises:
        StorageError: The object store can't be read.
        PixelError: TRUNCATED or CORRUPT where the archive can't be followed further, after the
            members before that place.
    """
    try:
        with (
            files.open_file(path, options, buffer_size=_STREAM_BYTES) as file,
            tarfile.open(fileobj=file, mode="r:") as tar,
        ):
            yield from _tar_members(path, tar, _header_reader(path, file))
    except (tarfile.TarError, *_MALFORMED) as error:
        ended = "end of data" in str(error) or "truncated" in str(error)
        raise PixelError(Reason.TRUNCATED if ended else Reason.CORRUPT, _detail(error)) from None


def _detail(error: Exception) -> str:
    return str(error) or type(error).__name__  # MemoryError says no more


def _tar_members(path: str, tar: tarfile.TarFile, read: Callable[[int], bytes]) -> Iterator[Member]:
    while (info := tar.next()) is not None:
        tar.members = []  # pyrefly: ignore[missing-attribute]; tarfile would keep them all
        if info.size < 0 or tar.offset <= info.offset:  # tarfile would go in circles
            raise PixelError(Reason.CORRUPT, f"negative size at offset {info.offset}")
        name = info.name + "/" if info.isdir() else info.name
        yield Member(name, path, info.offset_data, info.size, refusal=_tar_refusal(info))
        yield from _plain_members(path, tar, read)
    # tarfile takes a damaged header, and the end of the file, for the end of the archive.
    tar.fileobj.seek(tar.offset)
    block = tar.fileobj.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise PixelError(Reason.TRUNCATED, f"no end of archive mark at offset {tar.offset}")
    if any(block):
        raise PixelError(Reason.CORRUPT, f"bad header at offset {tar.offset}")


def _plain_members(
    path: str, tar: tarfile.TarFile, read: Callable[[int], bytes]
) -> Iterator[Member]:
    """The members that follow while they are plain files, several times as fast as `tarfile`.

    That goes on where this ends. So nothing is refused here: whatever is unusual is left to it.
    """
    while not tar.pax_headers:  # which hold for all that follows
        # From the byte before. If the file ended here, `tarfile` would pass over data cut short.
        header = read(tar.offset - 1)[1:]
        if len(header) < tarfile.BLOCKSIZE or not header.isascii():
            return
        name, *numbers, checksum, kind, major, minor, prefix = _HEADER.unpack(header)
        found = _NUMBERS.fullmatch(b"/".join((*numbers, checksum, major, minor)))
        if not found or kind != tarfile.REGTYPE:
            return
        # Of ASCII, the sum is below the prime by which Adler's is divided. Blanks stand for itself.
        total = (zlib.adler32(header) & 0xFFFF) - 1 - sum(checksum) + 8 * ord(" ")
        if int(found[2], 8) != total:
            return
        start, size = tar.offset + tarfile.BLOCKSIZE, int(found[1], 8)
        tar.offset = start + -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        names = [part.partition(b"\0")[0].decode() for part in (prefix, name)]
        yield Member("/".join(names if names[0] else names[1:]), path, start, size)


def _header_reader(path: str, file: BinaryIO) -> Callable[[int], bytes]:
    """What reads a header, and the byte before, from the place of that byte on."""
    size = 1 + tarfile.BLOCKSIZE
    if not is_remote(path):
        return partial(os.pread, file.fileno(), size)  # a third of the time

    def read(offset: int) -> bytes:
        file.seek(offset)
        return file.read(size)

    return read


def _tar_refusal(info: tarfile.TarInfo) -> tuple[Reason, str] | None:
    if info.issparse():
        return Reason.FORMAT_NOT_ALLOWED, "a sparse member"
    if info.isreg() or info.isdir():
        return None
    return Reason.UNSAFE_PATH, "a link" if info.issym() or info.islnk() else "not a regular file"


def walk_zip(path: str, options: ObjectOptions = files.DEFAULTS) -> Iterator[Member]:
    """The members of a zip in the order of its central directory.

    That is parsed in one go: about 1 kB of memory for each member.

    Raises:
        StorageError: The object store can't be read.
        PixelError: TRUNCATED or CORRUPT when that directory is missing or can't be parsed.
    """
    try:
        with files.open_file(path, options) as file, zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, *_MALFORMED) as error:
        ended = "not a zip file" in str(error)
        detail = "no central directory: cut short" if ended else _detail(error)
        raise PixelError(Reason.TRUNCATED if ended else Reason.CORRUPT, detail) from None
    for info in infos:
        mode = stat.S_IFMT(info.external_attr >> 16)
        refusal = None
        if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
            refusal = (Reason.UNSAFE_PATH, "a link or device")
        yield Member(
            # The original name: zipfile's own is cut at a null byte.
            info.orig_filename,
            path,
            info.header_offset,
            info.compress_size,
            info.compress_type,
            info.CRC,
            refusal,
        )
