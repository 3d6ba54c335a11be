"""Boxes of people: MIAP's `open_images_extended_miap_boxes_*.csv`.

They annotate people once more, with what the annotators perceived of them, so they have a column of
their own.
"""

import dataclasses

import pyarrow as pa

from transforms.kinds import boxes
from transforms.kinds.parsing.table import FLAG, FLOAT, STRING

_FLAGS = boxes.FLAGS | {"is_depiction": "IsDepictionOf", "is_inside": "IsInsideOf"}
_PERCEIVED = {"gender_presentation": "GenderPresentation", "age_presentation": "AgePresentation"}


PERSON_BOXES = dataclasses.replace(
    boxes.BOXES,
    name="person_boxes",
    column="person_boxes",
    optional={
        "Source": STRING,
        "Confidence": FLOAT,
        **dict.fromkeys(_FLAGS.values(), FLAG),
        **dict.fromkeys(_PERCEIVED.values(), STRING),
    },
    row=pa.struct({**boxes.BOX_FIELDS, **dict.fromkeys(_PERCEIVED, STRING)}),
    check=boxes.check_boxes,
    renamed={"LabelName": "label", "IsDepictionOf": "is_depiction", "IsInsideOf": "is_inside"},
    few_values=("label", "source", "confidence", *_FLAGS, *_PERCEIVED),
    spilled_a_byte=0.7,
)
