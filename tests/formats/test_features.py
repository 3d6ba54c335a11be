"""Which flat features there are, and what stands in for nulls."""

import math

import numpy as np
import pyarrow as pa

from transforms.formats.tfrecord.features import leaves
from transforms.kinds.registry import EXAMPLE, example_columns

_RAGGED = ("ragged_flat_values", "ragged_row_lengths_0")


def _keys(names):
    return [leaf.key for leaf in leaves(EXAMPLE.empty_table(), names)]


def _values(row, name):
    """The values of one row's features in one column, by key."""
    table = pa.Table.from_pylist([row], schema=EXAMPLE)
    found = leaves(table, [name])
    return {
        leaf.key: leaf.values.tolist()
        if isinstance(leaf.values, np.ndarray)
        else leaf.values.to_pylist()
        for leaf in found
    }


def test_pictures_are_features_by_themselves_and_only_when_asked_for():
    assert {"image", "instance_map"} < set(_keys(example_columns(maps=["instance_map"])))
    without = set(_keys(example_columns(with_image=False)))
    assert not without & {"image", "instance_map", "semantic_map"}
    assert {"image_id", "split", "width", "rotation", "thumbnail_300k_url"} < without


def test_corners_become_boxes():
    assert _keys(["relationships"]) == [
        f"relationships/{name}" for name in ("bbox1", "bbox2", "label1", "label2", "relationship")
    ]
    box = {"xmin": 0.125, "xmax": 0.25, "ymin": 0.5, "ymax": 0.75}
    values = _values({"bboxes": [box, box]}, "bboxes")
    assert values["bboxes/bbox"] == [0.5, 0.125, 0.75, 0.25] * 2


def test_lists_within_lists_are_ragged():
    assert _keys(["masks"]) == [
        "masks/area",
        "masks/bbox",
        "masks/box_id",
        *(f"masks/clicks/{axis}/{part}" for axis in "txy" for part in _RAGGED),
        "masks/counts",
        "masks/label",
        "masks/predicted_iou",
        *(f"masks/size/{part}" for part in _RAGGED),
    ]
    spoken = [{"x": 0.5}, {"x": 0.25}]
    values = _values({"narratives": [{"traces": [spoken, []]}, {}]}, "narratives")
    assert values["narratives/traces/x/ragged_flat_values"] == [0.5, 0.25]
    assert values["narratives/traces/x/ragged_row_lengths_0"] == [2, 0]
    assert values["narratives/traces/x/ragged_row_lengths_1"] == [2, 0]


def test_nulls():
    row = {"bboxes": [{}], "width": None, "title": None}
    boxes = _values(row, "bboxes")
    assert boxes["bboxes/label"] == [b""]
    assert boxes["bboxes/is_inside"] == [-1]
    assert math.isnan(boxes["bboxes/confidence"][0])
    assert boxes["bboxes/extreme_points/x/ragged_row_lengths_0"] == [0]
    assert _values(row, "width") == {"width": [-1]}
    assert _values(row, "title") == {"title": [b""]}
    assert _values(row, "image_labels")["image_labels/label"] == []
