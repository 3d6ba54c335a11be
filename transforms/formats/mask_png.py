"""Masks as PNGs of one bit a pixel that cover the whole picture; equal masks give equal bytes."""

import functools
import struct

import cv2
import numpy as np
from isal import isal_zlib
from pycocotools import mask as coco

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Depth of 1 bit, grey; deflate, adaptive filters, not interlaced.
_FORM = bytes([1, 0, 0, 0, 0])
_LEVEL = 1  # of deflate; the next one takes longer for the same size
#: Sizes of which the empty mask is kept.
_SIZES = 4096


def encode_mask(counts: bytes, height: int, width: int) -> bytes:
    """Returns a mask as a PNG.

    Args:
        counts: COCO's compressed run lengths.
        height: of the mask.
        width: of the mask.
    """
    columns = coco.decode({"counts": counts, "size": [height, width]}).T
    return _encode(cv2.transpose(columns))  # NumPy's copy takes ten times the time


@functools.lru_cache(_SIZES)
def encode_empty_mask(height: int, width: int) -> bytes:
    """Returns a mask without an object as a PNG."""
    return _encode(np.zeros((height, width), np.uint8))


def _encode(mask: np.ndarray) -> bytes:
    height, width = mask.shape
    # Each row begins with its filter: none.
    rows = np.pad(np.packbits(mask, axis=1), ((0, 0), (1, 0)))
    header = struct.pack(">II", width, height) + _FORM
    data = isal_zlib.compress(rows, _LEVEL)
    return b"".join(
        [_SIGNATURE, _chunk(b"IHDR", header), _chunk(b"IDAT", data), _chunk(b"IEND", b"")]
    )


def _chunk(name: bytes, data: bytes) -> bytes:
    checksum = isal_zlib.crc32(name + data)
    return b"".join([struct.pack(">I", len(data)), name, data, struct.pack(">I", checksum)])
