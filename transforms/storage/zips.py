"""Reads the central directory of a zip a piece at a time, in little memory for any claim.

`zipfile` reads a directory as a whole, however long it claims to be, and keeps some kB for each
member.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from transforms.storage.claims import FAR, ArchiveError
from transforms.storage.files import read_at
from transforms.storage.tars import MAX_NAME_BYTES

_END = struct.Struct("<4s4x4xIIH")  # signature, bytes and place of the directory, of the comment
_LOCATOR = struct.Struct("<4s16x")
_END_64 = struct.Struct("<4s36xQQ")
_ENTRY = struct.Struct("<4s4xHH4xIIIHHH4xII")
_SIGNATURE, _END_SIGNATURE = b"PK\x01\x02", b"PK\x05\x06"
_LOCATOR_SIGNATURE, _END_64_SIGNATURE = b"PK\x06\x07", b"PK\x06\x06"
_LOCAL_HEADER_BYTES = 30
_ZIP64, _ZIP64_FIELD = 1, 0xFFFFFFFF
_UTF_8 = 0x800
_PIECE_BYTES = 1 << 20
_MAX_COMMENT = 0xFFFF


class Directory(NamedTuple):
    """Where a zip's directory is.

    Attributes:
        start: its place in the file.
        size: its bytes.
        shift: by how much members lie further back than it says, because of what is before the zip.
    """

    start: int
    size: int
    shift: int


class ZipEntry(NamedTuple):
    """What the directory says of a member.

    Attributes:
        name: undecodable bytes are surrogates.
        offset: of its local header in the file.
        size: bytes stored.
        method: of compression.
        crc32: of the inflated bytes.
        attributes: of the system that wrote it; for Unix the mode, by 16 bits to the left.
        overlaps: whether its bytes are another member's too.
    """

    name: str
    offset: int
    size: int
    method: int
    crc32: int
    attributes: int
    overlaps: bool = False


def find_directory(file: BinaryIO) -> Directory:
    """Finds the directory by the record at the end of the file.

    Raises:
        ArchiveError: There is none, as in a file that is cut short, or its place is impossible.
    """
    length = file.seek(0, 2)
    tail_start = max(0, length - _END.size - _MAX_COMMENT)
    tail = read_at(file, tail_start, length - tail_start)
    room = len(tail) - _END.size  # where the record begins at the latest
    place = tail.rfind(_END_SIGNATURE, 0, room + len(_END_SIGNATURE)) if room >= 0 else -1
    if place < 0:
        raise ArchiveError("no central directory: cut short", is_cut=True)
    _, size, start, _ = _END.unpack_from(tail, place)
    end = tail_start + place
    locator, end_64 = end - _LOCATOR.size, end - _LOCATOR.size - _END_64.size
    if end_64 >= 0 and read_at(file, locator, 4) == _LOCATOR_SIGNATURE:
        signature, size_64, start_64 = _END_64.unpack(read_at(file, end_64, _END_64.size))
        if signature == _END_64_SIGNATURE:
            size, start, end = size_64, start_64, end_64
    shift = end - size - start
    if shift < 0:
        raise ArchiveError(f"a directory of {size:,} bytes can't be in {length:,}")
    return Directory(end - size, size, shift)


def read_entries(file: BinaryIO) -> Iterator[ZipEntry]:
    """Walks the directory; the file isn't to be used otherwise meanwhile.

    Raises:
        ArchiveError: The directory is missing, or damaged anywhere: before the first member.
    """
    directory = find_directory(file)
    overlaps = _find_overlaps(_walk(file, directory))
    for entry, overlapping in zip(_walk(file, directory), overlaps, strict=True):
        yield entry._replace(overlaps=True) if overlapping else entry


def _walk(file: BinaryIO, directory: Directory) -> Iterator[ZipEntry]:
    place, end = directory.start, directory.start + directory.size
    data, at = b"", 0
    while place < end:
        if len(data) - at < _ENTRY.size + 3 * _MAX_COMMENT:
            data, at = read_at(file, place, min(_PIECE_BYTES, end - place)), 0
        entry_end = at + _ENTRY.size
        if entry_end > len(data):
            raise ArchiveError(f"the directory ends within an entry at offset {place}")
        (signature, flags, method, crc32, size, inflated, *lengths, attributes, offset) = (
            _ENTRY.unpack_from(data, at)
        )
        name_end = entry_end + lengths[0]
        extra_end = name_end + lengths[1]
        following = extra_end + lengths[2]
        if signature != _SIGNATURE or following > len(data):
            raise ArchiveError(f"no entry of a directory at offset {place}")
        if lengths[0] > MAX_NAME_BYTES:
            claim = f"a name of {lengths[0]:,} bytes at offset {place}"
            raise ArchiveError(f"{claim}: at most {MAX_NAME_BYTES:,}")
        name = data[entry_end:name_end]
        if _ZIP64_FIELD in (size, offset):
            extra = data[name_end:extra_end]
            size, offset = _zip64_fields(extra, inflated, size, offset, place)
        text = name.decode("utf-8", "surrogateescape") if flags & _UTF_8 else name.decode("cp437")
        yield ZipEntry(text, offset + directory.shift, size, method, crc32, attributes)
        place += following - at
        at = following


def _zip64_fields(
    extra: bytes, inflated: int, size: int, offset: int, place: int
) -> tuple[int, int]:
    """Bytes stored and offset, where the fields of 32 bits say that they are in an extra field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == _ZIP64:
            numbers = list(struct.unpack_from(f"<{length // 8}Q", extra[at + 4 : at + 4 + length]))
            fields = (inflated, size, offset)
            if fields.count(_ZIP64_FIELD) > len(numbers):
                break
            _, size, offset = (numbers.pop(0) if n == _ZIP64_FIELD else n for n in fields)
            return size, offset
        at += 4 + length
    raise ArchiveError(f"no sizes of 64 bits in the entry at offset {place}")


def _find_overlaps(entries: Iterator[ZipEntry]) -> list[bool]:
    """Returns which members overlap with others; one that is listed twice doesn't."""
    bounds = ((each.offset, each.offset + _LOCAL_HEADER_BYTES + each.size) for each in entries)
    places = np.fromiter((min(bound, FAR) for pair in bounds for bound in pair), np.int64)
    offsets, ends = places[::2], places[1::2]
    order = np.lexsort((ends, offsets))
    offsets, ends = offsets[order], ends[order]
    begins_within = offsets[1:] < np.maximum.accumulate(ends)[:-1]
    is_repeat = (offsets[1:] == offsets[:-1]) & (ends[1:] == ends[:-1])
    found = np.zeros(len(order), bool)
    found[order[1:]] = begins_within & ~is_repeat
    return found.tolist()
