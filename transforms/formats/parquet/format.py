"""Parquet as an output format: read by `datasets`, DuckDB, Polars, pandas and many others."""

import functools
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.dataset.elements import BuiltPart
from transforms.dataset.naming import numbers
from transforms.formats import described
from transforms.formats.format import (
    Content,
    Format,
    FormatError,
    NewFiles,
    Schema,
    open_shard,
    pieces,
)
from transforms.formats.parquet import concatenate
from transforms.formats.parquet.writer import ParquetWriter
from transforms.formats.part import HashingFile, StoredPart
from transforms.formats.settings import FormatSettings
from transforms.formats.tables import TableExamples
from transforms.kinds.registry import EXAMPLE
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

_READ_BYTES = 1 << 20
_FOOTER_BYTES = 8 << 20
_BATCH_BYTES, _BATCH_ROWS = 8 << 20, 4096
#: Shards that a worker has in mind: buckets that it builds one after the other lie in the same few.
_SHARDS = 8


class Parquet(Format):
    """A row an example, with all columns of `EXAMPLE`.

    A part's row groups are copied into its shard as they are; the footer is written anew.
    """

    name = "parquet"
    writer = ParquetWriter
    has_row_access = True
    media_type = "application/x-parquet"

    def shard_path(self, settings: FormatSettings, split: str, index: int, shards: int) -> str:
        return f"parquet/{split}-{numbers(index, shards)}.parquet"

    def count(self, path: str) -> int:
        return pq.read_metadata(path).num_rows

    def concatenate(
        self, parts: Iterable[StoredPart], destination: HashingFile, new_files: NewFiles
    ) -> None:
        paths = []
        for part in parts:
            part.read()
            paths.append(part.path)
        concatenate.concatenate(paths, destination)

    def footer_checksum(self, path: str) -> str:
        return concatenate.footer_checksum(path)

    def data_files(self, split: str) -> str:
        return f"parquet/{split}-*.parquet"

    def loading_code(self, folder: str, settings: FormatSettings, split: str) -> str:
        data_files = {split: f"{glob.escape(folder)}/{self.data_files(split)}"}
        return (
            "from datasets import load_dataset; "
            f"dataset = load_dataset('parquet', data_files={data_files!r}, split={split!r})"
        )

    def read_body(self, part: BuiltPart) -> Iterator[bytes]:
        assert part.origin is not None
        shard = _read_shard(part.path, part.origin.footer)
        yield concatenate.MAGIC
        with open(part.path, "rb") as file:
            yield from pieces(file, *shard.span(part.origin.row, part.num_examples))

    def extract(self, part: BuiltPart, destination: BinaryIO, options: ObjectOptions) -> None:
        assert part.origin is not None
        if part.origin.of == 1:
            super().extract(part, destination, options)
            return
        with open_shard(part, options) as shard:
            whole = _read_shard(part.path, part.origin.footer, options)
            whole.extract(shard, part.origin.row, part.num_examples, destination)

    def schema(self, content: Content) -> dict[str, str]:
        return described.describe(EXAMPLE)

    def record_columns(self, schema: Schema) -> pa.Schema:
        return described.parse(schema)

    def read(
        self, path: str, columns: Sequence[str] | None = None, schema: Schema | None = None
    ) -> Iterator[TableExamples]:
        try:
            if schema is not None:
                described.check(pq.read_schema(path), schema)
            for table in _read_batches(path):
                yield TableExamples(table, columns)
        except pa.ArrowException as error:
            raise FormatError(str(error).partition("\n")[0]) from None


FORMAT = Parquet()


@functools.lru_cache(maxsize=_SHARDS)
def _read_shard(
    path: str, footer_checksum: str, options: ObjectOptions = files.DEFAULTS
) -> concatenate.Concatenated:
    with files.open_file(path, options, _FOOTER_BYTES) as file:
        shard = concatenate.Concatenated(path, file)
    if shard.footer_checksum != footer_checksum:
        raise ValueError(f"{path}: its footer has changed")
    return shard


def _read_batches(path: str) -> Iterator[pa.Table]:
    """Yields the rows of a local file in order, some MiB at a time."""
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=_READ_BYTES) as file:
        rows = file.metadata.num_rows
        size = max(1, os.path.getsize(path) // max(1, rows))
        batch_rows = min(_BATCH_ROWS, max(1, _BATCH_BYTES // size))
        for batch in file.iter_batches(batch_rows):
            yield pa.Table.from_batches([batch])
