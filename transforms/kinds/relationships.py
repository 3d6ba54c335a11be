"""Visual relationships: `*-annotations-vrd.csv`. The relation `is` is an attribute: its second box
repeats the first, and its second label is the attribute."""

import pyarrow as pa

from transforms.kinds.kind import CsvKind
from transforms.kinds.parsing.table import FLOAT, STRING, Rows

_BOXES = [(f"XMin{i}", f"XMax{i}", f"YMin{i}", f"YMax{i}") for i in (1, 2)]
_COORDINATES = [name for box in _BOXES for name in box]
_TEXTS = {"LabelName1": "label1", "LabelName2": "label2", "RelationshipLabel": "relationship"}
_CORNERS = [name.lower() for name in _COORDINATES]


def _check(rows: Rows) -> None:
    rows.require_text(*_TEXTS)
    for box in _BOXES:
        rows.require_box(*box)


RELATIONSHIPS = CsvKind(
    name="relationships",
    column="relationships",
    required={
        "LabelName1": STRING,
        "LabelName2": STRING,
        **dict.fromkeys(_COORDINATES, FLOAT),
        "RelationshipLabel": STRING,
    },
    optional={},
    aliases={"RelationLabel": "RelationshipLabel"},
    row=pa.struct(dict.fromkeys(_TEXTS.values(), STRING) | dict.fromkeys(_CORNERS, FLOAT)),
    check=_check,
    renamed=_TEXTS,
    identity=tuple(_CORNERS),
    labels=("label1", "label2"),
    few_values=tuple(_TEXTS.values()),
)
