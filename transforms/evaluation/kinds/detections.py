"""Tables of predictions: a row is a detected object, mask or relationship."""

import numpy as np
import pyarrow as pa

from transforms.evaluation.kinds.mask_texts import COLUMNS, UNSOUND, decode_columns
from transforms.evaluation.kinds.rows import (
    BOTH_COORDINATES,
    COORDINATES,
    DETECTED_MASK,
    DETECTED_PAIR,
    DETECTION,
    check_scores,
)
from transforms.kinds.kind import CsvKind
from transforms.kinds.parsing.table import STRING, Rows
from transforms.kinds.relationships import RELATIONSHIPS


def _check_boxes(rows: Rows) -> None:
    rows.require_text("LabelName")
    check_scores(rows)
    _check_finite(rows, COORDINATES)


def _check_finite(rows: Rows, names: tuple[str, ...]) -> None:
    for name in names:
        rows.require(np.isfinite(rows.numbers(name)), f"{name} is not a finite number")


def _check_masks(rows: Rows) -> None:
    rows.require_text("LabelName", "Mask")
    check_scores(rows)
    rows.require(decode_columns(rows), f"Mask {UNSOUND}")


def _check_pairs(rows: Rows) -> None:
    rows.require_text("LabelName1", "LabelName2", "RelationshipLabel")
    check_scores(rows)
    _check_finite(rows, BOTH_COORDINATES)


#: `ImageID,LabelName,Score,XMin,XMax,YMin,YMax`, as the Challenge takes them.
DETECTIONS = CsvKind(
    name="detections",
    column="detections",
    required={
        "LabelName": STRING,
        "Score": pa.float64(),
        **dict.fromkeys(COORDINATES, pa.float64()),
    },
    optional={},
    aliases={"Confidence": "Score"},
    row=DETECTION,
    check=_check_boxes,
    renamed={"LabelName": "label"},
    labels=("label",),
    coded=("label",),
    spilled_a_byte=0.6,
)

#: `ImageID,LabelName,Score,ImageWidth,ImageHeight,Mask`.
MASK_DETECTIONS = CsvKind(
    name="mask_detections",
    column="detections",
    required={
        "LabelName": STRING,
        "Score": pa.float64(),
        **COLUMNS,
    },
    optional={},
    aliases={"Confidence": "Score"},
    row=DETECTED_MASK,
    check=_check_masks,
    renamed={"LabelName": "label"},
    labels=("label",),
    coded=("label",),
    spilled_a_byte=1.2,
)

#: Columns as of the relationships of the ground truth, and `Score`.
PAIR_DETECTIONS = CsvKind(
    name="relationship_detections",
    column="detections",
    required={
        **RELATIONSHIPS.required,
        **dict.fromkeys(BOTH_COORDINATES, pa.float64()),
        "Score": pa.float64(),
    },
    optional={},
    aliases={**RELATIONSHIPS.aliases, "Confidence": "Score"},
    row=DETECTED_PAIR,
    check=_check_pairs,
    renamed=RELATIONSHIPS.renamed,
    labels=("label1", "label2", "relationship"),
    coded=("label1", "label2", "relationship"),
    spilled_a_byte=0.8,
)
