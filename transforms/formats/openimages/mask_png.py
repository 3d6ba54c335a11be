"""Mask PNGs as they are published: of 1 bit, covering the whole picture."""

import struct

import numpy as np
from isal import isal_zlib
from pycocotools import mask as coco

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Depth of 1 bit, grey; deflate, adaptive filters, not interlaced.
_FORM = bytes([1, 0, 0, 0, 0])
_LEVEL = 1  # of deflate; to choose filters and search longer takes ten times the time


def encode_mask(counts: bytes, height: int, width: int) -> bytes:
    """Returns a mask as a PNG; equal masks give equal bytes.

    Args:
        counts: COCO's compressed run lengths.
        height: of the mask.
        width: of the mask.
    """
    mask = coco.decode({"counts": counts, "size": [height, width]})
    rows = np.packbits(np.ascontiguousarray(mask), axis=1)
    # Each row begins with its filter: none.
    rows = np.pad(rows, ((0, 0), (1, 0)))
    header = struct.pack(">II", width, height) + _FORM
    data = isal_zlib.compress(rows, _LEVEL)
    return b"".join(
        [_SIGNATURE, _chunk(b"IHDR", header), _chunk(b"IDAT", data), _chunk(b"IEND", b"")]
    )


def _chunk(name: bytes, data: bytes) -> bytes:
    checksum = isal_zlib.crc32(name + data)
    return b"".join([struct.pack(">I", len(data)), name, data, struct.pack(">I", checksum)])
