"""Image-level labels, human-verified and machine-generated: `*-imagelabels*.csv`, V3's
`annotations-{human,machine}.csv`, and the Challenge's, without source."""

import functools

import numpy as np
import pyarrow as pa

from transforms.dataset.classes import decode_labels
from transforms.dataset.elements import Source
from transforms.kinds.kind import CsvKind
from transforms.kinds.parsing.parsed import ParsedBlock
from transforms.kinds.parsing.plain_labels import KnownLabels, parse_plain_labels
from transforms.kinds.parsing.table import FLOAT, STRING, Rows

IMAGE_LABEL = pa.struct({"label": STRING, "source": STRING, "confidence": FLOAT})


def _check(rows: Rows) -> None:
    rows.require_text("LabelName")
    rows.require(np.isfinite(rows.numbers("Confidence")), "Confidence is not a finite number")


class ImageLabelsKind(CsvKind):
    """Image labels, whose plain blocks are parsed in six tenths of the time."""

    def parse_coded(self, source: Source, data: bytes, encoded_labels: bytes) -> ParsedBlock:
        plain = None
        if source.delimiter == ",":
            names = self.columns_of(source.columns)
            plain = parse_plain_labels(data, names, _known_labels(encoded_labels))
        return plain or super().parse_coded(source, data, encoded_labels)


@functools.lru_cache(maxsize=1)
def _known_labels(encoded_labels: bytes) -> KnownLabels:
    return KnownLabels(decode_labels(encoded_labels))


IMAGE_LABELS = ImageLabelsKind(
    name="image_labels",
    column="image_labels",
    # Confidence 0 means that the class is absent, so a label without a confidence means nothing.
    required={"LabelName": STRING, "Confidence": FLOAT},
    optional={"Source": STRING},
    aliases={"Condidence": "Confidence"},
    row=IMAGE_LABEL,
    check=_check,
    renamed={"LabelName": "label"},
    identity=("label", "source", "confidence"),
    labels=("label",),
    coded=("label", "source"),
    few_values=("label", "source", "confidence"),
    seconds_a_byte=1.0,
    spilled_a_byte=0.4,
)
