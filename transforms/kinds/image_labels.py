"""Image-level labels, human-verified and machine-generated: `*-imagelabels*.csv`, V3's
`annotations-{human,machine}.csv`, and the Challenge's, without source."""

import pyarrow as pa

from transforms.dataset.schema import IMAGE_LABEL
from transforms.kinds.tables import FLOAT, STRING, Rows, TableFormat, struct_array


def _build(rows: Rows) -> pa.StructArray:
    rows.require_text("LabelName")
    rows.require_finite("Confidence")
    return struct_array(
        IMAGE_LABEL,
        {
            "label": rows.columns["LabelName"],
            "source": rows.get("Source", STRING),
            "confidence": rows.columns["Confidence"],
        },
        rows.length,
    )


IMAGE_LABELS = TableFormat(
    kind="image_labels",
    column="image_labels",
    # Confidence 0 means that the class is absent, so a label without a confidence means nothing.
    required={"LabelName": STRING, "Confidence": FLOAT},
    optional={"Source": STRING},
    value=IMAGE_LABEL,
    build=_build,
    identity=("label", "source", "confidence"),
    aliases={"Condidence": "Confidence"},
)
