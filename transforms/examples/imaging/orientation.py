"""Sets the orientation in a picture's metadata to 1, without touching its pixels.

Pillow (so Hugging Face `datasets`) and OpenCV turn a picture by its orientation as they decode it;
boxes, masks and points are in the stored frame. They read the Exif segments of a JPEG, each by
itself (OpenCV) or joined (Pillow); the Exif chunk and texts of a PNG; and the XMP of both, which
Pillow uses where there is no Exif.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Literal

from transforms.examples.imaging.jpeg_segments import START_OF_SCAN

_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_APP1, _END_OF_IMAGE = 0xE1, 0xD9
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd9-\xfe])")

_ORIENTATION = 0x0112
_TURNING = range(2, 9)
_BYTE_ORDERS = {b"II": "<", b"MM": ">"}
_FORTY_TWO = (b"*\0", b"\0*")
_SHORT = 3
# TIFF's types of integers that lie in the entry itself, to their codes in `struct`.
_INTEGERS = {1: "B", _SHORT: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
# Types whose value is a fraction, or lies elsewhere; Pillow reads 6/1 as 6.
_OTHER_NUMBERS = {5, 10, 11, 12, 16}
_ENTRY_BYTES = 12

_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:=[\"']|>))[2-8]")

_PNG_SIGNATURE_BYTES = 8
_CHUNK = struct.Struct(">I4s")
# Pillow reads no more of a compressed text.
_MAX_TEXT = 1 << 20
# Further metadata of a picture isn't looked at, so that forged pictures take no more memory.
_MAX_METADATA = 16 << 20
_HEX_LINE = 72


def reset_orientation(data: bytes | memoryview, form: Literal["JPEG", "PNG"]) -> bytes | None:
    """Sets the orientation to 1 where readers would turn the picture.

    Args:
        data: a picture that passed `header.check_picture`.
        form: its format.

    Returns:
        The picture, otherwise unchanged; or None where no reader would turn it.
    """
    changes = list(_jpeg_changes(data) if form == "JPEG" else _png_changes(data))
    if not changes:
        return None
    pieces, end = [], 0
    for start, stop, content in sorted(changes):
        pieces += [data[end:start], content]
        end = stop
    return b"".join([*pieces, data[end:]])


def _jpeg_changes(data: bytes | memoryview) -> Iterator[tuple[int, int, bytes]]:
    """Yields start, end and new content of each part of a JPEG's header that changes."""
    exif: list[tuple[int, bytes]] = []
    size = 0
    position = 2
    while found := _MARKER.search(data, position):
        marker, start = found[1][0], found.end()
        if marker in (START_OF_SCAN, _END_OF_IMAGE):
            break
        position = start + int.from_bytes(data[start : start + 2], "big")
        if marker != _APP1 or size > _MAX_METADATA:
            continue
        start += 2
        size += position - start
        if data[start : start + len(_EXIF)] == _EXIF:
            exif.append((start + len(_EXIF), bytes(data[start + len(_EXIF) : position])))
        elif data[start : start + len(_XMP)] == _XMP:
            text = bytes(data[start:position])
            if (new := _reset_xmp(text)) != text:
                yield start, position, new
    if not exif:
        return
    joined = _reset_exif(b"".join(_reset_exif(content) for _, content in exif))
    place = 0
    for start, content in exif:
        new = joined[place : place + len(content)]
        place += len(content)
        if new != content:
            yield start, start + len(content), new


def _png_changes(data: bytes | memoryview) -> Iterator[tuple[int, int, bytes]]:
    """Yields start, end and new content of each chunk of a PNG that changes."""
    position = _PNG_SIGNATURE_BYTES
    name = b""
    while name != b"IEND" and position + _CHUNK.size <= len(data):
        length, name = _CHUNK.unpack_from(data, position)
        end = position + _CHUNK.size + length + 4
        if name in _CHUNKS and length <= _MAX_METADATA:
            body = bytes(data[position + _CHUNK.size : end - 4])
            if (new := _CHUNKS[name](body)) != body:
                crc = zlib.crc32(name + new)
                yield position, end, _CHUNK.pack(len(new), name) + new + struct.pack(">I", crc)
        position = end


def _reset_exif(content: bytes) -> bytes:
    """Returns Exif data, with or without its name before it, with orientations of 1."""
    start = 0
    while content.startswith(_EXIF, start):
        start += len(_EXIF)
    order = _BYTE_ORDERS.get(content[start : start + 2])
    if not order or content[start + 2 : start + 4] not in _FORTY_TWO or len(content) < start + 8:
        return content
    (directory,) = struct.unpack_from(f"{order}I", content, start + 4)
    first = start + directory + 2
    count = int.from_bytes(content[first - 2 : first], "big" if order == ">" else "little")
    last = min(first + count * _ENTRY_BYTES, len(content)) - _ENTRY_BYTES
    new = bytearray(content)
    for place in range(first, last + 1, _ENTRY_BYTES):
        if _turns(content, order, place):
            entry = struct.pack(f"{order}HHIHH", _ORIENTATION, _SHORT, 1, 1, 0)
            new[place : place + _ENTRY_BYTES] = entry
    return bytes(new)


def _turns(tiff: bytes, order: str, place: int) -> bool:
    """Whether an entry of a directory is an orientation by which a reader turns."""
    tag, kind, count, short = struct.unpack_from(f"{order}HHIH", tiff, place)
    if tag != _ORIENTATION:
        return False
    if short in _TURNING or kind in _OTHER_NUMBERS:  # OpenCV ignores the type
        return True
    if kind not in _INTEGERS or count != 1:
        return False
    return struct.unpack_from(order + _INTEGERS[kind], tiff, place + 8)[0] in _TURNING


def _reset_xmp(content: bytes) -> bytes:
    """Returns XMP with orientations of 1."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", content)


def _reset_profile(content: bytes) -> bytes:
    """Resets Exif data in hexadecimal digits, after a blank line, its name and its length."""
    *head, digits = content.split(b"\n", 3)
    try:
        exif = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return content
    if len(head) < 3 or (new := _reset_exif(exif)) == exif:
        return content
    text = new.hex().encode()
    lines = [text[i : i + _HEX_LINE] for i in range(0, len(text), _HEX_LINE)]
    return b"\n".join([*head, *lines, b""])


def _reset_text(body: bytes) -> bytes:
    """Resets a chunk tEXt: a keyword, a null byte and the text."""
    keyword, _, text = body.partition(b"\0")
    return body if keyword not in _TEXTS else keyword + b"\0" + _TEXTS[keyword](text)


def _reset_compressed_text(body: bytes) -> bytes:
    """Resets a chunk zTXt: a keyword, a null byte, the compression method (0) and the text."""
    keyword, _, rest = body.partition(b"\0")
    return keyword + b"\0" + _reset_deflated(keyword, rest) if keyword in _TEXTS else body


def _reset_international_text(body: bytes) -> bytes:
    """Resets a chunk iTXt: a keyword, a flag and the method of compression, the language and a
    translation of the keyword, each with a null byte behind, and the text."""
    keyword, _, rest = body.partition(b"\0")
    parts = rest[2:].split(b"\0", 2)
    if keyword not in _TEXTS or len(parts) < 3:
        return body
    text = parts[2]
    head = body[: len(body) - len(text)]
    if not rest[0]:
        return head + _TEXTS[keyword](text)
    return head + _reset_deflated(keyword, rest[1:2] + text)[1:]


def _reset_deflated(keyword: bytes, content: bytes) -> bytes:
    """Resets a compressed text, after a byte for the method."""
    try:
        text = zlib.decompressobj().decompress(content[1:], _MAX_TEXT)
    except zlib.error:
        return content
    new = _TEXTS[keyword](text)
    return content if new == text else content[:1] + zlib.compress(new)


_TEXTS: dict[bytes, Callable[[bytes], bytes]] = {
    b"Raw profile type exif": _reset_profile,
    b"XML:com.adobe.xmp": _reset_xmp,
    b"exif": _reset_exif,
}

_CHUNKS: dict[bytes, Callable[[bytes], bytes]] = {
    b"eXIf": _reset_exif,
    b"tEXt": _reset_text,
    b"zTXt": _reset_compressed_text,
    b"iTXt": _reset_international_text,
}
