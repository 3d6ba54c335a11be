"""Slices of the ground truth, by what is known of its boxes; of each, figures of its own.

A box is in several, which are told by the bits of a number. What a detection that is wrong would
have found isn't known: so it counts in every slice, but for those by area, which are those of its
own box.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: Flags of boxes, each with a slice of those that have it, have it not, and of which it isn't
#: known.
FLAGS = ("is_group_of", "is_occluded", "is_truncated", "is_depiction", "is_inside")
#: Sources of boxes that Open Images has.
SOURCES = ("xclick", "activemil")
#: From how much of its picture a box isn't small, and is large.
AREAS = (0.01, 0.1)
_SIZES = ("small", "medium", "large")
_STATES = {"yes": 1, "no": 0, "unknown": -1}

#: Kind and value of each slice, by its bit.
SLICES = (
    *(("area", size) for size in _SIZES),
    *((flag.removeprefix("is_"), state) for flag in FLAGS for state in _STATES),
    *(("source", source) for source in (*SOURCES, "other")),
)
_EVERY = (1 << len(SLICES)) - 1
_BY_AREA = (1 << len(_SIZES)) - 1


def slices_of_truths(values: pa.StructArray, boxes: np.ndarray) -> np.ndarray:
    """Returns the slices of boxes of the ground truth, (n,) int32 bits.

    Args:
        values: n structs with `FLAGS` and `source`, or some of these.
        boxes: (n, 4).
    """
    names = {field.name for field in values.type}
    bits = _by_area(boxes)
    at = len(_SIZES)
    for flag in FLAGS:
        known = _flag(values, flag, names)
        for state in _STATES.values():
            bits |= (known == state).astype(np.int32) << at
            at += 1
    source = values.field("source") if "source" in names else pa.nulls(len(values), pa.string())
    number = pc.index_in(source.cast(pa.string()), pa.array(SOURCES)).fill_null(len(SOURCES))
    return bits | np.int32(1) << (at + number.to_numpy(zero_copy_only=False)).astype(np.int32)


def slices_of_false_positives(boxes: np.ndarray) -> np.ndarray:
    """Returns the slices in which false positives count, (n,) int32 bits: all but those of other
    areas."""
    return _by_area(boxes) | np.int32(_EVERY & ~_BY_AREA)


def _flag(values: pa.StructArray, flag: str, names: set[str]) -> np.ndarray:
    if flag not in names:
        return np.full(len(values), -1)
    return values.field(flag).fill_null(-1).to_numpy(zero_copy_only=False)


def _by_area(boxes: np.ndarray) -> np.ndarray:
    xmin, xmax, ymin, ymax = boxes.T
    sizes = np.digitize((xmax - xmin) * (ymax - ymin), AREAS)
    return np.int32(1) << sizes.astype(np.int32)


def measure_slices(
    found: np.ndarray,
    found_in: np.ndarray,
    weights: np.ndarray,
    weights_in: np.ndarray,
    average_precision: Callable[[np.ndarray, float], float],
) -> list[tuple[float, float, float | None]]:
    """Returns for each slice of a class how much ground truth it has, how much of that is found,
    and its average precision, None where it has none.

    Args:
        found: how much of the ground truth each detection has found, the highest score first, (n,).
        found_in: the slices where it counts, (n,) bits.
        weights: how much each object of the ground truth counts, (m,).
        weights_in: its slices, (m,) bits.
        average_precision: of some of the detections, by their places, and so much ground truth.
    """
    figures: list[tuple[float, float, float | None]] = []
    for bit in range(len(SLICES)):
        truths = float(weights[(weights_in >> bit) & 1 > 0].sum())
        if not truths:
            figures.append((0.0, 0.0, None))
            continue
        own = np.flatnonzero((found_in >> bit) & 1)
        figures.append((truths, float(found[own].sum()), average_precision(own, truths)))
    return figures
