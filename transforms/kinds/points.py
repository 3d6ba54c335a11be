"""Point labels of V7: `oidv7-*-annotations-point-labels.csv`, with `ImageId` and `Label`."""

import pyarrow as pa

from transforms.kinds.kind import CsvKind
from transforms.kinds.parsing.table import FLOAT, STRING, Rows

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


def _check(rows: Rows) -> None:
    rows.require_text("Label")
    for axis in "XY":
        values = rows.numbers(axis)
        rows.require((values >= 0) & (values <= 1), f"{axis} is outside [0, 1]")
    for name in rows.columns.keys() & _VOTES.values():
        votes = rows.columns[name].fill_null(0).to_numpy(zero_copy_only=False)
        rows.forget(name, votes >= 0, f"{name} is not a count")


POINTS = CsvKind(
    name="points",
    column="points",
    # EstimatedYesNo tells whether the class is there, so a point without it means nothing.
    required={"X": FLOAT, "Y": FLOAT, "Label": STRING, "EstimatedYesNo": STRING},
    optional={"Source": STRING, **dict.fromkeys(_VOTES.values(), _COUNT), "TextLabel": STRING},
    aliases={"ImageId": "ImageID"},
    free_texts=("TextLabel",),
    row=POINT_LABEL,
    check=_check,
    identity=("x", "y", "label"),
    labels=("label",),
    coded=("label", "source", "estimated_yes_no"),
    few_values=("label", "source", "estimated_yes_no", *_VOTES, "text_label"),
    seconds_a_byte=2.5,
    spilled_a_byte=0.6,
)
