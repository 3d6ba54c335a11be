"""Point labels of V7: `oidv7-*-annotations-point-labels.csv`, with `ImageId` and `Label`."""

import pyarrow as pa

from transforms.dataset.schema import POINT_LABEL
from transforms.kinds.tables import FLOAT, STRING, Rows, TableFormat, struct_array

_VOTES = ("YesVotes", "NoVotes", "UnsureVotes")
_COUNT = pa.int32()


def _build(rows: Rows) -> pa.StructArray:
    rows.require_text("Label")
    for axis in "XY":
        values = rows.numbers(axis)
        rows.require((values >= 0) & (values <= 1), f"{axis} is outside [0, 1]")
    for name in _VOTES:
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
            "yes_votes": rows.get("YesVotes", _COUNT),
            "no_votes": rows.get("NoVotes", _COUNT),
            "unsure_votes": rows.get("UnsureVotes", _COUNT),
            "text_label": rows.get("TextLabel", STRING),
        },
        rows.length,
    )


POINTS = TableFormat(
    kind="points",
    column="points",
    # EstimatedYesNo tells whether the class is there, so a point without it means nothing.
    required={"X": FLOAT, "Y": FLOAT, "Label": STRING, "EstimatedYesNo": STRING},
    optional={"Source": STRING, **dict.fromkeys(_VOTES, _COUNT), "TextLabel": STRING},
    value=POINT_LABEL,
    build=_build,
    identity=("x", "y", "label"),
    aliases={"ImageId": "ImageID"},
    free_texts=("TextLabel",),
)
