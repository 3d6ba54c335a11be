"""Where the pages of a Parquet file lie, by its offset indexes."""

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.formats.parquet import thrift

_INDEX: thrift.Wanted = {4: {1: {4: "start", 5: "size"}}}
_LOCATION: thrift.Wanted = {1: {1: "start", 2: "size", 3: "first_row"}}
_HEADER: thrift.Wanted = {1: "kind", 2: "size", 3: "stored"}


class Page(NamedTuple):
    """A data page: its bytes in the file, its first row in the row group, and its content."""

    start: int
    size: int
    first_row: int
    content: bytes


def data_pages(path: Path) -> list[dict[str, list[Page]]]:
    """The pages of each column, by its path, of each row group, decompressed.

    They are held against where the row group says that its columns lie.
    """
    data, metadata = path.read_bytes(), pq.read_metadata(path)
    footer = data[-8 - metadata.serialized_size : -8]
    found, _ = thrift.find_integers(footer, 0, _INDEX)
    places = iter([integer.value for integer in found])
    groups = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        columns = [group.column(n) for n in range(group.num_columns)]
        groups.append(
            {
                column.path_in_schema: _pages_of(data, next(places), next(places), column)
                for column in columns
                if column.has_offset_index
            }
        )
    assert next(places, None) is None
    return groups


def _pages_of(data: bytes, start: int, size: int, column: pq.ColumnChunkMetaData) -> list[Page]:
    found, end = thrift.find_integers(data, start, _LOCATION)
    assert end == start + size
    values = [integer.value for integer in found]
    pages = []
    expected = column.data_page_offset
    for start, size, first_row in zip(values[::3], values[1::3], values[2::3], strict=True):
        assert start == expected
        header, content = thrift.find_integers(data, start, _HEADER)
        kind, unpacked, stored = (integer.value for integer in header)
        assert kind == 0  # PageType.DATA_PAGE
        expected = start + size
        assert content + stored == expected
        codec = None if column.compression == "UNCOMPRESSED" else column.compression
        body = data[content:expected]
        if codec:
            body = pa.decompress(body, unpacked, codec.lower(), asbytes=True)
        pages.append(Page(start, size, first_row, body))
    first = column.dictionary_page_offset or column.data_page_offset
    assert expected == first + column.total_compressed_size
    return pages
