"""Masks as COCO run lengths: column by column, runs of background and object in turn."""

import numpy as np
from pycocotools import mask as coco

# A character of COCO's compressed counts, less this, has five bits of a number; a bit that says
# whether more follow; and in the last one of a number, its sign.
_FIRST, _BITS, _MORE, _SIGN = ord("0"), 5, 0x20, 0x10
#: Digits of a number that a mask of any size that pycocotools takes may have.
_DIGITS = 7


def encode(mask: np.ndarray) -> tuple[bytes, int]:
    """Returns a mask as COCO's compressed counts, equal to those of `pycocotools.mask.encode`.

    Args:
        mask: (height, width) bool in C order.

    Returns:
        The counts, and the area in pixels.
    """
    height, width = mask.shape
    # pycocotools wants columns in a row, and transposing costs more than the rest. Where a pixel
    # differs from the one above (or, in the first row, from the last of the column before), a run
    # starts: few places, cheap to bring into column order.
    starts = np.empty(mask.shape, bool)
    np.not_equal(mask[1:], mask[:-1], out=starts[1:])
    np.not_equal(mask[0, 1:], mask[-1, :-1], out=starts[0, 1:])
    starts[0, 0] = mask[0, 0]
    rows, columns = np.divmod(np.flatnonzero(starts), width)
    runs = np.diff(np.sort(columns * height + rows), prepend=0, append=mask.size)
    counts = coco.frPyObjects({"counts": runs, "size": [height, width]}, height, width)["counts"]
    return counts, int(runs[1::2].sum())


def decode(counts: bytes, height: int, width: int) -> np.ndarray:
    """Returns the inverse of `encode`: (height, width) bool in Fortran order."""
    return coco.decode({"counts": counts, "size": [height, width]}).view(bool)


def decode_runs(counts: bytes) -> np.ndarray:
    """Returns the lengths of runs of background and object in turn: (n,) int64.

    Args:
        counts: COCO's compressed run lengths; from the fourth on, they are written as the
            difference to the length two runs before.
    """
    digits = np.frombuffer(counts, np.uint8).astype(np.int64) - _FIRST
    ends = np.flatnonzero(digits & _MORE == 0)
    starts = np.append(0, ends[:-1] + 1)
    lengths = ends - starts + 1
    places = np.arange(len(digits)) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((digits & (_MORE - 1)) << (_BITS * places), starts)
    numbers -= (digits[ends] & _SIGN > 0).astype(np.int64) << (_BITS * lengths)
    for first in (1, 2):
        numbers[first::2] = np.cumsum(numbers[first::2])
    return numbers


def is_sound(counts: bytes, height: int, width: int) -> bool:
    """Returns whether counts are those of a mask of a size: pycocotools writes beyond its memory
    where they aren't."""
    digits = np.frombuffer(counts, np.uint8).astype(np.int64) - _FIRST
    if not len(digits) or digits.min() < 0 or digits.max() >= 2 * _MORE or digits[-1] & _MORE:
        return False
    ends = np.flatnonzero(digits & _MORE == 0)
    if np.diff(ends, prepend=-1).max() > _DIGITS:
        return False
    runs = decode_runs(counts)
    return bool((runs >= 0).all()) and int(runs.sum()) == height * width
