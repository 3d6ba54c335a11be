"""Samples: the encoded pictures of an example, and its other columns as JSON beside them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import in_one_piece
from transforms.dataset.schema import IMAGE
from transforms.formats import described, json_text
from transforms.formats.format import FormatError, Schema
from transforms.formats.tables import TableExamples
from transforms.formats.tfrecord import wire
from transforms.kinds.registry import EXAMPLE

_BATCH_BYTES, _BATCH_ROWS = 8 << 20, 4096
#: How many rows are encoded at a time: their JSON stays far below 2 GiB.
SLICE_ROWS = 1024


class Sample(NamedTuple):
    """A sample read back.

    Attributes:
        json: an object of all columns that aren't pictures.
        pictures: path and bytes of each other column that it has.
    """

    json: bytes
    pictures: Mapping[str, tuple[str, bytes]]


def is_picture(column: str) -> bool:
    """Returns whether a column of `EXAMPLE` holds encoded pictures, or maps."""
    return EXAMPLE.field(column).type == IMAGE


def picture_bytes(table: pa.Table, column: str) -> pa.LargeBinaryArray:
    """Returns the pictures of a column, encoded as they are: (n,), without a copy."""
    return pc.struct_field(in_one_piece(table[column]), "bytes").cast(wire.BYTES)


def text_bytes(texts: pa.Array) -> pa.LargeBinaryArray:
    """Returns texts in UTF-8: (n,), empty where there is none."""
    return texts.cast(pa.string()).fill_null("").cast(pa.binary()).cast(wire.BYTES)


def schema_of(columns: Sequence[str]) -> dict[str, str]:
    """Returns columns of `EXAMPLE`, and their types as text."""
    return described.describe(pa.schema([EXAMPLE.field(name) for name in columns]))


def read_examples(
    samples: Iterator[Sample], columns: Sequence[str] | None, schema: Schema | None
) -> Iterator[TableExamples]:
    """Yields examples, some MiB at a time; arguments and errors as of `Format.read`."""
    types = EXAMPLE.remove_metadata() if schema is None else described.parse(schema)
    some: list[Sample] = []
    size = 0
    for sample in samples:
        some.append(sample)
        size += len(sample.json) + sum(len(data) for _, data in sample.pictures.values())
        if size >= _BATCH_BYTES or len(some) == _BATCH_ROWS:
            yield TableExamples(_to_table(some, types), columns)
            some, size = [], 0
    if some:
        yield TableExamples(_to_table(some, types), columns)


def _to_table(samples: Sequence[Sample], types: pa.Schema) -> pa.Table:
    strangers = set().union(*(sample.pictures for sample in samples)).difference(types.names)
    if strangers:
        raise FormatError(f"has the column {min(strangers)}, which its version doesn't record")
    plain = pa.schema([field for field in types if field.type != IMAGE])
    rows = json_text.decode([sample.json for sample in samples], plain)
    columns = []
    for field in types:
        if field.type != IMAGE:
            columns.append(rows[field.name])
            continue
        found = [sample.pictures.get(field.name) for sample in samples]
        pictures = [each and {"path": each[0], "bytes": each[1]} for each in found]
        columns.append(pa.array(pictures, IMAGE))
    return pa.table(columns, schema=types)
