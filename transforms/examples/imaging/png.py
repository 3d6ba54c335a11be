"""What makes a PNG sound: its chunks, and the compressed data of its pixels.

Pillow accepts much that libpng, by which OpenCV and TensorFlow read, refuses, and the other way
round. A PNG is sound if all of them read it: what each refuses was tried out.
"""

import itertools
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from transforms.dataset.failures import PixelError, Reason

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_CHUNK = struct.Struct(">I4s")
_HEADER = struct.Struct(">IIBBBBB")
_PALETTE = 3
_CHANNELS = {0: 1, 2: 3, _PALETTE: 1, 4: 2, 6: 4}  # by colour type
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), _PALETTE: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}

# What libpng takes by default: pixels of a side, and bytes of a chunk before the pixels, but for
# some chunks that OpenCV reads by itself.
_MAX_SIDE = 1_000_000
_MAX_CHUNK_BYTES = 8_000_000
_UNLIMITED = (b"IDAT", b"PLTE", b"tEXt", b"tRNS", b"fdAT")

# First column, first row, and steps between columns and rows of the passes of an interlaced PNG.
_WHOLE = [(0, 0, 1, 1)]
_ADAM7 = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
]

_PACKED_BYTES = 64 << 10
_INFLATED_BYTES = 1 << 20


class Layout(NamedTuple):
    """What the header says of the pixels."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool

    @property
    def stream_bytes(self) -> int:
        """The size of the pixels, each row with a byte for its filter."""
        size = 0
        for left, top, across, down in _ADAM7 if self.interlaced else _WHOLE:
            columns, rows = -((left - self.width) // across), -((top - self.height) // down)
            if columns > 0 and rows > 0:
                size += rows * (1 + (columns * self.depth * _CHANNELS[self.colour] + 7) // 8)
        return size


def png_chunks(data: bytes | memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Walks a PNG's chunks and checks their CRCs, which Pillow doesn't for those with pixels.

    Yields:
        Name and body of each, from IHDR to IEND.

    Raises:
        PixelError: TRUNCATED without IEND, CORRUPT when a chunk is malformed or IHDR not the first.
    """
    position = len(SIGNATURE)
    view = memoryview(data)
    while position + _CHUNK.size <= len(data):
        length, name = _CHUNK.unpack_from(data, position)
        if not name.isalpha() or (position == len(SIGNATURE)) != (name == b"IHDR"):
            raise PixelError(Reason.CORRUPT, f"chunk {name!r} at offset {position}")
        end = position + _CHUNK.size + length
        if end + 4 > len(data):
            break
        if zlib.crc32(view[position + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise PixelError(Reason.CORRUPT, f"CRC of chunk {name!r} at offset {position}")
        yield name, view[position + _CHUNK.size : end]
        if name == b"IEND":
            return
        position = end + 4
    raise PixelError(Reason.TRUNCATED, f"no IEND in {len(data)} bytes")


def check_chunks(data: bytes | memoryview) -> Layout:
    """Checks all of a PNG but its compressed pixels.

    Raises:
        PixelError: as `png_chunks`; CORRUPT for what a reader refuses, TOO_MANY_PIXELS for a side
            that is longer than libpng takes, FORMAT_NOT_ALLOWED for an animation.
    """
    chunks = png_chunks(data)
    layout = _check_header(next(chunks)[1])
    palettes, has_pixels = 0, False
    for name, body in chunks:
        if name == b"IDAT":
            if layout.colour == _PALETTE and not palettes:
                raise PixelError(Reason.CORRUPT, "no palette")
            has_pixels = True
        elif name == b"PLTE":
            palettes += 1
            _check_palette(body, layout, palettes, has_pixels)
        elif name[0:1].isupper() and name != b"IEND":
            raise PixelError(Reason.CORRUPT, f"unknown critical chunk {name!r}")
        elif name[2:3].islower():
            raise PixelError(Reason.CORRUPT, f"chunk {name!r} of a kind that no standard has")
        elif not has_pixels:
            _check_ancillary(name, body)
    return layout


def check_pixels(data: bytes, layout: Layout) -> None:
    """Inflates the pixels of a PNG that `check_chunks` accepted, a MiB at a time.

    Filters of rows are left to Pillow, which refuses unknown ones.

    Raises:
        PixelError: TRUNCATED where pixels, or the checksum after them, are missing; CORRUPT where
            there are more than the header says.
        zlib.error: The data is damaged.
    """
    expected = layout.stream_bytes
    inflater = zlib.decompressobj()
    found = 0
    for packed in _packed_pixels(data):
        while packed and found <= expected and not inflater.eof:
            found += len(inflater.decompress(packed, _INFLATED_BYTES))
            packed = inflater.unconsumed_tail
    if found <= expected:
        found += len(inflater.flush())
    if found < expected:
        raise PixelError(Reason.TRUNCATED, f"{found} of {expected} bytes of pixels")
    if found > expected:
        raise PixelError(Reason.CORRUPT, f"more than the {expected} bytes of pixels of its size")
    if not inflater.eof:
        raise PixelError(Reason.TRUNCATED, "no checksum after the pixels")


def _check_header(body: memoryview) -> Layout:
    if len(body) != _HEADER.size:
        raise PixelError(Reason.CORRUPT, f"header: {len(body)} bytes instead of {_HEADER.size}")
    width, height, depth, colour, compression, filtering, interlacing = _HEADER.unpack(body)
    if depth not in _DEPTHS.get(colour, ()):
        raise PixelError(Reason.CORRUPT, f"header: colour type {colour} with {depth} bits")
    if compression or filtering or interlacing > 1:
        methods = f"compression {compression}, filter {filtering}, interlace {interlacing}"
        raise PixelError(Reason.CORRUPT, f"header: unknown method: {methods}")
    if not (width and height):
        raise PixelError(Reason.CORRUPT, f"header: {width} x {height} pixels")
    if max(width, height) > _MAX_SIDE:
        detail = f"{width} x {height}: libpng reads at most {_MAX_SIDE:,} a side"
        raise PixelError(Reason.TOO_MANY_PIXELS, detail)
    return Layout(width, height, depth, colour, bool(interlacing))


def _check_palette(body: memoryview, layout: Layout, number: int, after_pixels: bool) -> None:
    if number > 1:
        raise PixelError(Reason.CORRUPT, "a second palette")
    if after_pixels:
        return  # of a picture that needs none, or it would have been missed
    if layout.colour == _PALETTE:
        colours, rest = divmod(len(body), 3)
        if rest or not 0 < colours <= 256:
            raise PixelError(Reason.CORRUPT, f"no palette: PLTE of {len(body)} bytes")
    elif not body and layout.colour in (2, 6):
        raise PixelError(Reason.CORRUPT, "an empty palette")


def _check_ancillary(name: bytes, body: memoryview) -> None:
    """Checks what OpenCV is strict about in chunks before the pixels."""
    if name == b"acTL":  # OpenCV and the others make different pixels of some
        raise PixelError(Reason.FORMAT_NOT_ALLOWED, "an animated PNG")
    if len(body) > _MAX_CHUNK_BYTES and name not in _UNLIMITED:
        raise PixelError(Reason.CORRUPT, f"chunk {name!r} of {len(body)} bytes")
    if name == b"bKGD" and len(body) not in (1, 2, 6):
        raise PixelError(Reason.CORRUPT, f"malformed chunk {name!r}")


def _packed_pixels(data: bytes) -> Iterator[bytes | memoryview]:
    """Yields the compressed pixels in pieces: chunks that follow each other, as decoders read."""
    chunks = itertools.dropwhile(lambda chunk: chunk[0] != b"IDAT", png_chunks(data))
    for _, body in itertools.takewhile(lambda chunk: chunk[0] == b"IDAT", chunks):
        for start in range(0, len(body), _PACKED_BYTES):
            yield body[start : start + _PACKED_BYTES]
