"""Segmentation masks: `*-annotations-object-segmentation.csv`, whose rows name a PNG each.

The published box is the one from which the mask was drawn, not the mask's own.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.failures import Reason
from transforms.dataset.schema import MAP_COLUMNS
from transforms.kinds.kind import CsvKind
from transforms.kinds.parsing.table import FLOAT, STRING, Rows, empty_as_null

_BOX = ("BoxXMin", "BoxXMax", "BoxYMin", "BoxYMax")
_NUMBER = r"-?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?"
_CLICK_PATTERN = rf"{_NUMBER} {_NUMBER} -?[0-9]{{1,2}}"
_CLICKS_PATTERN = rf"^({_CLICK_PATTERN}(;{_CLICK_PATTERN})*;?)?$"
_STEP = 4096  # rows

_CORNERS = ("xmin", "xmax", "ymin", "ymax")
_CLICK = pa.struct({"x": FLOAT, "y": FLOAT, "t": pa.int8()})
_FIELDS = {
    "label": STRING,
    "box_id": STRING,
    **dict.fromkeys(_CORNERS, FLOAT),
    "predicted_iou": FLOAT,
    "clicks": pa.list_(_CLICK),
}
#: A mask in an example; `size` is height and width, `counts` COCO's compressed run lengths.
MASK = pa.struct(
    {**_FIELDS, "size": pa.list_(pa.int32()), "counts": pa.binary(), "area": pa.int64()}
)
#: A mask before its PNG is read, with the PNG's name in place of the pixels.
MASK_ROW = pa.struct({**_FIELDS, "mask_path": STRING})


def _check(rows: Rows) -> None:
    rows.require_text("MaskPath", "LabelName")
    path = rows.columns["MaskPath"]
    unsafe = pc.match_substring_regex(path, r"[/\\]|\.\.").to_numpy(zero_copy_only=False)
    rows.require(~unsafe, "MaskPath is not a plain file name", Reason.UNSAFE_PATH)
    rows.forget_box(*_BOX)
    rows.forget_infinite("PredictedIoU")
    if "Clicks" in rows.columns:
        _parse_clicks(rows)


def _parse_clicks(rows: Rows) -> None:
    """Parses `X Y T;X Y T;…` to lists of clicks; null for another form and for infinite numbers."""
    text = rows.columns["Clicks"]
    sound = pc.fill_null(pc.match_substring_regex(text, _CLICKS_PATTERN), True)
    rows.forget("Clicks", sound.to_numpy(zero_copy_only=False), "Clicks is not 'X Y T;X Y T;…'")
    text = rows.columns["Clicks"]
    # Piece by piece, since each word by itself takes many times its text.
    pieces = [_split_clicks(text.slice(at, _STEP)) for at in range(0, max(len(text), 1), _STEP)]
    clicks = pa.concat_arrays(pieces)
    rows.columns["Clicks"] = (
        pc.if_else(text.is_valid(), clicks, None) if text.null_count else clicks
    )
    points = clicks.flatten()
    sound = np.isfinite(points.field("x").to_numpy()) & np.isfinite(points.field("y").to_numpy())
    finite = np.ones(rows.length, bool)
    finite[pc.list_parent_indices(clicks).to_numpy()[~sound]] = False
    rows.forget("Clicks", finite, "Clicks hold a number that is not finite")


def _split_clicks(text: pa.StringArray) -> pa.ListArray:
    text = pc.utf8_rtrim(pc.fill_null(text, ""), ";")
    clicks = pc.split_pattern(empty_as_null(text), ";")
    words = pc.split_pattern(clicks.flatten(), " ").flatten()
    numbers = [
        words.take(pa.array(np.arange(i, len(words), 3))).cast(field.type)
        for i, field in enumerate(_CLICK)
    ]
    points = pa.StructArray.from_arrays(numbers, fields=list(_CLICK))
    return pa.ListArray.from_arrays(clicks.offsets, points)


MASKS = CsvKind(
    name="masks",
    column="masks",
    other_columns=MAP_COLUMNS,
    required={"MaskPath": STRING, "LabelName": STRING},
    optional={
        "BoxID": STRING,
        **dict.fromkeys(_BOX, FLOAT),
        "PredictedIoU": FLOAT,
        "Clicks": STRING,
    },
    row=MASK_ROW,
    element=MASK,
    check=_check,
    renamed={"LabelName": "label", **dict(zip(_BOX, _CORNERS, strict=True))},
    identity=_CORNERS,
    labels=("label",),
    few_values=("label",),
    seconds_a_byte=2.7,
)
