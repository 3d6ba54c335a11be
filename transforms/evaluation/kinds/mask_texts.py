"""Masks as the Challenge takes them: Base64 of zlib of COCO's compressed run lengths."""

import binascii
import zlib

import numpy as np
import pyarrow as pa

from transforms.dataset import rle
from transforms.kinds.parsing.table import Rows

#: The longest run lengths of a mask: a number for each pixel of 100 million.
_MOST_BYTES = 100_000_000
#: What is said of a text that isn't a mask.
UNSOUND = "is not the Base64 of zlib's COCO run lengths of that size"


#: The columns of a mask, with their types.
COLUMNS = {"ImageWidth": pa.int32(), "ImageHeight": pa.int32(), "Mask": pa.string()}


def decode_columns(rows: Rows) -> np.ndarray:
    """Replaces the columns of masks by `size` and `counts`; returns which are sound, (n,) bool."""
    width, height, texts = (rows.columns.pop(name) for name in COLUMNS)
    sizes, counts, sound = decode_masks(texts, height, width)
    rows.columns |= {"size": sizes, "counts": counts}
    return sound


def decode_masks(
    texts: pa.Array, heights: pa.Array, widths: pa.Array
) -> tuple[pa.Array, pa.Array, np.ndarray]:
    """Returns the sizes and counts of masks, n of each, and which are sound, (n,) bool.

    Args:
        texts: n of them.
        heights: in pixels.
        widths: likewise.
    """
    sizes = [*zip(heights.to_pylist(), widths.to_pylist(), strict=True)]
    counts = [_decode(text, *size) for text, size in zip(texts.to_pylist(), sizes, strict=True)]
    sound = np.array([each is not None for each in counts], bool)
    known = [size if each is not None else None for size, each in zip(sizes, counts, strict=True)]
    return pa.array(known, pa.list_(pa.int32(), 2)), pa.array(counts, pa.binary()), sound


def _decode(text: str | None, height: int | None, width: int | None) -> bytes | None:
    """Returns the counts of a mask; None where they aren't those of a mask of its size."""
    if not text or not height or not width or height < 1 or width < 1:
        return None
    try:
        inflate = zlib.decompressobj()
        counts = inflate.decompress(binascii.a2b_base64(text), _MOST_BYTES)
    except (binascii.Error, zlib.error, ValueError):
        return None
    return counts if inflate.eof and rle.is_sound(counts, height, width) else None
