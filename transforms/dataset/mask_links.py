"""Which mask belongs to which box: the published files say it by equal boxes."""

import numpy as np

_DECIMALS = 1_000_000
#: In place of a coordinate that isn't known: none is there.
_NOWHERE = -9.0


def find_alike(of_boxes: tuple[np.ndarray, ...], of_masks: tuple[np.ndarray, ...]) -> np.ndarray:
    """Returns the place of each box's mask among masks, (m,) int64; -1 where it has none.

    A mask belongs to the box of its image with the same class and the same coordinates, to six
    decimals. Where several are alike, the first box has the first mask, and so on.

    Args:
        of_boxes: image and class of each box, (m,) integers, and its corners, (m, 4).
        of_masks: likewise of each mask; corners may be NaN.
    """
    if not len(of_boxes[0]) or not len(of_masks[0]):
        return np.full(len(of_boxes[0]), -1)
    keys = np.concatenate([_keys(*of_boxes), _keys(*of_masks)])
    _, found = np.unique(keys, axis=0, return_inverse=True)
    boxes, masks = np.split(found.ravel() * len(keys), [len(of_boxes[0])])
    boxes, masks = boxes + _ranks(boxes), masks + _ranks(masks)
    order = np.argsort(masks)
    places = np.append(order, -1)[np.searchsorted(masks[order], boxes)]
    return np.where(np.append(masks, -1)[places] == boxes, places, -1)


def _keys(images: np.ndarray, classes: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Returns what annotations are told apart by: (m, 6) int64."""
    known = np.nan_to_num(corners.astype(np.float64), nan=_NOWHERE)
    return np.column_stack([images, classes, np.rint(known * _DECIMALS).astype(np.int64)])


def _ranks(keys: np.ndarray) -> np.ndarray:
    """Returns how many equal ones precede each of (m,) keys."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    ranks = np.empty_like(keys)
    ranks[order] = np.arange(len(keys)) - np.searchsorted(ordered, ordered)
    return ranks
