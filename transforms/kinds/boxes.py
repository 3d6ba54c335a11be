"""Bounding boxes: `*-annotations-bbox.csv`, V3's `annotations-human-bbox.csv`, and MIAP's person
boxes.

Published with 21 columns (V6 train), 13 (validation and test) or 8 (V3 train), and by the Challenge
without source and confidence. MIAP (`open_images_extended_miap_boxes_*.csv`) annotates people once
more, with what the annotators perceived of them, so its boxes have a column of their own.
"""

import numpy as np
import pyarrow as pa

from transforms.dataset.schema import BOX, PERSON_BOX, POINT
from transforms.kinds.tables import FLAG, FLOAT, STRING, Rows, TableFormat, struct_array

_COORDINATES = ("XMin", "XMax", "YMin", "YMax")
_CLICKS = [f"XClick{i}{axis}" for axis in "XY" for i in (1, 2, 3, 4)]
_FLAGS = {
    "is_occluded": "IsOccluded",
    "is_truncated": "IsTruncated",
    "is_group_of": "IsGroupOf",
    "is_depiction": "IsDepiction",
    "is_inside": "IsInside",
}
_MIAP_FLAGS = _FLAGS | {"is_depiction": "IsDepictionOf", "is_inside": "IsInsideOf"}


def _require_box(rows: Rows) -> None:
    """Rejects rows without a class or without a valid box."""
    rows.require_text("LabelName")
    rows.require_box(*_COORDINATES)


def _build(
    dtype: pa.StructType, rows: Rows, flags: dict[str, str], others: dict[str, pa.Array]
) -> pa.StructArray:
    columns = {
        "label": rows.columns["LabelName"],
        "source": rows.get("Source", STRING),
        "confidence": rows.optional_number("Confidence"),
        **{name.lower(): rows.columns[name] for name in _COORDINATES},
        **others,
    }
    for field, name in flags.items():
        if name in rows.columns:
            values = rows.columns[name].fill_null(0).to_numpy(zero_copy_only=False)
            rows.forget(name, (values >= -1) & (values <= 1), f"{name} is not -1, 0 or 1")
            columns[field] = rows.columns[name]
    return struct_array(dtype, columns, rows.length)


def _build_boxes(rows: Rows) -> pa.StructArray:
    _require_box(rows)
    others = {}
    if all(name in rows.columns for name in _CLICKS):
        others["extreme_points"] = _extreme_points(rows)
    return _build(BOX, rows, _FLAGS, others)


def _extreme_points(rows: Rows) -> pa.ListArray:
    """The four clicks of each box drawn by extreme clicking; an empty list for the others, and null
    where a click can't be read."""
    clicks = np.stack([rows.numbers(name) for name in _CLICKS], axis=1).reshape(-1, 2, 4)
    unread = [rows.unread.pop(name) for name in _CLICKS if name in rows.unread]
    bad = np.any([np.isinf(clicks).any(axis=(1, 2)), *unread], axis=0)
    rows.note_lost(bad, "a click (XClick…) is not a finite number")
    clicked = (clicks >= 0).all(axis=(1, 2)) & ~bad
    points = clicks[clicked].transpose(0, 2, 1).reshape(-1, 2)
    offsets = np.concatenate([[0], np.cumsum(4 * clicked)]).astype(np.int32)
    return pa.ListArray.from_arrays(
        offsets,
        pa.StructArray.from_arrays(
            [np.ascontiguousarray(points[:, 0]), np.ascontiguousarray(points[:, 1])],
            fields=list(POINT),
        ),
        mask=pa.array(bad) if bad.any() else None,
    )


def _build_person_boxes(rows: Rows) -> pa.StructArray:
    _require_box(rows)
    return _build(
        PERSON_BOX,
        rows,
        _MIAP_FLAGS,
        {
            "gender_presentation": rows.get("GenderPresentation", STRING),
            "age_presentation": rows.get("AgePresentation", STRING),
        },
    )


BOXES = TableFormat(
    kind="boxes",
    column="bboxes",
    required={"LabelName": STRING, **dict.fromkeys(_COORDINATES, FLOAT)},
    optional={
        "Source": STRING,
        "Confidence": FLOAT,
        **dict.fromkeys(_FLAGS.values(), FLAG),
        **dict.fromkeys(_CLICKS, FLOAT),
    },
    value=BOX,
    build=_build_boxes,
    identity=("label", "xmin", "xmax", "ymin", "ymax"),
)

PERSON_BOXES = TableFormat(
    kind="person_boxes",
    column="person_boxes",
    required={"LabelName": STRING, **dict.fromkeys(_COORDINATES, FLOAT)},
    optional={
        "Source": STRING,
        "Confidence": FLOAT,
        **dict.fromkeys(_MIAP_FLAGS.values(), FLAG),
        "GenderPresentation": STRING,
        "AgePresentation": STRING,
    },
    value=PERSON_BOX,
    build=_build_person_boxes,
    identity=("label", "xmin", "xmax", "ymin", "ymax"),
)
