"""Boxes and masks of examples as COCO annotations.

A box is an annotation, and a mask is the `segmentation` of its box. A mask that has no box is an
annotation by itself, with the smallest box that holds its pixels.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pycocotools import mask as coco

from transforms.dataset.texts import end_to_end, join
from transforms.formats import json_text
from transforms.formats.coco.elements import ClassNumbers, Elements
from transforms.formats.coco.match import box_keys, match_masks
from transforms.formats.json_text import numbers
from transforms.kinds.boxes import FLAGS

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_BOX_FIELDS = ("label", "source", "confidence", *_CORNERS, *FLAGS)
#: Units of `_fixed_point` in one.
_SCALE = 10_000
_FRACTIONS = pa.array([".0", *(f".{n:04d}".rstrip("0") for n in range(1, _SCALE))])
_MASK_FIELDS = ("label", "box_id", "predicted_iou", *_CORNERS, "counts", "area")


class Annotations(NamedTuple):
    """The annotations of some examples, by example.

    Attributes:
        rows: (n,) int64, which example each is of, ascending.
        categories: (n,) int64, the index of its class.
        is_crowd: (n,) bool, whether it is a group of things.
        texts: (n,) the members of its JSON object but `id`.
    """

    rows: np.ndarray
    categories: np.ndarray
    is_crowd: np.ndarray
    texts: pa.StringArray

    def lines(self) -> pa.Buffer:
        """Returns the texts as lines."""
        return end_to_end(join(self.texts, "\n"))


class _Things(NamedTuple):
    """Boxes or masks of classes that have an index.

    Attributes:
        elements: n of them.
        categories: (n,) int64, the indices of their classes.
    """

    elements: Elements
    categories: np.ndarray

    def where(self, chosen: np.ndarray) -> Self:
        """Returns some of them; `chosen` is (n,) bool."""
        return type(self)(self.elements.where(chosen), self.categories[chosen])

    def corners(self) -> np.ndarray:
        """Returns xmin, ymin, xmax and ymax as fractions, (n, 4); -1 where they aren't known."""
        return np.column_stack([self.elements.values_or(name, -1) for name in _CORNERS])

    def keys(self) -> np.ndarray:
        """Returns what masks and their boxes have in common; see `match.box_keys`."""
        return box_keys(self.elements.rows, self.categories, self.corners())


def make_annotations(
    table: pa.Table, image_ids: np.ndarray, classes: ClassNumbers, dropped: Counter[str]
) -> Annotations:
    """Makes the annotations of examples.

    Args:
        table: n rows of examples with pictures.
        image_ids: (n,) int64, of COCO.
        classes: the indices of classes.
        dropped: counts what is left out.
    """
    sizes = np.column_stack([table["width"].to_numpy(), table["height"].to_numpy()])
    boxes, box_corners = _find_boxes(table, sizes, classes, dropped)
    masks = _find_masks(table, classes, dropped)
    box_of, mask_of = _arrange(boxes, masks)
    mask_corners = _bound_masks(masks.elements, mask_of[box_of < 0], sizes)
    # Where the values of boxes, followed by those of masks, have an annotation's.
    place = np.where(box_of < 0, len(boxes.elements) + mask_of, box_of)
    rows = np.concatenate([boxes.elements.rows, masks.elements.rows])[place]
    categories = np.concatenate([boxes.categories, masks.categories])[place]
    corners = np.concatenate([box_corners, mask_corners])[place]
    is_group = boxes.elements.values_or("is_group_of", -1) == 1
    is_crowd = np.concatenate([is_group, np.zeros(len(masks.elements), bool)])[place]
    texts = json_text.members(
        {
            "image_id": numbers(image_ids).take(pa.array(rows)),
            "category_id": numbers(categories),
            **_describe_shape(corners, masks.elements, mask_of, sizes[rows]),
            "iscrowd": numbers(is_crowd.astype(np.int8)),
            "score": numbers(_take(boxes.elements.fields["confidence"], box_of)),
            "attributes": _describe(boxes.elements, box_of, masks.elements, mask_of),
        }
    )
    return Annotations(rows, categories, is_crowd, texts)


def _find_boxes(
    table: pa.Table, sizes: np.ndarray, classes: ClassNumbers, dropped: Counter[str]
) -> tuple[_Things, np.ndarray]:
    """Returns the boxes that have an area, and their corners in ten-thousandths of a pixel,
    (n, 4) int64."""
    boxes = _find(table["bboxes"], _BOX_FIELDS, "boxes", classes, dropped)
    scale = np.tile(sizes[boxes.elements.rows], 2) * _SCALE
    corners = np.rint(boxes.corners().astype(np.float64) * scale).astype(np.int64)
    is_wide, is_high = (corners[:, 2:] > corners[:, :2]).T
    has_area = is_wide & is_high
    dropped["boxes without area"] += int((~has_area).sum())
    return boxes.where(has_area), corners[has_area]


def _find_masks(table: pa.Table, classes: ClassNumbers, dropped: Counter[str]) -> _Things:
    """Returns the masks that have pixels."""
    masks = _find(table["masks"], _MASK_FIELDS, "masks", classes, dropped)
    is_read = masks.elements.fields["counts"].is_valid().to_numpy(zero_copy_only=False)
    has_pixels = is_read & (masks.elements.values_or("area", 0) > 0)
    dropped["masks without pixels"] += int((~has_pixels).sum())
    return masks.where(has_pixels)


def _find(
    column: pa.ChunkedArray,
    fields: Sequence[str],
    noun: str,
    classes: ClassNumbers,
    dropped: Counter[str],
) -> _Things:
    elements = Elements.of_column(column, fields)
    categories = classes.of(elements.fields["label"])
    has_index = categories > 0
    dropped[f"{noun} of classes without an index"] += int((~has_index).sum())
    return _Things(elements, categories).where(has_index)


def _arrange(boxes: _Things, masks: _Things) -> tuple[np.ndarray, np.ndarray]:
    """Returns the box and the mask of each annotation, (n,) int64 each, -1 for none.

    Annotations are in the order of examples; in each come boxes, and then masks without one.
    """
    owners = match_masks(boxes.keys(), masks.keys())
    owned, alone = np.flatnonzero(owners >= 0), np.flatnonzero(owners < 0)
    mask_of = np.full(len(boxes.elements), -1)
    mask_of[owners[owned]] = owned
    rows = np.concatenate([boxes.elements.rows, masks.elements.rows[alone]])
    box_of = np.concatenate([np.arange(len(mask_of)), np.full(len(alone), -1)])
    order = np.argsort(rows, kind="stable")
    return box_of[order], np.concatenate([mask_of, alone])[order]


def _bound_masks(masks: Elements, places: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Returns the corners of masks in ten-thousandths of a pixel.

    Args:
        masks: m of them.
        places: (k,) int64, of those whose corners are needed.
        sizes: (n, 2) width and height of each example.

    Returns:
        (m, 4) int64; 0 for the others.
    """
    corners = np.zeros((len(masks), 4), np.int64)
    if len(places):
        counts = masks.fields["counts"].take(pa.array(places)).to_pylist()
        sizes = sizes[masks.rows[places], ::-1].tolist()
        rles = [{"size": size, "counts": each} for size, each in zip(sizes, counts, strict=True)]
        boxes = np.rint(coco.toBbox(rles)).astype(np.int64) * _SCALE
        boxes[:, 2:] += boxes[:, :2]
        corners[places] = boxes
    return corners


def _describe_shape(
    corners: np.ndarray, masks: Elements, mask_of: np.ndarray, sizes: np.ndarray
) -> dict[str, pa.StringArray]:
    """Returns box, area and mask, where there is one, of annotations."""
    widths_heights = corners[:, 2:] - corners[:, :2]
    x, y, w, h = (_fixed_point(each) for each in (*corners[:, :2].T, *widths_heights.T))
    area = _fixed_point(np.rint(widths_heights.prod(axis=1) / _SCALE).astype(np.int64))
    pixels = numbers(_take(masks.fields["area"], mask_of))
    # The characters of a compressed mask are ASCII, a backslash among them.
    counts = pc.replace_substring(masks.fields["counts"].cast(pa.string()), "\\", "\\\\")
    width, height = (numbers(each) for each in sizes.T)
    counts = _take(counts, mask_of)
    mask = join('{"size":[', height, ",", width, '],"counts":"', counts, '"}')
    return {
        "bbox": join("[", x, ",", y, ",", w, ",", h, "]"),
        "area": pc.coalesce(pixels, area),
        "segmentation": pc.fill_null(mask, "[]"),
    }


def _describe(
    boxes: Elements, box_of: np.ndarray, masks: Elements, mask_of: np.ndarray
) -> pa.StringArray:
    """Returns what else is known of annotations."""
    texts = {name: numbers(_take(boxes.fields[name], box_of)) for name in FLAGS}
    texts["source"] = _take(json_text.strings(boxes.fields["source"]), box_of)
    texts["box_id"] = _take(json_text.strings(masks.fields["box_id"]), mask_of)
    texts["predicted_iou"] = numbers(_take(masks.fields["predicted_iou"], mask_of))
    return json_text.objects(texts)


def _take(values: pa.Array, places: np.ndarray) -> pa.Array:
    """Returns the values at places, null where these are negative."""
    return values.take(pa.array(places, mask=places < 0))


def _fixed_point(units: np.ndarray) -> pa.StringArray:
    """Returns numbers with up to four decimals.

    Args:
        units: (n,) int64, the numbers in ten-thousandths; none is negative.
    """
    whole, rest = np.divmod(units, _SCALE)
    return join(numbers(whole), _FRACTIONS.take(pa.array(rest)))
