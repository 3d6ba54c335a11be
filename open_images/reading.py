"""Reads examples from the Parquet shards of a published version."""

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.formats.parquet.page_index import find_page
from transforms.reuse.pages import read_pictures
from transforms.sources.buffer import PictureBuffer
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

#: Read of a column at once; and about the size of a batch.
_READ_BYTES = 1 << 20
_BATCH_BYTES = 16 << 20
_MOST_ROWS = 8192
#: Examples that are decoded at once on the way to one of them.
_FEW_ROWS = 64
_PICTURE = "image.bytes"


class RowGroup(NamedTuple):
    """Consecutive examples of a shard.

    Attributes:
        path: of the shard, local or in an object store.
        number: which of the shard's row groups it is.
    """

    path: str
    number: int


@contextlib.contextmanager
def opened(path: str, options: ObjectOptions) -> Iterator[pq.ParquetFile]:
    """Opens a shard whose columns are read in pieces of `_READ_BYTES`."""
    with (
        files.open_file(path, options) as file,
        pq.ParquetFile(file, buffer_size=_READ_BYTES, pre_buffer=False) as shard,
    ):
        yield shard


def row_groups(path: str, options: ObjectOptions) -> Iterator[RowGroup]:
    """Yields the row groups of a shard."""
    with opened(path, options) as shard:
        numbers = range(shard.num_row_groups)
    yield from (RowGroup(path, number) for number in numbers)


def read_batches(
    group: RowGroup, columns: Sequence[str] | None, options: ObjectOptions
) -> Iterator[pa.RecordBatch]:
    """Yields the examples of a row group in their order, some 16 MiB at a time.

    Args:
        group: the row group.
        columns: names of columns, such as `bboxes`, or of fields in them; None for all.
        options: how object stores are reached.
    """
    with opened(group.path, options) as shard:
        about = shard.metadata.row_group(group.number)
        example_bytes = max(1, about.total_byte_size // max(1, about.num_rows))
        batch_rows = max(1, min(_MOST_ROWS, _BATCH_BYTES // example_bytes))
        yield from shard.iter_batches(
            batch_rows, row_groups=[group.number], columns=columns and list(columns)
        )


def read_column(group: RowGroup, name: str, options: ObjectOptions) -> pa.ChunkedArray:
    """Returns one column of a row group."""
    with opened(group.path, options) as shard:
        return shard.read_row_group(group.number, [name])[name]


def read_example(
    group: RowGroup, row: int, with_picture: bool, options: ObjectOptions
) -> dict[str, Any]:
    """Reads one example as a row of Python values; of pictures only the page that holds its own.

    Args:
        group: the row group.
        row: its place in the row group, from 0.
        with_picture: whether examples have pictures.
        options: how object stores are reached.
    """
    with files.open_file(group.path, options) as file, pq.ParquetFile(file) as shard:
        about = shard.metadata.row_group(group.number)
        names = [about.column(number).path_in_schema for number in range(about.num_columns)]
        picture = names.index(_PICTURE)
        # Versions of earlier releases have no index.
        has_page = with_picture and about.column(picture).has_offset_index
        columns = [name for name in names if name != _PICTURE or not has_page]
        batches = shard.iter_batches(_FEW_ROWS, row_groups=[group.number], columns=columns)
        batch = next(itertools.islice(batches, row // _FEW_ROWS, None))
        (example,) = batch.slice(row % _FEW_ROWS, 1).to_pylist()
        if has_page:
            size = file.seek(0, os.SEEK_END)
            page = find_page(file, size, shard.metadata, group.number, picture, row)
            wanted = [row - page.first_row]
            (data,) = read_pictures(file, page.start, wanted, PictureBuffer(0))
            example["image"] = {"bytes": bytes(data), **example["image"]}
    return {name: example[name] for name in shard.schema_arrow.names}
