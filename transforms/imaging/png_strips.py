"""Decoding and encoding PNGs strip by strip, so that nothing but the pixels wanted is in memory.

Pillow holds four bytes a pixel, whole pictures only. But its codec for zlib streams with the
filters of PNG takes strips, given the row above, on which the filters of the first row depend.
Filters act on each byte of a pixel apart, from that byte of the pixels to the left and above
(https://www.w3.org/TR/png-3/#9Filters): so bytes that aren't wanted, those of alpha and the lower
ones of 16 bits, are left out before filters are undone.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from transforms.failures import PixelError, Reason
from transforms.imaging.header import png_chunks

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB, _PALETTE, _RGBA = 2, 3, 6
_CHANNELS = {0: 1, _RGB: 3, _PALETTE: 1, 4: 2, _RGBA: 4}  # by colour type
_LAST_FILTER = 4

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

_STRIP_PIXELS = 1 << 18  # whose copies on the way stay in the processor's cache
_PACKED_AT_ONCE = 1 << 14  # which inflate to 16 MiB at most
#: Rows are in memory several times: 10 million RGB pixels.
_MAX_ROW_BYTES = 32 << 20


class _Pass(NamedTuple):
    """A part of a PNG's pixels: rows and columns of the picture, their numbers, bytes of a row."""

    rows: slice
    columns: slice
    height: int
    width: int
    row_bytes: int


class _Layout(NamedTuple):
    """What a PNG's header says of its pixels."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool

    @property
    def pixel_bits(self) -> int:
        return self.depth * _CHANNELS[self.colour]

    def passes(self) -> list[_Pass]:
        """Those that aren't empty; the whole picture where it isn't interlaced."""
        found = []
        for left, top, across, down in _ADAM7 if self.interlaced else _WHOLE:
            columns, rows = -((left - self.width) // across), -((top - self.height) // down)
            if columns > 0 and rows > 0:
                row_bytes = 1 + (columns * self.pixel_bits + 7) // 8
                places = slice(top, self.height, down), slice(left, self.width, across)
                found.append(_Pass(*places, rows, columns, row_bytes))
        return found


class _Strip(NamedTuple):
    """Consecutive rows of a PNG, or of one of its passes.

    Attributes:
        rows: of the picture, which they are.
        columns: of the picture, which they have.
        first: whether there is no row above them.
        content: (n, 1 + m) uint8, a filter and m bytes of packed pixels each.
    """

    rows: slice
    columns: slice
    first: bool
    content: np.ndarray


def verify_png(data: bytes) -> None:
    """Inflates a PNG that passed `check_picture`; whether its pixels can be decoded shows there.

    Raises:
        PixelError: TRUNCATED when rows are missing, CORRUPT when one has an unknown filter or there
            is no palette where one is needed, TOO_MANY_PIXELS in a row.
        zlib.error: the data is damaged.
    """
    layout = _layout(data)
    _colours(data, layout)
    for _ in _strips(data, layout):
        pass


def decode_png(data: bytes, reduction: int = 1) -> np.ndarray:
    """Decodes a PNG that passed `check_picture`, by the rules of `imaging/decode.py`.

    Args:
        data: the stored picture.
        reduction: squares of so many pixels become one, their average; those at the right and lower
            edges may be smaller.

    Returns:
        (height, width, 3) uint8 RGB; the stored size divided by `reduction`, rounded up.

    Raises:
        Exception: what `verify_png` raises.
    """
    layout = _layout(data)
    colours = _colours(data, layout)
    at_once = 1 if layout.interlaced else reduction
    size = -(-layout.height // at_once), -(-layout.width // at_once), 3
    pixels = np.empty(size, np.uint8)
    above = np.empty(0, np.uint8)
    for strip in _strips(data, layout, at_once):
        samples = _unfilter(strip, layout, above)
        above = samples[-1]
        found = samples if samples.ndim == 3 else colours[_unpack(samples, strip, layout)]
        if at_once > 1:
            rows = slice(strip.rows.start // at_once, -(-strip.rows.stop // at_once))
            pixels[rows] = _reduce(found, at_once)
        else:
            pixels[strip.rows, strip.columns] = found
    return _reduce(pixels, reduction) if at_once < reduction else pixels


def encode_png(pixels: np.ndarray) -> bytes:
    """Encodes a (h, w, 3) uint8 RGB picture."""
    height, width = pixels.shape[:2]
    packer = zlib.compressobj(memLevel=9, strategy=zlib.Z_FILTERED)
    data = io.BytesIO()
    data.write(_SIGNATURE)
    _write_chunk(data, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _RGB, 0, 0, 0))
    step = max(1, _STRIP_PIXELS // width)
    above = np.zeros_like(pixels[:1])
    for top in range(0, height, step):
        strip = np.concatenate([above, pixels[top : top + step]])
        above = strip[-1:]
        # Rows with the filters that Pillow chooses, in stored blocks.
        stored = Image.fromarray(strip).tobytes("zip", "RGB", False, 0, -1, b"")
        _write_chunk(data, b"IDAT", packer.compress(zlib.decompress(stored)[1 + 3 * width :]))
    _write_chunk(data, b"IDAT", packer.flush())
    _write_chunk(data, b"IEND", b"")
    return data.getvalue()


def _write_chunk(file: io.BytesIO, name: bytes, body: bytes) -> None:
    file.write(struct.pack(">I", len(body)) + name)
    file.write(body)
    file.write(struct.pack(">I", zlib.crc32(body, zlib.crc32(name))))


def _layout(data: bytes) -> _Layout:
    return _Layout(*struct.unpack_from(">IIBBxxB", data, 16))


def _colours(data: bytes, layout: _Layout) -> np.ndarray:
    """The colours of grey samples or indices, (256, 3) uint8; black beyond a palette's end."""
    if layout.colour != _PALETTE:
        levels = min(255, (1 << layout.depth) - 1)
        return np.repeat(np.arange(256) * 255 // levels, 3).astype(np.uint8).reshape(256, 3)
    colours = np.zeros((256, 3), np.uint8)
    for name, body in png_chunks(data):
        if name == b"PLTE" and len(body) % 3 == 0 and 0 < len(body) <= colours.size:
            colours.reshape(-1)[: len(body)] = np.frombuffer(body, np.uint8)
            return colours
        if name in (b"PLTE", b"IDAT"):
            break
    raise PixelError(Reason.CORRUPT, "no palette")


def _inflated(data: bytes) -> Iterator[bytes]:
    inflater = zlib.decompressobj()
    begun = False
    for name, body in png_chunks(data):
        if begun and name != b"IDAT":
            return  # chunks of pixels follow each other; decoders don't read on
        begun = name == b"IDAT"
        for start in range(0, len(body) if begun else 0, _PACKED_AT_ONCE):
            if inflater.eof:  # beyond its end it would only gather the rest
                return
            yield inflater.decompress(body[start : start + _PACKED_AT_ONCE])


def _strips(data: bytes, layout: _Layout, multiple: int = 1) -> Iterator[_Strip]:
    """A PNG's rows, checked; `multiple` times as many as not at a time, but at the end."""
    passes = layout.passes()
    expected = sum(each.height * each.row_bytes for each in passes)
    inflated = _inflated(data)
    waiting = bytearray()
    used = 0
    for rows, columns, height, width, row_bytes in passes:
        if row_bytes > _MAX_ROW_BYTES:
            raise PixelError(Reason.TOO_MANY_PIXELS, f"{row_bytes} bytes in a row")
        step = multiple * max(1, _STRIP_PIXELS // (width * multiple))
        for first in range(0, height, step):
            some = rows.start + first * rows.step, rows.stop, rows.step
            places = range(*some)[:step]
            size = len(places) * row_bytes
            while len(waiting) < size:
                piece = next(inflated, None)
                if piece is None:
                    raise _truncated(used + len(waiting), expected)
                waiting += piece
            content = np.frombuffer(waiting[:size], np.uint8).reshape(-1, row_bytes)
            del waiting[:size]
            used += size
            if content[:, 0].max() > _LAST_FILTER:
                found = used + len(waiting) + sum(len(piece) for piece in inflated)
                if found < expected:
                    raise _truncated(found, expected)
                raise PixelError(Reason.CORRUPT, f"unknown filter {content[:, 0].max()}")
            place = slice(places.start, places.stop, places.step)
            yield _Strip(place, columns, first == 0, content)


def _truncated(found: int, expected: int) -> PixelError:
    return PixelError(Reason.TRUNCATED, f"{found} of {expected} bytes of pixels")


def _unfilter(strip: _Strip, layout: _Layout, above: np.ndarray) -> np.ndarray:
    """Undoes filters; given the row above, as this returns it, unless there is none.

    Returns:
        uint8: red, green and blue, (n, columns, 3); or the sample that isn't alpha, (n, bytes):
        packed where it has fewer than 8 bits.
    """
    sample = max(1, layout.depth // 8)
    wanted = slice(0, 3 * sample if layout.colour in (_RGB, _RGBA) else sample, sample)
    pixel_bytes = max(1, layout.pixel_bits // 8)
    rows = strip.content[:, 1:].reshape(len(strip.content), -1, pixel_bytes)[..., wanted]
    n, width, samples = rows.shape
    stream = np.zeros((1 + n, 1 + width * samples), np.uint8)
    stream[0, 1:] = 0 if strip.first else above.reshape(-1)
    stream[1:, 0] = strip.content[:, 0]
    stream[1:, 1:] = rows.reshape(n, -1)
    mode = "RGB" if samples == 3 else "L"
    image = Image.frombytes(mode, (width, 1 + n), zlib.compress(stream.data, 0), "zip", mode, 0)
    return np.asarray(image)[1:]


def _unpack(samples: np.ndarray, strip: _Strip, layout: _Layout) -> np.ndarray:
    """(n, bytes) of packed samples to (n, columns)."""
    if layout.depth >= 8:
        return samples
    shifts = np.arange(8 - layout.depth, -1, -layout.depth, dtype=np.uint8)
    unpacked = samples[..., None] >> shifts & np.uint8((1 << layout.depth) - 1)
    columns = len(range(layout.width)[strip.columns])
    return unpacked.reshape(len(samples), -1)[:, :columns]


def _reduce(pixels: np.ndarray, reduction: int) -> np.ndarray:
    """Averages over squares, some rows at a time."""
    height, width = pixels.shape[:2]
    reduced = np.empty((-(-height // reduction), -(-width // reduction), 3), np.uint8)
    step = max(1, _STRIP_PIXELS // (width * reduction))
    for top in range(0, len(reduced), step):
        strip = Image.fromarray(pixels[top * reduction : (top + step) * reduction])
        reduced[top : top + step] = np.asarray(strip.reduce(reduction))
    return reduced
