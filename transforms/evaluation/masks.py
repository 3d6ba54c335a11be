"""Overlaps of masks, pair by pair, by pycocotools.

A detected mask whose size isn't that of the mask that it is held against is first made that size,
each pixel that of the nearest one: published masks may be smaller than their pictures.
"""

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco

from transforms.evaluation.boxes import intersections
from transforms.evaluation.objects import Rle


class MaskOverlaps:
    """Overlaps of detected masks with those of the ground truth."""

    def __init__(self, masks: Sequence[Rle | None], true_masks: Sequence[Rle | None]) -> None:
        """Takes n masks that were detected, and m of the ground truth."""
        self._masks, self._true_masks = masks, true_masks
        self._boxes, self._true_boxes = enclosing_boxes(masks), enclosing_boxes(true_masks)

    def ious(self, places: np.ndarray, objects: np.ndarray) -> np.ndarray:
        """Returns intersection over union of pairs of places, (p,) float64."""
        return self._measure(places, objects, is_group=False)

    def ioas(self, places: np.ndarray, objects: np.ndarray) -> np.ndarray:
        """Returns the intersection over the area of the detection, likewise."""
        return self._measure(places, objects, is_group=True)

    def _measure(self, places: np.ndarray, objects: np.ndarray, is_group: bool) -> np.ndarray:
        overlaps = np.zeros(len(places))
        meet = intersections(self._boxes[places], self._true_boxes[objects]) > 0
        pairs = np.stack([places[meet], objects[meet]], axis=1).tolist()
        found = [self._overlap(place, truth, is_group) for place, truth in pairs]
        overlaps[meet] = np.array(found, np.float64)
        return overlaps

    def _overlap(self, place: int, truth: int, is_group: bool) -> float:
        mask, true_mask = self._masks[place], self._true_masks[truth]
        assert mask is not None, "its box meets another"
        assert true_mask is not None, "likewise"
        if mask["size"] != true_mask["size"]:
            mask = resized(mask, true_mask["size"])
        # What is a crowd to COCO is here a group.
        return coco.iou([mask], [true_mask], [is_group])[0, 0]


def resized(mask: Rle, size: Sequence[int]) -> Rle:
    """Returns a mask in another size, height and width."""
    pixels = coco.decode(mask)
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp)
        for new, old in zip(size, pixels.shape, strict=True)
    )
    return coco.encode(np.asfortranarray(pixels[np.ix_(rows, columns)]))


def enclosing_boxes(masks: Sequence[Rle | None]) -> np.ndarray:
    """Returns the boxes around masks: xmin, xmax, ymin, ymax in the frame of the picture, (n, 4)
    float64; zeros for None."""
    boxes = np.zeros((len(masks), 4))
    some = [at for at, mask in enumerate(masks) if mask]
    known = [mask for mask in masks if mask]
    if known:
        left, top, width, height = coco.toBbox(known).T
        rows, columns = np.array([mask["size"] for mask in known], np.float64).T
        right, bottom = left + width, top + height
        boxes[some] = np.stack([left / columns, right / columns, top / rows, bottom / rows], axis=1)
    return boxes
