"""Finds the members of a tar from its headers, without trusting any.

`tarfile` allocates what a long name or a pax header claims to need, keeps what a sparse member's
map claims, and takes minutes to parse a pax header of digits.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from transforms.storage.claims import FAR, ArchiveError

BLOCK = 512

#: Most bytes of all headers before one member, such as its long name, and of a name.
MAX_HEADER_BYTES = 1 << 20
MAX_NAME_BYTES = 4096

#: The refusal of a member whose holes aren't stored.
SPARSE = "a sparse member"


# A tar's name; mode, owner, group, size and time; checksum, type, numbers of a device, and prefix.
_HEADER = struct.Struct("100s 8s8s8s12s12s 8s c 100x 8x 64x 8s8s 155s 12x")
# The numbers of it, joined: octal, and nothing but blanks and nulls behind.
_DIGITS = rb"[0-7]*[ \0]*"
_NUMBERS = re.compile(
    rb"(?:%b/){3}([0-7]+)[ \0]*/%b/([0-7]+)[ \0]*/%b/%b" % (_DIGITS, _DIGITS, _DIGITS, _DIGITS)
)
_OCTAL = re.compile(rb" *([0-7]*)[ \0]*(?:\0.*)?", re.DOTALL)
_RECORD = re.compile(rb"([1-9]\d{0,6}) ([^=]+)=")

_REGULAR, _OLD_REGULAR, _CONTIGUOUS, _SPARSE, _FOLDER = b"0", b"\0", b"7", b"S", b"5"
_LINKS = (b"1", b"2")
_WITHOUT_DATA = (*_LINKS, b"3", b"4", _FOLDER, b"6")  # links, devices, folders, FIFOs
_LONG_NAME, _LONG_LINK = b"L", b"K"
#: What stands for the checksum where it is summed up itself.
_BLANK_CHECKSUM = b" " * 8
_PAX, _GLOBAL_PAX = (b"x", b"X"), b"g"
# Whether a sparse map goes on: in the header, and in each block of the map after it.
_MAP_GOES_ON, _MAP_STILL_GOES_ON = 482, 504


class TarMember(NamedTuple):
    """A member: `size` bytes from `start` on.

    Attributes:
        name: undecodable bytes are surrogates.
        start: where its data begins.
        size: of its data.
        refusal: why it isn't a plain file; empty for one, and for a folder.
        is_folder: whether it is a folder.
    """

    name: str
    start: int
    size: int
    refusal: str = ""
    is_folder: bool = False


class _Extension(NamedTuple):
    """What headers before a member's own say of it."""

    name: bytes | None = None
    size: int | None = None
    is_sparse: bool = False


def is_tar(start: bytes) -> bool:
    """Returns whether a file that begins so is a tar, which may be empty: a block of zeros."""
    block = start[:BLOCK]
    return len(block) == BLOCK and (not any(block) or _has_checksum(block))


def read_members(read: Callable[[int, int], bytes]) -> Iterator[TarMember]:
    """Walks the members of a tar in their order, with memory for the headers of one.

    Args:
        read: returns so many bytes from a place on; fewer at the end of the file.

    Raises:
        ArchiveError: after the members before the place where the tar is cut or damaged.
    """
    end, name = 0, ""
    everywhere = _Extension()
    while True:
        place = end + -end % BLOCK
        header = _next_header(read, end, place, name)
        if header is None:
            return
        member = _plain_member(header, place) if everywhere == _Extension() else None
        if member:
            end = member.start + member.size
        else:
            member, end, everywhere = _any_member(read, header, place, everywhere)
        yield member
        name = member.name


def _next_header(
    read: Callable[[int, int], bytes], end: int, place: int, name: str
) -> bytes | None:
    """Returns the block at a place, or None at the end of the archive.

    Args:
        read: as of `read_members`.
        end: of the data of the member before.
        place: of the block.
        name: the member before it.
    """
    if end:
        # From the last byte of data on: if the file ended before it, data would be cut unnoticed.
        block = read(end - 1, 1 + place - end + BLOCK)
        if not block:
            raise ArchiveError("unexpected end of data", is_cut=True, member=name)
        block = block[1 + place - end :]
    else:
        block = read(0, BLOCK)
    if len(block) < BLOCK:
        raise ArchiveError(f"no end of archive mark at offset {place}", is_cut=True)
    return block if any(block) else None


def _plain_member(header: bytes, place: int) -> TarMember | None:
    """Returns the member if it is a plain file with an ASCII name, as most are; else None."""
    if not header.isascii():
        return None
    name, *numbers, checksum, kind, major, minor, prefix = _HEADER.unpack(header)
    found = _NUMBERS.fullmatch(b"/".join((*numbers, checksum, major, minor)))
    # The sum of ASCII is below the prime by which Adler's is divided.
    summed = (zlib.adler32(header) & 0xFFFF) - 1 - sum(checksum) + sum(_BLANK_CHECKSUM)
    if not found or kind != _REGULAR or int(found[2], 8) != summed:
        return None
    return TarMember(_join(prefix, name).decode(), place + BLOCK, int(found[1], 8))


def _has_checksum(header: bytes) -> bool:
    """Returns whether a header has the checksum of its bytes, with or without signs."""
    summed = header[:148] + _BLANK_CHECKSUM + header[156:]
    unsigned = sum(summed)
    signed = unsigned - 256 * sum(byte > 127 for byte in summed)
    return _number(header[148:156]) in (unsigned, signed)


def _number(field: bytes) -> int | None:
    """Returns a number in octal, or in base 256; None if it is neither."""
    if field[0] in (0x80, 0xFF):
        return int.from_bytes(field[1:], "big") - (256 ** (len(field) - 1)) * (field[0] == 0xFF)
    found = _OCTAL.fullmatch(field)
    return int(found[1] or b"0", 8) if found else None


def _is_sound(header: bytes) -> bool:
    _, mode, owner, group, _, time, _, _, major, minor, _ = _HEADER.unpack(header)
    numbers = map(_number, (mode, owner, group, time, major, minor))
    return _has_checksum(header) and None not in numbers


def _any_member(
    read: Callable[[int, int], bytes], header: bytes, place: int, everywhere: _Extension
) -> tuple[TarMember, int, _Extension]:
    """Returns the member whose first header, of whatever kind, is at a place.

    Returns:
        The member, where its data ends, and what global headers say of those that follow.
    """
    first, here = place, everywhere
    seen: set[bytes] = set()
    while True:
        if not _is_sound(header):
            raise ArchiveError(f"bad header at offset {place}")
        kind, size = header[156:157], _number(header[124:136])
        if size is None or not 0 <= size < FAR:
            found = "negative size" if size and size < 0 else "impossible size"
            raise ArchiveError(f"{found} at offset {place}")
        if kind not in (*_PAX, _GLOBAL_PAX, _LONG_NAME, _LONG_LINK):
            break
        if place + BLOCK + size - first > MAX_HEADER_BYTES:
            claim = f"headers of {place + BLOCK + size - first:,} bytes for one member"
            raise ArchiveError(f"{claim} at offset {first}: at most {MAX_HEADER_BYTES:,}")
        if kind in seen:
            raise ArchiveError(f"two headers of kind {kind!r} for one member at offset {first}")
        seen.add(kind)
        body = _read_whole(read, place + BLOCK, size)
        if kind == _LONG_NAME:
            here = here._replace(name=body.partition(b"\0")[0])
        elif kind == _GLOBAL_PAX:
            everywhere = _parse_pax(body, place, everywhere)
            here = _parse_pax(body, place, here)
        elif kind in _PAX:
            here = _parse_pax(body, place, here)
        place += BLOCK + size + -size % BLOCK
        header = _read_whole(read, place, BLOCK)
    start = _skip_map(read, header, place) if kind == _SPARSE else place + BLOCK
    size = size if here.size is None else here.size
    if here.name is None:
        name, *_, prefix = _HEADER.unpack(header)
        name = _join(prefix if kind != _SPARSE else b"", name)
    else:
        name = here.name
    if len(name) > MAX_NAME_BYTES:
        claim = f"a name of {len(name):,} bytes at offset {first}"
        raise ArchiveError(f"{claim}: at most {MAX_NAME_BYTES:,}")
    is_folder = kind == _FOLDER or (kind == _OLD_REGULAR and name.endswith(b"/"))
    if is_folder or here.name is not None:
        name = name.rstrip(b"/")
    text, refusal = name.decode("utf-8", "surrogateescape"), _refusal(kind, here.is_sparse)
    end = start if kind in _WITHOUT_DATA or is_folder else start + size
    return TarMember(text, start, size, refusal, is_folder), end, everywhere


def _read_whole(read: Callable[[int, int], bytes], place: int, size: int) -> bytes:
    data = read(place, size)
    if len(data) < size:
        raise ArchiveError("unexpected end of data", is_cut=True)
    return data


def _join(prefix: bytes, name: bytes) -> bytes:
    """Returns a path from two fields of a header, which end with the first null."""
    prefix, name = prefix.partition(b"\0")[0], name.partition(b"\0")[0]
    return b"/".join((prefix, name)) if prefix else name


def _parse_pax(body: bytes, place: int, extension: _Extension) -> _Extension:
    """Returns an extension with what the records `LENGTH NAME=VALUE` of a pax header add."""
    at = 0
    while at < len(body) and body[at]:
        found = _RECORD.match(body, at, at + 1024)
        end = at + int(found[1]) if found else 0
        if not found or not found.end() < end <= len(body) or body[end - 1] != ord("\n"):
            raise ArchiveError(f"malformed pax header at offset {place}")
        key, value = found[2], body[found.end() : end - 1]
        if key == b"size":
            if not value.isdigit() or len(value) > 19 or int(value) >= FAR:
                raise ArchiveError(f"impossible size in the pax header at offset {place}")
            extension = extension._replace(size=int(value))
        elif key in (b"path", b"GNU.sparse.name"):
            extension = extension._replace(name=value)
        if key.startswith(b"GNU.sparse."):
            extension = extension._replace(is_sparse=True)
        at = end
    return extension


def _skip_map(read: Callable[[int, int], bytes], header: bytes, place: int) -> int:
    """Returns where the data of an old sparse member begins, after the blocks of its map."""
    goes_on = header[_MAP_GOES_ON]
    place += BLOCK
    while goes_on:
        goes_on = _read_whole(read, place, BLOCK)[_MAP_STILL_GOES_ON]
        place += BLOCK
    return place


def _refusal(kind: bytes, is_sparse: bool) -> str:
    if is_sparse or kind == _SPARSE:
        return SPARSE
    if kind in (_REGULAR, _OLD_REGULAR, _CONTIGUOUS, _FOLDER):
        return ""
    return "a link" if kind in _LINKS else "not a regular file"
