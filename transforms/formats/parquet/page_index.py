"""Finds the page that holds a row, by the offset index, so that a reader fetches no other.

PyArrow writes page indexes, and doesn't read by them.

Format: https://github.com/apache/parquet-format, `PageIndex.md` and
`src/main/thrift/parquet.thrift`
"""

import bisect
from typing import BinaryIO, NamedTuple

import pyarrow.parquet as pq

from transforms.formats.parquet import thrift
from transforms.storage import files

_TAIL = 8  # the footer's size and the magic
#: offset_index_offset and offset_index_length of each column chunk
_INDEXES: thrift.Wanted = {4: {1: {4: "start", 5: "size"}}}
_LOCATIONS: thrift.Wanted = {1: {1: "start", 2: "size", 3: "first_row"}}


class Page(NamedTuple):
    """A data page: its bytes in the file with their header, and its first row in the row group."""

    start: int
    size: int
    first_row: int


def find_page(
    file: BinaryIO, size: int, metadata: pq.FileMetaData, group: int, column: int, row: int
) -> Page:
    """Returns the page of a column that holds a row.

    Args:
        file: the open file, all of whose columns have an offset index.
        size: of the file in bytes.
        metadata: of the file.
        group: the number of the row group.
        column: the number of the column, of all leaves.
        row: of the row group.
    """
    start = size - _TAIL - metadata.serialized_size
    indexes = _read_tuples(files.read_at(file, start, metadata.serialized_size), _INDEXES, 2)
    index = files.read_at(file, *indexes[group * metadata.num_columns + column])
    pages = [Page(*values) for values in _read_tuples(index, _LOCATIONS, 3)]
    return pages[bisect.bisect_right(pages, row, key=lambda page: page.first_row) - 1]


def _read_tuples(data: bytes, wanted: thrift.Wanted, length: int) -> list[tuple[int, ...]]:
    """Returns the wanted integers of a struct, `length` of which belong together."""
    values = [integer.value for integer in thrift.find_integers(data, 0, wanted)[0]]
    return [*zip(*(values[at::length] for at in range(length)), strict=True)]
