"""JSON Lines, gzipped, as an output format: for programs that read nothing else.

A line is an example with all columns of `EXAMPLE`, in their order; bytes are base64. A part is one
member of a gzip file, without a name or a time, and a shard is its parts end to end.
"""

import base64
import contextlib
import functools
import glob
import gzip
import json
import zlib
from collections.abc import Iterator, Sequence

import pyarrow as pa

from transforms.dataset.naming import numbers
from transforms.formats import described
from transforms.formats.format import Content, ExampleWriter, Format, FormatError, Schema
from transforms.formats.part import Part
from transforms.formats.settings import FormatSettings
from transforms.formats.tables import TableExamples
from transforms.kinds.registry import EXAMPLE

_LEVEL = 1  # of gzip: annotations become a fifth, pictures don't shrink at any level
_SLICE_ROWS = 64  # rows that are Python objects at once
_BATCH_BYTES = 8 << 20
_READ_BYTES = 1 << 20


def _to_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


class JsonLinesWriter(ExampleWriter):
    """Writes rows of examples to one file."""

    @functools.cached_property
    def _gzip(self) -> gzip.GzipFile:
        return gzip.GzipFile("", "wb", _LEVEL, self._file, mtime=0)

    def write(self, table: pa.Table) -> None:
        for start in range(0, len(table), _SLICE_ROWS):
            for row in table.slice(start, _SLICE_ROWS).to_pylist():
                line = json.dumps(row, ensure_ascii=False, separators=(",", ":"), default=_to_text)
                self._gzip.write(line.encode() + b"\n")
        self._rows += len(table)

    def close(self) -> Part:
        self._gzip.close()
        return super().close()


class JsonLines(Format):
    """A line an example."""

    name = "jsonl"
    writer = JsonLinesWriter
    media_type = "application/jsonlines"

    def shard_path(self, settings: FormatSettings, split: str, index: int, shards: int) -> str:
        return f"jsonl/{split}-{numbers(index, shards)}.jsonl.gz"

    def count(self, path: str) -> int:
        with _open(path) as file:
            return sum(data.count(b"\n") for data in iter(lambda: file.read(_READ_BYTES), b""))

    def loading_code(self, folder: str, settings: FormatSettings, split: str) -> str:
        pattern = f"{glob.escape(folder)}/jsonl/{split}-*.jsonl.gz"
        return (
            f"import glob, gzip, json; shards = sorted(glob.glob({pattern!r})); "
            "dataset = (json.loads(line) for shard in shards for line in gzip.open(shard))"
        )

    def schema(self, content: Content) -> dict[str, str]:
        return described.describe(EXAMPLE.remove_metadata())

    def record_columns(self, schema: Schema) -> pa.Schema:
        texts = {name: text.replace("binary", "string") for name, text in schema.items()}
        return described.parse(texts)

    def read(
        self, path: str, columns: Sequence[str] | None = None, schema: Schema | None = None
    ) -> Iterator[TableExamples]:
        types = EXAMPLE if schema is None else described.parse(schema)
        rows, size = [], 0
        with _open(path) as file:
            for place, line in enumerate(file):
                try:
                    row = json.loads(line, object_hook=_decode_bytes)
                except (ValueError, TypeError, RecursionError) as error:
                    raise FormatError(f"example {place}: {error}") from None
                if not isinstance(row, dict):
                    raise FormatError(f"example {place}: is no object")
                if schema is not None and list(row) != types.names:
                    raise FormatError(
                        f"example {place}: its columns aren't those that its version records"
                    )
                rows.append(row)
                size += len(line)
                if size >= _BATCH_BYTES:
                    yield _to_examples(rows, types, columns)
                    rows, size = [], 0
        if rows:
            yield _to_examples(rows, types, columns)


FORMAT = JsonLines()


@contextlib.contextmanager
def _open(path: str) -> Iterator[gzip.GzipFile]:
    try:
        with gzip.open(path) as file:
            yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FormatError(f"is no gzip file, or is damaged: {error}") from None


def _to_examples(
    rows: Sequence[dict], types: pa.Schema, columns: Sequence[str] | None
) -> TableExamples:
    try:
        table = pa.Table.from_pylist(rows, types)
    except (pa.ArrowException, OverflowError) as error:
        raise FormatError(str(error).partition("\n")[0]) from None
    return TableExamples(table, columns)


_BINARY = {
    path.rpartition(".")[2]
    for path, dtype in described.leaves(pa.struct(EXAMPLE))
    if pa.types.is_binary(dtype)
}


def _decode_bytes(fields: dict) -> dict:
    for name in _BINARY & fields.keys():
        if fields[name] is not None:
            fields[name] = base64.b64decode(fields[name])
    return fields
