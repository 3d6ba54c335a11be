"""Visual relationships: `*-annotations-vrd.csv`. The relation `is` is an attribute: its second box
repeats the first, and its second label is the attribute."""

import pyarrow as pa

from transforms.kinds.kind import CsvKind
from transforms.kinds.parsing.table import FLOAT, STRING, Rows, struct_array

_BOXES = [(f"XMin{i}", f"XMax{i}", f"YMin{i}", f"YMax{i}") for i in (1, 2)]
_COORDINATES = [name for box in _BOXES for name in box]
_TEXTS = {"label1": "LabelName1", "label2": "LabelName2", "relationship": "RelationshipLabel"}
_CORNERS = {name.lower(): name for name in _COORDINATES}

RELATIONSHIP = pa.struct({**dict.fromkeys(_TEXTS, STRING), **dict.fromkeys(_CORNERS, FLOAT)})


def _build(rows: Rows) -> pa.StructArray:
    rows.require_text(*_TEXTS.values())
    for box in _BOXES:
        rows.require_box(*box)
    columns = {field: rows.columns[name] for field, name in (_TEXTS | _CORNERS).items()}
    return struct_array(RELATIONSHIP, columns, rows.length)


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
    row=RELATIONSHIP,
    build=_build,
    identity=tuple(_CORNERS),
    labels=("label1", "label2"),
    few_values=tuple(_TEXTS),
)
