"""Examples of a published version → rows of ground truth."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset import codes
from transforms.dataset.keys import image_keys
from transforms.evaluation.kinds.rows import (
    BOTH_CORNERS,
    CORNERS,
    TRUE_BOX,
    TRUE_LABEL,
    TRUE_MASK,
    TRUE_PAIR,
)
from transforms.kinds.boxes import BOXES
from transforms.kinds.image_labels import IMAGE_LABELS
from transforms.kinds.images import IMAGES
from transforms.kinds.masks import MASKS
from transforms.kinds.parsing.table import struct_array
from transforms.kinds.relationships import RELATIONSHIPS

#: What is read of columns of annotations, by the kind of their rows.
TYPES = {
    BOXES.name: (BOXES.column, TRUE_BOX),
    MASKS.name: (MASKS.column, TRUE_MASK),
    RELATIONSHIPS.name: (RELATIONSHIPS.column, TRUE_PAIR),
    IMAGE_LABELS.name: (IMAGE_LABELS.column, TRUE_LABEL),
}
_CORNERS = {*CORNERS, *BOTH_CORNERS}
_OF_IMAGES = ("image_id", "width", "height")


def columns_of(kinds: Iterable[str]) -> list[str]:
    """Returns the columns that rows of some kinds are made of."""
    return [*_OF_IMAGES, *(TYPES[kind][0] for kind in kinds)]


def truth_rows(
    examples: pa.RecordBatch, kinds: Iterable[str]
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yields the rows of images with their sizes, and of kinds of annotations, with their keys.

    Coordinates are published with few digits and stored as float32: the shortest decimal that
    is the same float32 is the published one.

    Args:
        examples: with the columns of `columns_of`.
        kinds: of annotations, of `TYPES`.
    """
    keys, _ = image_keys(examples["image_id"])
    sizes = {name: examples[name] for name in ("width", "height")}
    yield IMAGES.name, pa.record_batch({"key": keys, **sizes})
    for kind in kinds:
        column, dtype = TYPES[kind]
        lists = examples[column]
        rows = lists.flatten()
        counts = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        names = {field.name for field in rows.type}
        columns = {
            name: _as_published(rows.field(name)) if name in _CORNERS else rows.field(name)
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
