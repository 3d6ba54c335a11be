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

from transforms.examples.imaging.jpeg_segments import END_OF_IMAGE, START_OF_SCAN, segments
from transforms.examples.imaging.png import SIGNATURE, png_chunks

_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_APP1 = 0xE1

_ORIENTATION = 0x0112
_TURNING = range(2, 9)
_BYTE_ORDERS = {b"II": "<", b"MM": ">"}
_TIFF = re.compile(rb"(?:Exif\0\0)*(II|MM)(?:\*\0|\0\*)")
_SHORT = 3
# TIFF's types of integers that lie in the entry itself, to their codes in `struct`.
_INTEGERS = {1: "B", _SHORT: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
# Types whose value is a fraction, or lies elsewhere; Pillow reads 6/1 as 6.
_OTHER_NUMBERS = {5, 10, 11, 12, 16}
_ENTRY_BYTES = 12

_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:=[\"']|>))[2-8]")

_CHUNK_BYTES = 12  # of a chunk of a PNG, beside its content
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
    parts = _jpeg_parts(data) if form == "JPEG" else _png_parts(data)
    pieces, end = [], 0
    for start, stop, content in sorted(
        part for part in parts if data[part[0] : part[1]] != part[2]
    ):
        pieces += [data[end:start], content]
        end = stop
    return b"".join([*pieces, data[end:]]) if pieces else None


def _jpeg_parts(data: bytes | memoryview) -> Iterator[tuple[int, int, bytes]]:
    """Yields start, end and new content of each part of a JPEG's header that may change."""
    exif: list[tuple[int, bytes]] = []
    size = 0
    for marker, start, end in segments(data):
        if marker in (START_OF_SCAN, END_OF_IMAGE):
            break
        if marker != _APP1 or size > _MAX_METADATA:
            continue
        start += 2
        body = bytes(data[start:end])
        size += len(body)
        if body.startswith(_EXIF):
            exif.append((start + len(_EXIF), body.removeprefix(_EXIF)))
        elif body.startswith(_XMP):
            yield start, end, _reset_xmp(body)
    joined = _reset_exif(b"".join(_reset_exif(content) for _, content in exif))
    place = 0
    for start, content in exif:
        yield start, start + len(content), joined[place : place + len(content)]
        place += len(content)


def _png_parts(data: bytes | memoryview) -> Iterator[tuple[int, int, bytes]]:
    """Yields start, end and new content of each chunk of a PNG that may change."""
    end = len(SIGNATURE)
    for name, content in png_chunks(data):
        start, end = end, end + len(content) + _CHUNK_BYTES
        if len(content) > _MAX_METADATA or (name != b"eXIf" and name not in _TEXT_HEADS):
            continue
        body = bytes(content)
        new = _reset_exif(body) if name == b"eXIf" else _reset_text(name, body)
        crc = zlib.crc32(name + new)
        yield start, end, struct.pack(">I", len(new)) + name + new + struct.pack(">I", crc)


def _reset_exif(content: bytes) -> bytes:
    """Returns Exif data, with or without its name before it, with orientations of 1."""
    found = _TIFF.match(content)
    if not found or len(content) < found.end() + 4:
        return content
    start, order = found.start(1), _BYTE_ORDERS[found[1]]
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
    """Returns whether an entry of a directory is an orientation by which a reader turns."""
    tag, kind, count, short = struct.unpack_from(f"{order}HHIH", tiff, place)
    if tag != _ORIENTATION:
        return False
    value = 0
    if kind in _INTEGERS and count == 1:
        (value,) = struct.unpack_from(order + _INTEGERS[kind], tiff, place + 8)
    # OpenCV ignores the type.
    return short in _TURNING or kind in _OTHER_NUMBERS or value in _TURNING


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


def _reset_text(name: bytes, body: bytes) -> bytes:
    """Resets a chunk of text: a keyword, a null byte, a head of the chunk's own kind, the text."""
    keyword, _, rest = body.partition(b"\0")
    head = _TEXT_HEADS[name].match(rest)
    if keyword not in _TEXTS or not head:
        return body
    content = rest[head.end() :]
    if name == b"tEXt" or (name == b"iTXt" and not rest[0]):
        new = _TEXTS[keyword](content)
    else:
        try:
            text = zlib.decompressobj().decompress(content, _MAX_TEXT)
        except zlib.error:
            return body
        reset = _TEXTS[keyword](text)
        new = content if reset == text else zlib.compress(reset)
    return body[: len(body) - len(content)] + new


#: Chunks of text, and what precedes the text itself: nothing, the method of compression, or a flag
#: and the method of compression, the language and a translation of the keyword.
_TEXT_HEADS = {
    b"tEXt": re.compile(b""),
    b"zTXt": re.compile(b".", re.DOTALL),
    b"iTXt": re.compile(rb"..[^\0]*\0[^\0]*\0", re.DOTALL),
}

_TEXTS: dict[bytes, Callable[[bytes], bytes]] = {
    b"Raw profile type exif": _reset_profile,
    b"XML:com.adobe.xmp": _reset_xmp,
    b"exif": _reset_exif,
}
