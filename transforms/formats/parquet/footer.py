"""What stands at the end of a Parquet file: its schema and metadata around its row groups.

Format: https://github.com/apache/parquet-format, `README.md` for the layout of a file and
`src/main/thrift/parquet.thrift` for the footer.
"""

import base64
import functools
import io
import os
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.formats.parquet import thrift
from transforms.formats.part import HashingFile

MAGIC = b"PAR1"
_TAIL = 8  # the footer's size, four bytes little-endian, and the magic

# Ids of FileMetaData's fields. Version and schema go before the first two.
_NUM_ROWS, _ROW_GROUPS, _CREATED_BY, _LAST_FIELD = 3, 4, 6, 7

_WRITER = b"open-images-beam version 0.1.0"


class Frame(NamedTuple):
    """The bytes of a footer around its number of rows and row groups: equal in all the files."""

    before: bytes
    between: bytes
    after: bytes


def frame_of(schema: pa.Schema) -> Frame:
    """That of files of a schema, which is told as PyArrow's writer does."""
    return _frame_of(schema.serialize().to_pybytes())


@functools.lru_cache(maxsize=4)
def _frame_of(schema: bytes) -> Frame:
    parsed, sink = pa.ipc.read_schema(pa.py_buffer(schema)), io.BytesIO()
    with pq.ParquetWriter(sink, parsed, store_schema=False) as writer:
        # As `store_schema` would, which leaves out what else the schema says.
        arrow = base64.b64encode(schema)
        writer.add_key_value_metadata({b"ARROW:schema": arrow, **(parsed.metadata or {})})
    footer, _ = read_footer(sink, "a file without rows")
    (by,) = (field for field in thrift.fields(footer) if field.id == _CREATED_BY)
    footer = footer[: by.start] + thrift.write_binary(_WRITER) + footer[by.end :]
    return read_frame(footer, "a file without rows")


def read_footer(file: BinaryIO, path: str) -> tuple[bytes, int]:
    """The encoded FileMetaData, and how many bytes lie between the magic and it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    start = size - _TAIL - int.from_bytes(tail[:4], "little")
    if tail[4:] != MAGIC or start < len(MAGIC):
        raise ValueError(f"{path} is not a whole, unencrypted Parquet file")
    file.seek(start)
    return file.read(size - _TAIL - start), start - len(MAGIC)


def read_frame(footer: bytes, path: str) -> Frame:
    """What stands around the row groups in a footer.

    Raises:
        ValueError: Parquet's writers don't lay out footers so; the message names the file.
    """
    found = {field.id: field for field in thrift.fields(footer)}
    if list(found) != sorted(found) or not {_NUM_ROWS, _ROW_GROUPS} <= found.keys():
        raise ValueError(f"{path}: its footer isn't written as Parquet's writers do")
    if max(found) > _LAST_FIELD:
        raise ValueError(f"{path}: its footer has field {max(found)}, which can't be concatenated")
    num_rows, groups = found[_NUM_ROWS], found[_ROW_GROUPS]
    return Frame(
        footer[: num_rows.start], footer[num_rows.end : groups.start], footer[groups.end :]
    )


def write_footer(
    frame: Frame, num_rows: int, groups: Sequence[bytes], destination: BinaryIO | HashingFile
) -> None:
    """Writes the end of a file of so many rows, in these encoded row groups."""
    parts = (frame.before, thrift.write_integer(num_rows), frame.between)
    footer = b"".join((*parts, thrift.write_list(thrift.STRUCT, groups), frame.after))
    destination.write(footer + len(footer).to_bytes(4, "little") + MAGIC)
