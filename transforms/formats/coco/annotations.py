"""Boxes and masks of examples as COCO annotations.

A box is an annotation, and a mask is the `segmentation` of its box. A mask that has no box is an
annotation by itself, with the smallest box that holds its pixels.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pycocotools import mask as coco

from transforms.formats.coco import json_text
from transforms.formats.coco.elements import ClassNumbers, Elements
from transforms.formats.coco.json_text import SCALE, concatenate, fixed_point, integers, join
from transforms.formats.coco.match import box_keys, match_masks
from transforms.kinds.boxes import FLAGS

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_BOX_FIELDS = ("label", "source", "confidence", *_CORNERS, *FLAGS)
_MASK_FIELDS = ("label", "box_id", "predicted_iou", *_CORNERS, "counts", "area")
_CLASSLESS = "{} of classes without an index"


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
        return concatenate(join(self.texts, "\n"))


class _Masks(NamedTuple):
    """Masks with pixels; `boxes` are the indices of their boxes, (m,) int64, -1 for none."""

    elements: Elements
    categories: np.ndarray
    boxes: np.ndarray


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
    boxes = Elements.of_column(table["bboxes"], _BOX_FIELDS)
    categories = classes.of(boxes.fields["label"])
    corners = _pixels(_corners(boxes), sizes[boxes.rows])
    is_numbered, has_area = categories > 0, (corners[:, 2:] > corners[:, :2]).all(axis=1)
    dropped[_CLASSLESS.format("boxes")] += int((~is_numbered).sum())
    dropped["boxes without area"] += int((is_numbered & ~has_area).sum())
    chosen = is_numbered & has_area
    boxes, categories, corners = boxes.where(chosen), categories[chosen], corners[chosen]
    masks = _find_masks(table, boxes, categories, classes, dropped)
    alone = np.flatnonzero(masks.boxes < 0)
    # Boxes, then masks without one; in the order of examples.
    rows = np.concatenate([boxes.rows, masks.elements.rows[alone]])
    order = np.argsort(rows, kind="stable")
    mask_of = np.full(len(boxes), -1)
    mask_of[masks.boxes[masks.boxes >= 0]] = np.flatnonzero(masks.boxes >= 0)
    mask_of = np.concatenate([mask_of, alone])[order]
    box_of = np.concatenate([np.arange(len(boxes)), np.full(len(alone), -1)])[order]
    rows = rows[order]
    categories = np.concatenate([categories, masks.categories[alone]])[order]
    corners = np.concatenate([corners, _mask_corners(masks.elements, alone, sizes)])[order]
    group = np.append(boxes.numbers("is_group_of", -1), -1)[box_of]
    texts = json_text.members(
        {
            "image_id": integers(image_ids).take(pa.array(rows)),
            "category_id": integers(categories),
            **_shape(corners, masks.elements, mask_of, sizes[rows]),
            "iscrowd": integers((group == 1).astype(np.int8)),
            "score": _take(boxes.fields["confidence"], box_of).cast(pa.string()),
            "attributes": _attributes(boxes, box_of, masks.elements, mask_of),
        }
    )
    return Annotations(rows, categories, group == 1, texts)


def _find_masks(
    table: pa.Table,
    boxes: Elements,
    box_categories: np.ndarray,
    classes: ClassNumbers,
    dropped: Counter[str],
) -> _Masks:
    masks = Elements.of_column(table["masks"], _MASK_FIELDS)
    categories = classes.of(masks.fields["label"])
    is_numbered = categories > 0
    has_pixels = masks.fields["counts"].is_valid().to_numpy(zero_copy_only=False)
    has_pixels &= masks.numbers("area", 0) > 0
    dropped[_CLASSLESS.format("masks")] += int((~is_numbered).sum())
    dropped["masks without pixels"] += int((is_numbered & ~has_pixels).sum())
    chosen = is_numbered & has_pixels
    masks, categories = masks.where(chosen), categories[chosen]
    owners = match_masks(
        box_keys(boxes.rows, box_categories, _corners(boxes)),
        box_keys(masks.rows, categories, _corners(masks)),
    )
    return _Masks(masks, categories, owners)


def _corners(elements: Elements) -> np.ndarray:
    """Returns xmin, ymin, xmax and ymax as fractions, (n, 4); -1 where they aren't known."""
    return np.column_stack([elements.numbers(name, -1) for name in _CORNERS])


def _pixels(corners: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Returns corners in ten-thousandths of a pixel.

    Args:
        corners: (n, 4) fractions of the picture, x before y.
        sizes: (n, 2) width and height of the picture.
    """
    return np.rint(corners.astype(np.float64) * np.tile(sizes, 2) * SCALE).astype(np.int64)


def _mask_corners(masks: Elements, places: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Returns the corners of the pixels of some masks, (m, 4), in ten-thousandths of a pixel."""
    counts = masks.fields["counts"].take(pa.array(places)).to_pylist()
    heights_widths = sizes[masks.rows[places], ::-1].tolist()
    rles = [
        {"size": size, "counts": each} for size, each in zip(heights_widths, counts, strict=True)
    ]
    found = np.rint(coco.toBbox(rles)).astype(np.int64).reshape(-1, 4) * SCALE
    return np.concatenate([found[:, :2], found[:, :2] + found[:, 2:]], axis=1)


def _shape(
    corners: np.ndarray, masks: Elements, mask_of: np.ndarray, sizes: np.ndarray
) -> dict[str, pa.StringArray]:
    """Returns box, area and mask, where there is one, of annotations."""
    widths_heights = corners[:, 2:] - corners[:, :2]
    numbers = [fixed_point(each) for each in (*corners[:, :2].T, *widths_heights.T)]
    area = fixed_point(np.rint(widths_heights.prod(axis=1) / SCALE).astype(np.int64))
    pixels = _take(masks.fields["area"], mask_of).cast(pa.string())
    # The characters of a compressed mask are ASCII, a backslash among them.
    counts = pc.replace_substring(masks.fields["counts"].cast(pa.string()), "\\", "\\\\")
    width, height = (integers(each) for each in sizes.T)
    counts = _take(counts, mask_of)
    mask = join('{"size":[', height, ",", width, '],"counts":"', counts, '"}')
    x, y, w, h = numbers
    return {
        "bbox": join("[", x, ",", y, ",", w, ",", h, "]"),
        "area": pc.coalesce(pixels, area),
        "segmentation": pc.fill_null(mask, "[]"),
    }


def _attributes(
    boxes: Elements, box_of: np.ndarray, masks: Elements, mask_of: np.ndarray
) -> pa.StringArray:
    """Returns what else is known of annotations."""
    texts = {name: _take(boxes.fields[name], box_of).cast(pa.string()) for name in FLAGS}
    texts["source"] = _take(json_text.strings(boxes.fields["source"]), box_of)
    texts["box_id"] = _take(json_text.strings(masks.fields["box_id"]), mask_of)
    texts["predicted_iou"] = _take(masks.fields["predicted_iou"], mask_of).cast(pa.string())
    return json_text.objects(texts)


def _take(values: pa.Array, places: np.ndarray) -> pa.Array:
    """Returns the values at places, null where these are negative."""
    return values.take(pa.array(places, mask=places < 0))
