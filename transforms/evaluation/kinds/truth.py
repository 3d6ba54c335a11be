"""Tables of the ground truth."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.evaluation.kinds.mask_texts import COLUMNS, UNSOUND, decode_columns
from transforms.evaluation.kinds.rows import (
    BOTH_COORDINATES,
    COORDINATES,
    TRUE_BOX,
    TRUE_LABEL,
    TRUE_MASK,
    TRUE_PAIR,
)
from transforms.kinds.boxes import BOXES, FLAGS
from transforms.kinds.image_labels import IMAGE_LABELS
from transforms.kinds.kind import CsvKind
from transforms.kinds.parsing.table import FLAG, STRING, Rows
from transforms.kinds.relationships import RELATIONSHIPS


def _check(rows: Rows) -> None:
    rows.require_text("LabelName")
    rows.require_box(*COORDINATES)


TRUE_BOXES = CsvKind(
    name=BOXES.name,
    column=BOXES.column,
    required={"LabelName": STRING, **dict.fromkeys(COORDINATES, pa.float64())},
    optional={"Source": STRING, **dict.fromkeys(FLAGS.values(), FLAG)},
    row=TRUE_BOX,
    check=_check,
    renamed=BOXES.renamed,
    labels=("label",),
    coded=("label", "source"),
    spilled_a_byte=0.6,
)


def _check_masks(rows: Rows) -> None:
    _check(rows)
    lengths = pc.binary_length(rows.columns["Mask"])
    has_mask = np.asarray(pc.fill_null(pc.greater(lengths, 0), False))
    rows.require(decode_columns(rows) | ~has_mask, f"Mask {UNSOUND}")


#: `ImageID,LabelName,ImageWidth,ImageHeight,XMin,YMin,XMax,YMax,IsGroupOf,Mask`, as the Object
#: Detection API's evaluation takes the ground truth of masks; empty where a box has no mask.
TRUE_MASKS = CsvKind(
    name="encoded_masks",
    column="masks",
    required={
        "LabelName": STRING,
        **dict.fromkeys(COORDINATES, pa.float64()),
        **COLUMNS,
    },
    optional={FLAGS["is_group_of"]: FLAG},
    row=TRUE_MASK,
    check=_check_masks,
    renamed=BOXES.renamed,
    labels=("label",),
    coded=("label",),
    spilled_a_byte=1.2,
)
TRUE_LABELS = dataclasses.replace(IMAGE_LABELS, row=TRUE_LABEL)
#: Relations are classes too: those that relationships are measured by.
TRUE_PAIRS = dataclasses.replace(
    RELATIONSHIPS,
    required={**RELATIONSHIPS.required, **dict.fromkeys(BOTH_COORDINATES, pa.float64())},
    row=TRUE_PAIR,
    labels=("label1", "label2", "relationship"),
    coded=("label1", "label2", "relationship"),
)
