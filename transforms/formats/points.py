"""Point labels of V7: `oidv7-*-annotations-point-labels.csv`, with `ImageId` and `Label`."""

import pyarrow as pa

from transforms.examples.schema import POINT_LABEL
from transforms.formats.tables import FLOAT, STRING, Rows, TableFormat, struct_array

_VOTES = ("YesVotes", "NoVotes", "UnsureVotes")


def _build(rows: Rows) -> pa.StructArray:
    for axis in "XY":
        values = rows.numbers(axis)
        rows.require((values >= 0) & (values <= 1), f"{axis} is outside [0, 1]")
    for name in _VOTES:
        votes = rows.columns[name].fill_null(-1).to_numpy(zero_copy_only=False)
        rows.require(votes >= 0, f"{name} is not a count")
    return struct_array(
        POINT_LABEL,
        {
            "x": rows.columns["X"],
            "y": rows.columns["Y"],
            "label": rows.columns["Label"],
            "estimated_yes_no": rows.columns["EstimatedYesNo"],
            "source": rows.columns["Source"],
            "yes_votes": rows.columns["YesVotes"],
            "no_votes": rows.columns["NoVotes"],
            "unsure_votes": rows.columns["UnsureVotes"],
            "text_label": rows.columns["TextLabel"],
        },
        rows.length,
    )


POINTS = TableFormat(
    kind="points",
    column="points",
    required={
        "X": FLOAT,
        "Y": FLOAT,
        "Label": STRING,
        "EstimatedYesNo": STRING,
        "Source": STRING,
        **dict.fromkeys(_VOTES, pa.int32()),
        "TextLabel": STRING,
    },
    optional={},
    value=POINT_LABEL,
    build=_build,
    identity=("x", "y", "label"),
    aliases={"ImageId": "ImageID"},
    free_text=True,
)
