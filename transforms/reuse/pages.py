"""Reads single pictures of a Parquet column into a buffer.

PyArrow would decode a row group of them at once, into memory that is new each time: it doesn't read
by the page index.

Format: https://github.com/apache/parquet-format, `README.md` and `src/main/thrift/parquet.thrift`
"""

import io
import os
from collections.abc import Iterable, Iterator

from transforms.formats.parquet import thrift
from transforms.sources.buffer import PictureBuffer

#: More than the header of a page of pictures takes.
_HEADER_BYTES = 128
#: Of a value's length, and of that of a page's levels.
_LENGTH_BYTES = 4
#: compressed_page_size, and num_values of data_page_header
_PAGE_HEADER: thrift.Wanted = {3: "bytes", 5: {1: "values"}}


def read_pictures(
    file: io.BufferedReader, start: int, rows: Iterable[int], buffer: PictureBuffer
) -> Iterator[bytes | memoryview]:
    """Yields some values of a column as `ParquetWriter` writes pictures: plain, none of them null.

    Args:
        file: the open file, of which nobody else reads meanwhile.
        start: where the pages of a row group's column begin.
        rows: of the row group, ascending.
        buffer: a value is read to its `room` where there is some.

    Raises:
        ValueError: The file ends before they do.
    """
    wanted = iter(rows)
    row = next(wanted, None)
    first = 0
    while row is not None:
        file.seek(start)
        found, header = thrift.find_integers(file.read(_HEADER_BYTES), 0, _PAGE_HEADER)
        size, values = (integer.value for integer in found)
        file.seek(start + header)
        file.seek(_read_length(file), os.SEEK_CUR)  # past levels, by which values would be null
        for number in range(first, first + values):
            length = _read_length(file)
            if number == row:
                yield _read_value(file, length, buffer)
                row = next(wanted, None)
            else:
                file.seek(length, os.SEEK_CUR)
        first += values
        start += header + size


def _read_length(file: io.BufferedReader) -> int:
    return int.from_bytes(file.read(_LENGTH_BYTES), "little")


def _read_value(file: io.BufferedReader, length: int, buffer: PictureBuffer) -> bytes | memoryview:
    room = buffer.room(length)
    value = file.read(length) if room is None else room
    read = len(value) if room is None else file.readinto(room)
    if read != length:
        raise ValueError(f"{file.name} became shorter while it was read")
    return value
