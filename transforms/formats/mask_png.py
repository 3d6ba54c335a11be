"""Mask PNGs as they are published: of 1 bit a pixel, covering the whole picture.

Equal masks give equal bytes.
"""

import functools
import struct

import numpy as np
from isal import isal_zlib

from transforms.dataset import rle

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Depth of 1 bit, grey; deflate, adaptive filters, not interlaced.
_FORM = bytes([1, 0, 0, 0, 0])
_LEVEL = 1  # of deflate; to choose filters and search longer takes ten times the time

#: Sizes of which the empty mask is kept.
_SIZES = 4096


def encode_mask(counts: bytes, height: int, width: int) -> bytes:
    """Returns a mask as a PNG.

    Args:
        counts: COCO's compressed run lengths.
        height: of the mask.
        width: of the mask.
    """
    return _encode(_pack_rows(rle.decode_runs(counts), height, width), width)


@functools.lru_cache(_SIZES)
def encode_empty_mask(height: int, width: int) -> bytes:
    """Returns a mask without an object as a PNG."""
    return _encode(np.packbits(np.zeros((height, width), np.uint8), axis=1), width)


def _pack_rows(runs: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns the rows of a mask, eight pixels a byte: (height, ⌈width / 8⌉) uint8.

    Runs go down the columns. To turn them into rows pixel by pixel takes ten times as long as to
    mark where they begin: a pixel differs from the one above if a run begins there.
    """
    begins = np.cumsum(runs[:-1])
    begins = begins[begins < height * width]
    columns, rows = np.divmod(begins, height)
    changes = np.zeros((height, width), np.uint8)
    np.bitwise_xor.at(changes, (rows, columns), 1)  # where runs have no length, more begin at once
    # The first pixel of a column has nothing above: it is in the object if an odd number begins
    # up to there.
    changes[0] = np.searchsorted(begins, np.arange(width) * height, side="right") % 2
    return np.bitwise_xor.accumulate(np.packbits(changes, axis=1), axis=0)


def _encode(packed: np.ndarray, width: int) -> bytes:
    """Returns rows of pixels, eight a byte, as a PNG: (height, ⌈width / 8⌉) uint8."""
    height, row_bytes = packed.shape
    rows = np.zeros((height, 1 + row_bytes), np.uint8)  # each begins with its filter: none
    rows[:, 1:] = packed
    header = struct.pack(">II", width, height) + _FORM
    data = isal_zlib.compress(rows, _LEVEL)
    return b"".join(
        [_SIGNATURE, _chunk(b"IHDR", header), _chunk(b"IDAT", data), _chunk(b"IEND", b"")]
    )


def _chunk(name: bytes, data: bytes) -> bytes:
    checksum = isal_zlib.crc32(name + data)
    return b"".join([struct.pack(">I", len(data)), name, data, struct.pack(">I", checksum)])
