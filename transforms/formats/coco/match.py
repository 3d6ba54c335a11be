"""Which box a mask belongs to: the one of its class with the corners that the mask names."""

import numpy as np

#: Corners are published with six decimals.
_DECIMALS = 1_000_000


def box_keys(rows: np.ndarray, categories: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Returns what a box and its mask have in common.

    Args:
        rows: (n,) int64 examples.
        categories: (n,) int64.
        corners: (n, 4) fractions of the picture; negative where they aren't known.

    Returns:
        (n, 6) int64.
    """
    places = np.rint(corners.astype(np.float64) * _DECIMALS).astype(np.int64)
    return np.column_stack([rows, categories, places])


def match_masks(boxes: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Finds the box of each mask; of equal ones, the first mask has the first box, and so on.

    Args:
        boxes: (n, 6) int64, as of `box_keys`.
        masks: (m, 6) int64, likewise.

    Returns:
        (m,) int64 indices of boxes; -1 for a mask without one.
    """
    found = np.full(len(masks), -1)
    if not len(boxes) or not len(masks):
        return found
    _, groups = np.unique(np.concatenate([boxes, masks]), axis=0, return_inverse=True)
    groups = groups.reshape(-1)
    box_codes, mask_codes = _number(groups[: len(boxes)]), _number(groups[len(boxes) :])
    order = np.argsort(box_codes)
    places = np.minimum(np.searchsorted(box_codes, mask_codes, sorter=order), len(boxes) - 1)
    nearest = order[places]
    has_box = box_codes[nearest] == mask_codes
    found[has_box] = nearest[has_box]
    return found


def _number(groups: np.ndarray) -> np.ndarray:
    """Returns a number for each element, of its group and its place in it: (n,) int64, distinct."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    places = np.empty(len(groups), np.int64)
    places[order] = np.arange(len(groups)) - np.searchsorted(ordered, ordered)
    return groups << 32 | places
