"""Masks as polygons: one closed line around all parts of a mask and all its holes.

A label file has room for one polygon an object. So the outlines of parts and holes are joined by
bridges of no width, there and back, as Ultralytics does with the parts of COCO's objects. Parts are
filled and holes left out by the even-odd rule, which OpenCV's `fillPoly` and Pillow draw by.
"""

from collections.abc import Iterable

import cv2
import numpy as np
from pycocotools import mask as coco

#: Parts and holes below this fraction of a mask's area are left out: so they are some thousands at
#: most, whatever the mask.
_SMALLEST = 1 / 1000
#: Vertices below which an outline is a pixel, or a line of them.
_FEWEST = 3


def trace_mask(counts: bytes, size: tuple[int, int]) -> np.ndarray | None:
    """Returns the polygon of a mask, None where it has no part of any width.

    `cv2.fillPoly` draws the mask again, but for what is left out and for the bridges between parts,
    which are a pixel wide.

    Args:
        counts: COCO's compressed run lengths.
        size: height and width of the mask.

    Returns:
        (n, 2) int32, x and y of the mask's border pixels; at least 3.
    """
    mask = np.ascontiguousarray(coco.decode({"counts": counts, "size": [*size]}))
    # By components: the borders of holes are pixels of the mask, too.
    outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    outlines = [outline[:, 0] for outline in outlines if len(outline) >= _FEWEST]
    areas = [cv2.contourArea(outline) for outline in outlines]
    smallest = _SMALLEST * int(np.count_nonzero(mask))
    order = sorted(range(len(outlines)), key=lambda place: -areas[place])
    kept = [outlines[place] for place in order[:1]]
    kept += [outlines[place] for place in order[1:] if areas[place] >= smallest]
    return _join(kept) if kept else None


def _join(outlines: Iterable[np.ndarray]) -> np.ndarray:
    """Returns outlines as one closed line, each bridged to a near vertex of those before it."""
    first, *others = outlines
    line = first
    for outline in others:
        start = _nearest(line, outline[0])
        end = _nearest(outline, line[start])
        start = _nearest(line, outline[end])
        there_and_back = (outline[end:], outline[: end + 1])
        line = np.concatenate([line[: start + 1], *there_and_back, line[start:]])
    return line


def _nearest(points: np.ndarray, point: np.ndarray) -> int:
    return int(np.square(points - point, dtype=np.int64).sum(axis=1).argmin())
