"""Tables as an evaluation reads them: those of the ground truth with all their digits, and
predictions.

Coordinates are float64 in the frame of the picture: (0, 0) is its upper left corner, (1, 1) the
lower right one. A build's tables have float32, whose rounding would move a box across a threshold.
"""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import Source, in_one_piece
from transforms.dataset.failures import Reason
from transforms.kinds.boxes import BOXES, FLAGS
from transforms.kinds.image_labels import IMAGE_LABELS
from transforms.kinds.images import IMAGES
from transforms.kinds.kind import CsvKind, Kind
from transforms.kinds.parsing.parsed import ParsedBlock
from transforms.kinds.parsing.table import FLAG, FLOAT, STRING, Rows, struct_array

_COORDINATES = ("XMin", "XMax", "YMin", "YMax")
CORNERS = tuple(name.lower() for name in _COORDINATES)
_BOX = dict.fromkeys(CORNERS, pa.float64())

#: A box of the ground truth; whether it is around a group is 1, 0, or -1 or null for unknown.
TRUE_BOX = pa.struct({"label": STRING, **_BOX, "is_group_of": FLAG})
#: A label of an image: confidence above 0 where it is there, 0 where it surely isn't.
TRUE_LABEL = pa.struct({"label": STRING, "source": STRING, "confidence": FLOAT})
#: A detected object.
DETECTION = pa.struct({"label": STRING, "score": pa.float64(), **_BOX})


def _check_boxes(rows: Rows) -> None:
    rows.require_text("LabelName")
    rows.require_box(*_COORDINATES)


def _check_detections(rows: Rows) -> None:
    rows.require_text("LabelName")
    scores = rows.numbers("Score")
    rows.require(np.isfinite(scores), "Score is not a finite number")
    rows.note(~((scores >= 0) & (scores <= 1)), Reason.BAD_ROW, "Score is not from 0 to 1: kept")
    for name in _COORDINATES:
        rows.require(np.isfinite(rows.numbers(name)), f"{name} is not a finite number")


_TRUE_BOXES = CsvKind(
    name=BOXES.name,
    column=BOXES.column,
    required={"LabelName": STRING, **dict.fromkeys(_COORDINATES, pa.float64())},
    optional={FLAGS["is_group_of"]: FLAG},
    row=TRUE_BOX,
    check=_check_boxes,
    renamed=BOXES.renamed,
    labels=("label",),
    coded=("label",),
    spilled_a_byte=0.6,
)
_TRUE_LABELS = dataclasses.replace(IMAGE_LABELS, row=TRUE_LABEL)

#: Detections: `ImageID,LabelName,Score,XMin,XMax,YMin,YMax`, as the Challenge takes them.
DETECTIONS = CsvKind(
    name="detections",
    column="detections",
    required={
        "LabelName": STRING,
        "Score": pa.float64(),
        **dict.fromkeys(_COORDINATES, pa.float64()),
    },
    optional={},
    aliases={"Confidence": "Score"},
    row=DETECTION,
    check=_check_detections,
    renamed={"LabelName": "label"},
    labels=("label",),
    coded=("label",),
    spilled_a_byte=0.6,
)


_FIELDS = ("label", "score", "xmin", "ymin", "xmax", "ymax")
_NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
_STRING = rf"^\s*(\S+(\s+{_NUMBER}){{{len(_FIELDS) - 1}}}(\s+|$))*$"


def _check_strings(rows: Rows) -> None:
    is_sound = pc.match_substring_regex(rows.columns["PredictionString"], _STRING)
    rows.require(
        np.asarray(is_sound.fill_null(False)),
        f"PredictionString is not '{' '.join(_FIELDS)}', once for each detection",
    )


class PredictionStringKind(CsvKind):
    """A table whose rows are images, with their detections in a text."""

    def parse(self, source: Source, data: bytes) -> ParsedBlock:
        parsed = super().parse(source, data)
        texts = pc.struct_field(in_one_piece(parsed.table["value"]), "prediction_string")
        words = pc.split_pattern_regex(pc.utf8_trim_whitespace(texts), r"\s+")
        words = pc.if_else(pc.equal(pc.utf8_trim_whitespace(texts), ""), _NO_WORDS, words)
        counts = words.value_lengths().to_numpy(zero_copy_only=False) // len(_FIELDS)
        flat = words.flatten()
        places = np.arange(counts.sum()) * len(_FIELDS)
        columns = {
            name: flat.take(pa.array(places + at)).cast(DETECTION.field(name).type)
            for at, name in enumerate(_FIELDS)
        }
        keys = np.repeat(parsed.table["key"].to_numpy(), counts)
        value = struct_array(DETECTION, columns, len(places))
        return dataclasses.replace(parsed, table=pa.table({"key": keys, "value": value}))


_NO_WORDS = pa.scalar([], pa.list_(pa.string()))
#: Detections as the Challenge on Kaggle took them: `ImageID,PredictionString`, or `ImageId`.
PREDICTION_STRINGS = PredictionStringKind(
    name="prediction_strings",
    column="detections",
    required={"PredictionString": STRING},
    optional={},
    row=pa.struct({"prediction_string": STRING}),
    check=_check_strings,
    labels=("label",),
    coded=("label",),
    spilled_a_byte=1.5,
)


def evaluated() -> Mapping[str, Kind]:
    """Returns `EVALUATED`; see `registry.tables`."""
    return EVALUATED


#: What sources are read as, by their kinds.
EVALUATED: Mapping[str, Kind] = MappingProxyType(
    {
        each.name: each
        for each in (IMAGES, _TRUE_BOXES, _TRUE_LABELS, DETECTIONS, PREDICTION_STRINGS)
    }
)
