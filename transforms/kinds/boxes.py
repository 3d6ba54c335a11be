"""Bounding boxes: `*-annotations-bbox.csv`, and V3's `annotations-human-bbox.csv`.

Published with 21 columns (V6 train), 13 (validation and test) or 8 (V3 train), and by the Challenge
without source and confidence.
"""

import numpy as np
import pyarrow as pa

from transforms.kinds.kind import CsvKind
from transforms.kinds.parsing.table import FLAG, FLOAT, STRING, Rows

_COORDINATES = ("XMin", "XMax", "YMin", "YMax")
#: Columns of the clicks that a box was drawn by.
CLICKS = [f"XClick{i}{axis}" for axis in "XY" for i in (1, 2, 3, 4)]
#: Fields that are -1, 0 or 1, with their published columns.
FLAGS = {
    "is_occluded": "IsOccluded",
    "is_truncated": "IsTruncated",
    "is_group_of": "IsGroupOf",
    "is_depiction": "IsDepiction",
    "is_inside": "IsInside",
}

#: Fields that all boxes have, MIAP's too.
BOX_FIELDS = {
    "label": STRING,
    "source": STRING,
    "confidence": FLOAT,
    **{name.lower(): FLOAT for name in _COORDINATES},
    **dict.fromkeys(FLAGS, FLAG),
}
_POINT = pa.struct({"x": FLOAT, "y": FLOAT})
BOX = pa.struct({**BOX_FIELDS, "extreme_points": pa.list_(_POINT)})


def check_boxes(rows: Rows) -> None:
    """Rejects rows without a class or without a valid box."""
    rows.require_text("LabelName")
    rows.require_box(*_COORDINATES)
    rows.forget_infinite("Confidence")


def _check(rows: Rows) -> None:
    check_boxes(rows)
    if all(name in rows.columns for name in CLICKS):
        rows.columns["extreme_points"] = _extreme_points(rows)


def _extreme_points(rows: Rows) -> pa.ListArray:
    """Returns the four clicks of each box that was drawn by extreme clicking; an empty list for
    other boxes, and null where a click can't be read."""
    clicks = np.stack([rows.numbers(name) for name in CLICKS], axis=1).reshape(-1, 2, 4)
    unread = [rows.unread.pop(name) for name in CLICKS if name in rows.unread]
    bad = np.any([np.isinf(clicks).any(axis=(1, 2)), *unread], axis=0)
    rows.note_lost(bad, "a click (XClick…) is not a finite number")
    clicked = (clicks >= 0).all(axis=(1, 2)) & ~bad
    x, y = clicks[clicked].transpose(1, 0, 2).reshape(2, -1)
    points = pa.StructArray.from_arrays([x, y], fields=list(_POINT))
    offsets = np.concatenate([[0], np.cumsum(4 * clicked)]).astype(np.int32)
    mask = pa.array(bad) if bad.any() else None
    return pa.ListArray.from_arrays(offsets, points, mask=mask)


BOXES = CsvKind(
    name="boxes",
    column="bboxes",
    required={"LabelName": STRING, **dict.fromkeys(_COORDINATES, FLOAT)},
    optional={
        "Source": STRING,
        "Confidence": FLOAT,
        **dict.fromkeys(FLAGS.values(), FLAG),
        **dict.fromkeys(CLICKS, FLOAT),
    },
    row=BOX,
    check=_check,
    renamed={"LabelName": "label"},
    identity=("label", "xmin", "xmax", "ymin", "ymax"),
    labels=("label",),
    coded=("label", "source"),
    few_values=("label", "source", "confidence", *FLAGS),
    spilled_a_byte=0.5,
)
