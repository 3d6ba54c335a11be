"""Rows of the images of a bucket → what each task compares."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from transforms.dataset.mask_links import find_alike
from transforms.evaluation.boxes import XMAX, XMIN, YMAX, YMIN
from transforms.evaluation.kinds.rows import (
    BOTH_CORNERS,
    CORNERS,
    DETECTED_MASK,
    DETECTED_PAIR,
    DETECTION,
    TRUE_BOX,
    TRUE_MASK,
    TRUE_PAIR,
)
from transforms.evaluation.masks import enclosing_boxes
from transforms.evaluation.objects import Case, Objects, Pairs, Rle
from transforms.evaluation.slices import slices_of_truths

_ENDS = ("label1", "label2")


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows of one type.

    Attributes:
        images: the place of the image of each in the bucket, (n,) int32.
        classes: numbers of their labels by field, (n,) int32 each.
        values: (n,) structs.
        units: divisors of horizontal and vertical coordinates, (n, 2) float64: of boxes in pixels
            the picture's width and height, NaN where they aren't known; of others 1. None where no
            box is in pixels.
    """

    images: np.ndarray
    classes: Mapping[str, np.ndarray]
    values: pa.StructArray
    units: np.ndarray | None = None

    def floats(self, name: str) -> np.ndarray:
        """Returns the numbers of a field, (n,) float64; NaN for null."""
        column = self.values.field(name)
        return column.to_numpy(zero_copy_only=False).astype(np.float64)


def labels_of(dtype: pa.StructType) -> list[str]:
    """Returns the fields of a type of rows that are labels."""
    fields = ("label", *_ENDS, "relationship")
    return [name for name in fields if dtype.get_field_index(name) >= 0]


def of_boxes(rows: Mapping[pa.StructType, Rows]) -> Case[Objects]:
    """Returns the boxes of the ground truth and the detected ones."""
    truths, detections = rows[TRUE_BOX], rows[DETECTION]
    boxes = _objects(truths)
    return Case(
        boxes,
        _is_group(truths),
        _objects(detections),
        detections.floats("score"),
        slices=slices_of_truths(truths.values, boxes.boxes),
    )


def of_masks(rows: Mapping[pa.StructType, Rows]) -> Case[Objects]:
    """Returns masks with the boxes that they were drawn in, boxes without a mask, and detected
    masks."""
    boxes, masks, detections = (rows[dtype] for dtype in (TRUE_BOX, TRUE_MASK, DETECTED_MASK))
    truths, of_masks_ = _objects(boxes), _objects(masks)
    places = find_alike(
        (truths.images, truths.classes, truths.boxes),
        (of_masks_.images, of_masks_.classes, of_masks_.boxes),
    )
    alone = np.setdiff1d(np.arange(len(of_masks_.images)), places)
    true_masks = [*_masks(masks), None]
    detected = _masks(detections)
    found = Objects(detections.images, detections.classes["label"], enclosing_boxes(detected))
    return Case(
        truths.join(of_masks_.take(alone)),
        np.concatenate([_is_group(boxes), _is_group(masks)[alone]]),
        found,
        detections.floats("score"),
        [true_masks[at] for at in (*places, *alone)],
        detected,
        np.concatenate(
            [
                slices_of_truths(boxes.values, truths.boxes),
                slices_of_truths(masks.values, of_masks_.boxes)[alone],
            ]
        ),
    )


def of_pairs(rows: Mapping[pa.StructType, Rows]) -> Case[Pairs]:
    """Returns relationships with both boxes of each."""
    truths, detections = rows[TRUE_PAIR], rows[DETECTED_PAIR]
    no_group = np.zeros(len(truths.images), bool)
    return Case(_pairs(truths), no_group, _pairs(detections), detections.floats("score"))


def of_phrases(rows: Mapping[pa.StructType, Rows]) -> Case[Pairs]:
    """Returns relationships with the box around both."""
    case = of_pairs(rows)
    return case._replace(truths=around(case.truths), detections=around(case.detections))


def around(pairs: Pairs) -> Pairs:
    """Returns pairs with the box around both of each: (n, 4)."""
    least, most = pairs.boxes.min(axis=1), pairs.boxes.max(axis=1)
    corners = least[:, XMIN], most[:, XMAX], least[:, YMIN], most[:, YMAX]
    return dataclasses.replace(pairs, boxes=np.stack(corners, axis=1))


def _objects(rows: Rows) -> Objects:
    boxes = np.stack([rows.floats(corner) for corner in CORNERS], axis=1)
    if rows.units is not None:
        boxes = boxes / np.repeat(rows.units, 2, axis=1)  # xmin, xmax, ymin, ymax
    return Objects(rows.images, rows.classes["label"], boxes)


def _is_group(rows: Rows) -> np.ndarray:
    return rows.values.field("is_group_of").fill_null(-1).to_numpy(zero_copy_only=False) == 1


def _masks(rows: Rows) -> list[Rle | None]:
    """Returns masks; None for those that have no pixels."""
    sizes, counts = rows.values.field("size").to_pylist(), rows.values.field("counts").to_pylist()
    found: list[Rle | None] = [
        {"size": size, "counts": each} if each is not None else None
        for size, each in zip(sizes, counts, strict=True)
    ]
    boxes = enclosing_boxes(found)
    has_pixels = (boxes[:, XMIN] < boxes[:, XMAX]) & (boxes[:, YMIN] < boxes[:, YMAX])
    return [mask if some else None for mask, some in zip(found, has_pixels, strict=True)]


def _pairs(rows: Rows) -> Pairs:
    """Returns relationships; their boxes are float32, as in the reference."""
    corners = [rows.floats(corner).astype(np.float32) for corner in BOTH_CORNERS]
    boxes = np.stack(corners, axis=1).reshape(-1, 2, len(CORNERS))
    ends = np.stack([rows.classes[name] for name in _ENDS], axis=1)
    return Pairs(rows.images, rows.classes["relationship"], boxes, ends)
