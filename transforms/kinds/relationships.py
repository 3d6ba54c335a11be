"""Visual relationships: `*-annotations-vrd.csv`. The relation `is` is an attribute: its second box
repeats the first, and its second label is the attribute."""

import pyarrow as pa

from transforms.dataset.schema import RELATIONSHIP
from transforms.kinds.tables import FLOAT, STRING, Rows, TableFormat, struct_array

_BOXES = [(f"XMin{i}", f"XMax{i}", f"YMin{i}", f"YMax{i}") for i in (1, 2)]
_COORDINATES = [name for box in _BOXES for name in box]


def _build(rows: Rows) -> pa.StructArray:
    rows.require_text("LabelName1", "LabelName2", "RelationshipLabel")
    for box in _BOXES:
        rows.require_box(*box)
    return struct_array(
        RELATIONSHIP,
        {
            "label1": rows.columns["LabelName1"],
            "label2": rows.columns["LabelName2"],
            "relationship": rows.columns["RelationshipLabel"],
            **{name.lower(): rows.columns[name] for name in _COORDINATES},
        },
        rows.length,
    )


RELATIONSHIPS = TableFormat(
    kind="relationships",
    column="relationships",
    required={
        "LabelName1": STRING,
        "LabelName2": STRING,
        **dict.fromkeys(_COORDINATES, FLOAT),
        "RelationshipLabel": STRING,
    },
    optional={},
    value=RELATIONSHIP,
    build=_build,
    identity=("xmin1", "xmax1", "ymin1", "ymax1", "xmin2", "xmax2", "ymin2", "ymax2"),
    aliases={"RelationLabel": "RelationshipLabel"},
)
