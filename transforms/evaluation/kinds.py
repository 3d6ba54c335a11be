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

from transforms.kinds.boxes import BOXES, FLAGS
from transforms.kinds.image_labels import IMAGE_LABELS
from transforms.kinds.images import IMAGES
from transforms.kinds.kind import CsvKind, Kind
from transforms.kinds.parsing.table import FLAG, FLOAT, STRING, Rows

_COORDINATES = ("XMin", "XMax", "YMin", "YMax")
CORNERS = tuple(name.lower() for name in _COORDINATES)
_BOX = dict.fromkeys(CORNERS, pa.float64())
_FLAGS = ("is_occluded", "is_truncated", "is_group_of", "is_depiction")

#: A box of the ground truth. Flags are 1, 0, or -1 or null for unknown.
TRUE_BOX = pa.struct({"label": STRING, "source": STRING, **_BOX, **dict.fromkeys(_FLAGS, FLAG)})
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
    for name in _COORDINATES:
        rows.require(np.isfinite(rows.numbers(name)), f"{name} is not a finite number")


_TRUE_BOXES = CsvKind(
    name=BOXES.name,
    column=BOXES.column,
    required={"LabelName": STRING, **dict.fromkeys(_COORDINATES, pa.float64())},
    optional={"Source": STRING, **{FLAGS[name]: FLAG for name in _FLAGS}},
    row=TRUE_BOX,
    check=_check_boxes,
    renamed=BOXES.renamed,
    labels=("label",),
    coded=("label", "source"),
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


def evaluated() -> Mapping[str, Kind]:
    """Returns `EVALUATED`; see `registry.tables`."""
    return EVALUATED


#: What sources are read as, by their kinds.
EVALUATED: Mapping[str, Kind] = MappingProxyType(
    {each.name: each for each in (IMAGES, _TRUE_BOXES, _TRUE_LABELS, DETECTIONS)}
)
