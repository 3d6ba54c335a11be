"""Examples of a published version → rows of ground truth."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset import codes
from transforms.dataset.keys import image_keys
from transforms.evaluation.kinds import CORNERS, TRUE_BOX, TRUE_LABEL
from transforms.kinds.boxes import BOXES
from transforms.kinds.image_labels import IMAGE_LABELS
from transforms.kinds.images import IMAGES
from transforms.kinds.parsing.table import struct_array

#: Columns that are read.
COLUMNS = ("image_id", "width", "height", "bboxes", "image_labels")


def truth_rows(examples: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yields the rows of each kind with their keys: images with their sizes, boxes, image labels.

    Coordinates are published with few digits and stored as float32: the shortest decimal that
    is the same float32 is the published one.

    Args:
        examples: with `COLUMNS`.
    """
    keys, _ = image_keys(examples["image_id"])
    sizes = {name: examples[name] for name in ("width", "height")}
    yield IMAGES.name, pa.record_batch({"key": keys, **sizes})
    for column, kind, dtype in (
        ("bboxes", BOXES.name, TRUE_BOX),
        ("image_labels", IMAGE_LABELS.name, TRUE_LABEL),
    ):
        lists = examples[column]
        rows = lists.flatten()
        counts = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        names = {field.name for field in rows.type}
        columns = {
            name: _as_published(rows.field(name)) if name in CORNERS else rows.field(name)
            for name in (field.name for field in dtype)
            if name in names
        }
        plain = {name: value.cast(codes.plain(value.type)) for name, value in columns.items()}
        value = struct_array(dtype, plain, len(rows))
        yield kind, pa.record_batch({"key": np.repeat(keys, counts), "value": value})


def _as_published(numbers: pa.Array) -> pa.Array:
    """Returns float32 as the float64 of its shortest decimal."""
    distinct = numbers.dictionary_encode()
    texts = distinct.dictionary.cast(pa.string())
    return pc.take(texts.cast(pa.float64()), distinct.indices)
