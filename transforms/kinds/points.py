"""Point labels of V7: `oidv7-*-annotations-point-labels.csv`, with `ImageId` and `Label`."""

import pyarrow as pa

from transforms.kinds.kind import CsvKind
from transforms.kinds.parsing.table import FLOAT, STRING, Rows, struct_array

_COUNT = pa.int32()
_VOTES = {"yes_votes": "YesVotes", "no_votes": "NoVotes", "unsure_votes": "UnsureVotes"}

POINT_LABEL = pa.struct(
    {
        "x": FLOAT,
        "y": FLOAT,
        "label": STRING,
        "estimated_yes_no": STRING,
        "source": STRING,
        **dict.fromkeys(_VOTES, _COUNT),
        "text_label": STRING,
    }
)


def _build(rows: Rows) -> pa.StructArray:
    rows.require_text("Label")
    for axis in "XY":
        values = rows.numbers(axis)
        rows.require((values >= 0) & (values <= 1), f"{axis} is outside [0, 1]")
    for name in _VOTES.values():
        if name in rows.columns:
            votes = rows.columns[name].fill_null(0).to_numpy(zero_copy_only=False)
            rows.forget(name, votes >= 0, f"{name} is not a count")
    return struct_array(
        POINT_LABEL,
        {
            "x": rows.columns["X"],
            "y": rows.columns["Y"],
            "label": rows.columns["Label"],
            "estimated_yes_no": rows.columns["EstimatedYesNo"],
            "source": rows.get("Source", STRING),
            **{field: rows.get(name, _COUNT) for field, name in _VOTES.items()},
            "text_label": rows.get("TextLabel", STRING),
        },
        rows.length,
    )


POINTS = CsvKind(
    name="points",
    column="points",
    # EstimatedYesNo tells whether the class is there, so a point without it means nothing.
    required={"X": FLOAT, "Y": FLOAT, "Label": STRING, "EstimatedYesNo": STRING},
    optional={"Source": STRING, **dict.fromkeys(_VOTES.values(), _COUNT), "TextLabel": STRING},
    aliases={"ImageId": "ImageID"},
    free_texts=("TextLabel",),
    row=POINT_LABEL,
    build=_build,
    identity=("x", "y", "label"),
    labels=("label",),
    coded=("label", "source", "estimated_yes_no"),
    few_values=("label", "source", "estimated_yes_no", *_VOTES, "text_label"),
    seconds_a_byte=2.5,
    spilled_a_byte=0.6,
)
