"""Boxes and masks of examples as COCO annotations.

A box is an annotation, and a mask is the `segmentation` of its box. A mask that has no box is an
annotation by itself, with the smallest box that holds its pixels.
"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pycocotools import mask as coco

from transforms.dataset.elements import in_one_piece
from transforms.dataset.texts import end_to_end, join
from transforms.formats import json_text
from transforms.formats.annotations import Annotations, find_masks
from transforms.formats.json_text import numbers
from transforms.kinds.boxes import FLAGS

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
#: Units of `_fixed_point` in one.
_SCALE = 10_000
_FRACTIONS = pa.array([".0", *(f".{n:04d}".rstrip("0") for n in range(1, _SCALE))])


class Objects(NamedTuple):
    """What is annotated in n examples: m boxes, or masks without a box, by example.

    Attributes:
        pairs: (m,) int64, example and class of each, as of `Annotations.pairs`.
        is_crowd: (m,) bool, whether it is a group of things.
        texts: (m,) the members of its JSON object but `id`.
    """

    pairs: np.ndarray
    is_crowd: np.ndarray
    texts: pa.StringArray

    def lines(self) -> pa.Buffer:
        """Returns the texts as lines."""
        return end_to_end(join(self.texts, "\n"))


def describe_objects(
    table: pa.Table, image_ids: np.ndarray, index: Mapping[str, int], dropped: Counter[str]
) -> Objects:
    """Describes the boxes and masks of examples.

    Args:
        table: n rows of examples with pictures.
        image_ids: (n,) int64, of COCO.
        index: MID to class index; 0 for a class that has none.
        dropped: counts what is left out.
    """
    sizes = np.column_stack([table["width"].to_numpy(), table["height"].to_numpy()])
    boxes, box_corners = _find_boxes(table, sizes, index, dropped)
    masks = _find_masks(table, index, dropped)
    box_of, mask_of = _arrange(boxes, masks)
    mask_corners = _bound_masks(masks, mask_of[box_of < 0], sizes)
    # Where the values of boxes, followed by those of masks, have an object's.
    place = np.where(box_of < 0, len(boxes) + mask_of, box_of)
    rows = np.concatenate([boxes.examples, masks.examples])[place]
    categories = np.concatenate([boxes.numbers, masks.numbers])[place]
    corners = np.concatenate([box_corners, mask_corners])[place]
    is_group = boxes.integers("is_group_of") == 1
    is_crowd = np.concatenate([is_group, np.zeros(len(masks), bool)])[place]
    texts = json_text.members(
        {
            "image_id": numbers(image_ids[rows]),
            "category_id": numbers(categories),
            **_describe_shape(corners, masks, mask_of, sizes[rows]),
            "iscrowd": numbers(is_crowd.astype(np.int8)),
            "score": numbers(boxes.take("confidence", box_of)),
            "attributes": _describe(boxes, box_of, masks, mask_of),
        }
    )
    pairs = np.concatenate([boxes.pairs, masks.pairs])[place]
    return Objects(pairs, is_crowd, texts)


def _find_boxes(
    table: pa.Table, sizes: np.ndarray, index: Mapping[str, int], dropped: Counter[str]
) -> tuple[Annotations, np.ndarray]:
    """Returns the boxes that have an area, and their corners in ten-thousandths of a pixel,
    (m, 4) int64."""
    boxes = Annotations.of(in_one_piece(table["bboxes"]), index)
    dropped["boxes of classes without an index"] += boxes.left_out
    fractions = np.column_stack([boxes.floats(name) for name in _CORNERS]).astype(np.float64)
    scale = np.tile(sizes[boxes.examples], 2) * _SCALE
    corners = np.rint(fractions * scale).astype(np.int64)
    is_wide, is_high = (corners[:, 2:] > corners[:, :2]).T
    has_area = is_wide & is_high
    dropped["boxes without area"] += int((~has_area).sum())
    return boxes.where(has_area), corners[has_area]


def _find_masks(table: pa.Table, index: Mapping[str, int], dropped: Counter[str]) -> Annotations:
    """Returns the masks that have pixels."""
    masks = Annotations.of(in_one_piece(table["masks"]), index)
    dropped["masks of classes without an index"] += masks.left_out
    is_read = masks.fields["counts"].is_valid().to_numpy(zero_copy_only=False)
    has_pixels = is_read & (masks.integers("area") > 0)
    dropped["masks without pixels"] += int((~has_pixels).sum())
    return masks.where(has_pixels)


def _arrange(boxes: Annotations, masks: Annotations) -> tuple[np.ndarray, np.ndarray]:
    """Returns the box and the mask of each object, (m,) int64 each, -1 for none.

    Objects are in the order of examples; in each come boxes, and then masks without one.
    """
    mask_of = find_masks(boxes, masks)
    alone = np.setdiff1d(np.arange(len(masks)), mask_of)
    rows = np.concatenate([boxes.examples, masks.examples[alone]])
    box_of = np.concatenate([np.arange(len(boxes)), np.full(len(alone), -1)])
    order = np.argsort(rows, kind="stable")
    return box_of[order], np.concatenate([mask_of, alone])[order]


def _bound_masks(masks: Annotations, places: np.ndarray, sizes: np.ndarray) -> np.ndarray:
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
        counts = masks.take("counts", places).to_pylist()
        sizes = sizes[masks.examples[places], ::-1].tolist()
        rles = [{"size": size, "counts": each} for size, each in zip(sizes, counts, strict=True)]
        boxes = np.rint(coco.toBbox(rles)).astype(np.int64) * _SCALE
        boxes[:, 2:] += boxes[:, :2]
        corners[places] = boxes
    return corners


def _describe_shape(
    corners: np.ndarray, masks: Annotations, mask_of: np.ndarray, sizes: np.ndarray
) -> dict[str, pa.StringArray]:
    """Returns box, area and mask, where there is one, of annotations."""
    widths_heights = corners[:, 2:] - corners[:, :2]
    x, y, w, h = (_fixed_point(each) for each in (*corners[:, :2].T, *widths_heights.T))
    area = _fixed_point(np.rint(widths_heights.prod(axis=1) / _SCALE).astype(np.int64))
    pixels = numbers(masks.take("area", mask_of))
    # The characters of a compressed mask are ASCII, a backslash among them.
    counts = masks.take("counts", mask_of).cast(pa.string())
    counts = pc.replace_substring(counts, "\\", "\\\\")
    width, height = (numbers(each) for each in sizes.T)
    mask = join('{"size":[', height, ",", width, '],"counts":"', counts, '"}')
    return {
        "bbox": join("[", x, ",", y, ",", w, ",", h, "]"),
        "area": pc.coalesce(pixels, area),
        "segmentation": pc.fill_null(mask, "[]"),
    }


def _describe(
    boxes: Annotations, box_of: np.ndarray, masks: Annotations, mask_of: np.ndarray
) -> pa.StringArray:
    """Returns what else is known of annotations."""
    texts = {name: numbers(boxes.take(name, box_of)) for name in FLAGS}
    texts["source"] = json_text.strings(boxes.take("source", box_of))
    texts["box_id"] = json_text.strings(masks.take("box_id", mask_of))
    texts["predicted_iou"] = numbers(masks.take("predicted_iou", mask_of))
    return json_text.objects(texts)


def _fixed_point(units: np.ndarray) -> pa.StringArray:
    """Returns numbers with up to four decimals.

    Args:
        units: (n,) int64, the numbers in ten-thousandths; none is negative.
    """
    whole, rest = np.divmod(units, _SCALE)
    return join(numbers(whole), _FRACTIONS.take(pa.array(rest)))
