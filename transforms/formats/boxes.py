"""Bounding boxes: `*-annotations-bbox.csv`, V3's `annotations-human-bbox.csv`, and MIAP's person
boxes.

Published with 21 columns (V6 train), 13 (validation and test) or 8 (V3 train). MIAP
(`open_images_extended_miap_boxes_*.csv`) annotates people once more, with what the annotators
perceived of them, so its boxes have a column of their own.
"""

import numpy as np
import pyarrow as pa

from transforms.examples.schema import BOX, PERSON_BOX, POINT
from transforms.formats.tables import FLOAT, STRING, Rows, TableFormat, struct_array

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
_FLAG_TYPE = pa.int8()


def _build(
    dtype: pa.StructType, rows: Rows, flags: dict[str, str], others: dict[str, pa.Array]
) -> pa.StructArray:
    rows.require_finite("Confidence")
    rows.require_box(*_COORDINATES)
    columns = {
        "label": rows.columns["LabelName"],
        "source": rows.get("Source", STRING),
        "confidence": rows.columns["Confidence"],
        **{name.lower(): rows.columns[name] for name in _COORDINATES},
        **others,
    }
    for field, name in flags.items():
        if name in rows.columns:
            flag = rows.columns[name]
            values = flag.fill_null(-128).to_numpy(zero_copy_only=False)
            rows.require((values >= -1) & (values <= 1), f"{name} is not -1, 0 or 1")
            columns[field] = flag
    return struct_array(dtype, columns, rows.length)


def _build_boxes(rows: Rows) -> pa.StructArray:
    clicks = {}
    if all(name in rows.columns for name in _CLICKS):
        clicks["extreme_points"] = _extreme_points(rows)
    return _build(BOX, rows, _FLAGS, clicks)


def _extreme_points(rows: Rows) -> pa.ListArray:
    """The four clicks of each box drawn by extreme clicking; an empty list for the others."""
    clicks = np.stack([rows.numbers(name) for name in _CLICKS], axis=1).reshape(-1, 2, 4)
    endless = np.isinf(clicks).reshape(-1, len(_CLICKS)).max(axis=1)
    rows.require(np.logical_not(endless), "a click is not a finite number")
    clicked = (clicks >= 0).all(axis=(1, 2))
    points = clicks[clicked].transpose(0, 2, 1).reshape(-1, 2)
    offsets = np.concatenate([[0], np.cumsum(4 * clicked)]).astype(np.int32)
    return pa.ListArray.from_arrays(
        offsets,
        pa.StructArray.from_arrays(
            [np.ascontiguousarray(points[:, 0]), np.ascontiguousarray(points[:, 1])],
            fields=list(POINT),
        ),
    )


def _build_person_boxes(rows: Rows) -> pa.StructArray:
    presentations = {
        "gender_presentation": rows.columns["GenderPresentation"],
        "age_presentation": rows.columns["AgePresentation"],
    }
    return _build(PERSON_BOX, rows, _MIAP_FLAGS, presentations)


BOXES = TableFormat(
    kind="boxes",
    column="bboxes",
    required={
        "Source": STRING,
        "LabelName": STRING,
        "Confidence": FLOAT,
        **dict.fromkeys(_COORDINATES, FLOAT),
    },
    optional={**dict.fromkeys(_FLAGS.values(), _FLAG_TYPE), **dict.fromkeys(_CLICKS, FLOAT)},
    value=BOX,
    build=_build_boxes,
    identity=("label", "xmin", "xmax", "ymin", "ymax"),
)

PERSON_BOXES = TableFormat(
    kind="person_boxes",
    column="person_boxes",
    required={
        "LabelName": STRING,
        "Confidence": FLOAT,
        **dict.fromkeys(_COORDINATES, FLOAT),
        "GenderPresentation": STRING,
        "AgePresentation": STRING,
    },
    optional={"Source": STRING, **dict.fromkeys(_MIAP_FLAGS.values(), _FLAG_TYPE)},
    value=PERSON_BOX,
    build=_build_person_boxes,
    identity=("label", "xmin", "xmax", "ymin", "ymax"),
)
