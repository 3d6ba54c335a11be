"""Tar archives of the ustar form, for many members at a time.

A member is a header of 512 bytes and its content, padded with zeros to whole blocks of 512. Two
blocks of zeros end an archive (POSIX.1, `pax`, "ustar Interchange Format"). All that an archive
says beside names and sizes is the same in each header, so members stand end to end as they are.
"""

import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa

from transforms.formats.tfrecord import wire

BLOCK = 512
END = bytes(2 * BLOCK)
_NAME_BYTES = 100
_CHECKSUM = slice(148, 156)
_SIZE = slice(124, 135)
_MAGIC = slice(257, 262)

#: What each header has: mode, uid, gid, mtime, the checksum's room, type, magic and version.
_TEMPLATE = np.zeros(BLOCK, np.uint8)
for _start, _text in {
    100: b"0000644\0" + b"0000000\0" * 2,
    136: b"00000000000\0" + b" " * 8 + b"0",
    257: b"ustar\x0000",
}.items():
    _TEMPLATE[_start : _start + len(_text)] = np.frombuffer(_text, np.uint8)

#: What may follow a content: nothing, or up to 511 zeros.
_PADDINGS = wire.binary(bytes(BLOCK * (BLOCK - 1) // 2), wire.offsets_of(np.arange(BLOCK)))


class Member(NamedTuple):
    """A file in an archive.

    Attributes:
        name: of the file.
        start: where its content begins.
        size: of its content.
    """

    name: str
    start: int
    size: int


def members(names: pa.Array, contents: pa.LargeBinaryArray) -> wire.Messages:
    """Returns members of archives, not yet put together: (n,).

    Args:
        names: (n,) of the files, in ASCII; at most 100 bytes each.
        contents: (n,) likewise; there is no member where it is null.
    """
    sizes = np.diff(wire.bounds(contents))
    present = contents.is_valid().to_numpy(zero_copy_only=False)
    headers = wire.binary(_headers(names, sizes)[present], wire.offsets_of(present * BLOCK))
    padding = -sizes % BLOCK
    total = sizes + padding + present * BLOCK
    return wire.Messages((headers, contents, wire.Coded(padding, _PADDINGS)), total)


def _headers(names: pa.Array, sizes: np.ndarray) -> np.ndarray:
    """Returns headers: (n, 512) uint8."""
    headers = np.tile(_TEMPLATE, (len(names), 1))
    encoded = np.array(names.fill_null("").to_pylist(), f"S{_NAME_BYTES}")
    headers[:, :_NAME_BYTES] = encoded[:, None].view(np.uint8)
    headers[:, _SIZE] = _octal(sizes, 11)
    headers[:, _CHECKSUM.start : _CHECKSUM.start + 6] = _octal(headers.sum(1, np.int64), 6)
    headers[:, _CHECKSUM.start + 6] = 0
    return headers


def _octal(numbers: np.ndarray, digits: int) -> np.ndarray:
    """Returns (n,) numbers as octal digits in ASCII: (n, digits)."""
    return (numbers[:, None] >> 3 * np.arange(digits)[::-1] & 7) + ord("0")


def read_members(file: BinaryIO) -> Iterator[Member]:
    """Yields the members of an open local archive that `members` made, by their headers.

    Raises:
        ValueError: It isn't such an archive, or is cut; the message doesn't name it.
    """
    size = os.fstat(file.fileno()).st_size
    place = 0
    while (header := os.pread(file.fileno(), BLOCK, place)) != END[:BLOCK]:
        if header[_MAGIC] != b"ustar":
            raise ValueError(f"has no header of a tar archive at byte {place}")
        name = header[:_NAME_BYTES].rstrip(b"\0").decode("ascii", "replace")
        try:
            content = int(header[_SIZE], 8)
        except ValueError:
            raise ValueError(f"has no size of a file at byte {place}") from None
        yield Member(name, place + BLOCK, content)
        place += BLOCK - -content // BLOCK * BLOCK
    if place + len(END) != size or os.pread(file.fileno(), len(END), place) != END:
        raise ValueError(f"isn't ended by two blocks of zeros alone, at byte {place}")
