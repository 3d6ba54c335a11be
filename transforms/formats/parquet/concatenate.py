"""Puts Parquet files of one schema one after another into one file, without decoding them; and
takes them out again.

A file is the magic, its row groups, and its ending: all column indexes, all offset indexes, the
footer (FileMetaData), four bytes with the footer's size, and the magic. The bytes of the row groups
are copied as they are. Positions in the ending count from the start of the file, so row groups that
are copied to another place need a new one. PyArrow can't do it: `FileMetaData.append_row_groups`
leaves positions as they were.

Format: https://github.com/apache/parquet-format, `README.md` for the layout of a file,
`PageIndex.md`, and `src/main/thrift/parquet.thrift` for the structs.
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from transforms.formats.parquet import thrift
from transforms.formats.part import Crc32, HashingFile

_BLOCK = 256 << 10
MAGIC = b"PAR1"
_TAIL = 8  # the footer's size and the magic
_MAX_ROW_GROUPS = 1 << 15  # RowGroup.ordinal has 16 bits

# What FileMetaData has from its number of rows to its row groups: the header of that field, a list.
_ROW_GROUPS = b"\x19"

_START, _ROWS, _POSITION, _ORDINAL = "start", "rows", "position", "ordinal"
_COLUMN_INDEX, _OFFSET_INDEX, _INDEX_BYTES = "column index", "offset index", "index bytes"
_INDEXES: thrift.Wanted = {4: _OFFSET_INDEX, 5: _INDEX_BYTES, 6: _COLUMN_INDEX, 7: _INDEX_BYTES}

#: What is to be known of a row group to find it; field 5 is file_offset.
_LAYOUT: thrift.Wanted = {1: _INDEXES, 3: _ROWS, 5: _START}
#: The integers of a row group that change when it is moved. Field 2 of a column is file_offset.
_COLUMN_META_DATA: thrift.Wanted = {
    9: _POSITION,  # data_page_offset
    10: _POSITION,  # index_page_offset
    11: _POSITION,  # dictionary_page_offset
    14: _POSITION,  # bloom_filter_offset
}
_COLUMN_CHUNK: thrift.Wanted = {2: _POSITION, 3: _COLUMN_META_DATA, **_INDEXES}
_ROW_GROUP: thrift.Wanted = {1: _COLUMN_CHUNK, 5: _POSITION, 7: _ORDINAL}
_PAGE_LOCATIONS: thrift.Wanted = {1: {1: _POSITION}}


class RowGroup(NamedTuple):
    """A row group.

    Attributes:
        start: where in the file it starts.
        num_rows: of it.
        entry: the bytes of its struct in the footer.
        indexes: kind, position and size of its page indexes, in the order of the entry.
    """

    start: int
    num_rows: int
    entry: bytes
    indexes: list[tuple[str, int, int]]


class Footer(NamedTuple):
    """The end of a Parquet file.

    Attributes:
        before: the bytes of the footer before its number of rows: the schema.
        after: the bytes of the footer after its row groups: other metadata.
        groups: the row groups.
        start: where the row groups end.
        ending: all bytes of the file from there on.
    """

    before: bytes
    after: bytes
    groups: list[RowGroup]
    start: int
    ending: bytes


#: A row group, the end of the file that it lies in, and by how many bytes it is moved.
Moved = tuple[RowGroup, Footer, int]


def concatenate(paths: Sequence[str], destination: BinaryIO | HashingFile) -> None:
    """Writes one Parquet file that has the row groups of all the given ones, in the order given.

    Args:
        paths: Parquet files, one or more, alike in schema, key-value metadata and writer.
        destination: where to write; needs only `write`. It is left open.

    Raises:
        ValueError: a file isn't a plain Parquet file, or differs from the first one in what must be
            equal; the message names it. What has been written then is of no use.
    """
    if not paths:
        raise ValueError("there is no file to concatenate")
    first: Footer | None = None
    groups: list[Moved] = []
    destination.write(MAGIC)
    written = len(MAGIC)
    for path in paths:
        with open(path, "rb") as file:
            footer = read_footer(file, path, first)
            size = footer.start - len(MAGIC)
            file.seek(len(MAGIC))
            _copy(file, size, destination)
        first = first or footer
        groups += [(group, footer, written - len(MAGIC)) for group in footer.groups]
        written += size
    assert first
    write_ending(groups, first, written, destination)


class Concatenated:
    """A Parquet file that others were put together to, to be taken apart again.

    Its end is read once for all of them.

    Attributes:
        footer_checksum: the CRC-32 of what follows its row groups.
    """

    def __init__(self, path: str, file: BinaryIO) -> None:
        """Reads the end of an open file.

        Raises:
            ValueError: it isn't a plain Parquet file.
        """
        self._path = path
        self._footer = read_footer(file, path)
        crc = Crc32()
        crc.update(self._footer.ending)
        self.footer_checksum = crc.hexdigest()
        groups = self._footer.groups
        self._starts = [*(group.start for group in groups), self._footer.start]
        self._rows = [0, *itertools.accumulate(group.num_rows for group in groups)]

    def span(self, row: int, rows: int) -> tuple[int, int]:
        """Returns where the row groups of one of the files lie: the first byte, and how many.

        Args:
            row: its first row.
            rows: how many it has.

        Raises:
            ValueError: its rows aren't whole row groups.
        """
        first, last = self._groups(row, rows)
        return self._starts[first], self._starts[last] - self._starts[first]

    def extract(
        self, file: BinaryIO, row: int, rows: int, destination: BinaryIO | HashingFile
    ) -> None:
        """Writes one of the files again, byte for byte.

        Args:
            file: the open file that all of them are in.
            row: its first row.
            rows: how many it has.
            destination: where to write. It is left open.

        Raises:
            ValueError: its rows aren't whole row groups.
        """
        first, last = self._groups(row, rows)
        start, size = self.span(row, rows)
        destination.write(MAGIC)
        file.seek(start)
        _copy(file, size, destination)
        footer, shift = self._footer, len(MAGIC) - start
        groups = [(group, footer, shift) for group in footer.groups[first:last]]
        write_ending(groups, footer, len(MAGIC) + size, destination)

    def _groups(self, row: int, rows: int) -> tuple[int, int]:
        """Returns the number of the first row group of some rows, and of the one after the last."""
        try:
            return self._rows.index(row), self._rows.index(row + rows)
        except ValueError:
            raise ValueError(f"{self._path}: no row groups of rows {row} to {row + rows}") from None


def footer_checksum(path: str) -> str:
    """Returns the CRC-32 of what follows the row groups of a Parquet file: page indexes and footer.

    Together with the checksum of the magic and row groups (`Part.body`) it covers the file.

    Raises:
        ValueError: it isn't a plain Parquet file.
    """
    with open(path, "rb") as file:
        return Concatenated(path, file).footer_checksum


def _copy(source: BinaryIO, size: int, destination: BinaryIO | HashingFile) -> None:
    """Copies the next `size` bytes in blocks: memory stays small, whatever the size."""
    while size:
        block = source.read(min(size, _BLOCK))
        if not block:
            raise ValueError(f"{source.name} became shorter while it was read")
        destination.write(block)
        size -= len(block)


def read_footer(file: BinaryIO, path: str, first: Footer | None = None) -> Footer:
    """Reads the end of a file.

    Args:
        file: the open file.
        path: its name in messages.
        first: the end of another file, whose metadata it must equal.

    Raises:
        ValueError: it isn't a plain Parquet file, or its metadata differs; the message names it.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    start = size - _TAIL - int.from_bytes(tail[:4], "little")
    if tail[4:] != MAGIC or start < len(MAGIC):
        raise ValueError(f"{path} is not a whole, unencrypted Parquet file")
    file.seek(start)
    footer = file.read(size - _TAIL - start)
    if first:
        before = first.before
    else:
        (num_rows,), _ = thrift.find_integers(footer, 0, {3: _ROWS})
        before = footer[: num_rows.start]
    if not footer.startswith(before):
        raise ValueError(f"{path}: its version or schema differs from the first file's")
    _, at = thrift.read_integer(footer, len(before))
    if not footer.startswith(_ROW_GROUPS, at):
        raise ValueError(f"{path}: its footer isn't written as Parquet's writers do")
    groups, after = _read_row_groups(footer, at + len(_ROW_GROUPS))
    if first and after != first.after:
        raise ValueError(
            f"{path}: its key-value metadata, writer or column orders differ from the first file's"
        )
    start = min([start, *(place for group in groups for _, place, _ in group.indexes)])
    file.seek(start)
    return Footer(before, after, groups, start, file.read(size - start))


def _read_row_groups(footer: bytes, at: int) -> tuple[list[RowGroup], bytes]:
    """Returns the row groups of the list at `at`, and what follows it."""
    count, _, at = thrift.read_list_header(footer, at)
    groups = []
    for _ in range(count):
        found, end = thrift.find_integers(footer, at, _LAYOUT)
        values = {integer.name: integer.value for integer in found}
        spans = [integer for integer in found if integer.name not in (_START, _ROWS)]
        indexes = [
            (place.name, place.value, size.value)
            for place, size in zip(spans[::2], spans[1::2], strict=True)
        ]
        groups.append(RowGroup(values.get(_START, 0), values[_ROWS], footer[at:end], indexes))
        at = end
    return groups, footer[at:]


def write_ending(
    groups: Sequence[Moved], first: Footer, start: int, destination: BinaryIO | HashingFile
) -> None:
    """Writes the end of a file.

    Args:
        groups: all row groups.
        first: the end of a file, whose metadata this one is to have.
        start: where in the file the row groups end.
        destination: the file.

    Raises:
        ValueError: there are more row groups than a file can number.
    """
    if len(groups) > _MAX_ROW_GROUPS:
        raise ValueError(f"{len(groups)} row groups are more than a Parquet file can number")
    indexes = [
        (kind, _read_index(footer, kind, place, size, shift))
        for group, footer, shift in groups
        for kind, place, size in group.indexes
    ]
    spans = [(0, 0)] * len(indexes)
    for wanted in (_COLUMN_INDEX, _OFFSET_INDEX):
        for number, (kind, index) in enumerate(indexes):
            if kind == wanted:
                destination.write(index)
                spans[number] = start, len(index)
                start += len(index)
    numbers = itertools.chain.from_iterable(spans)
    entries = [
        _move_entry(group.entry, shift, ordinal, numbers)
        for ordinal, (group, _, shift) in enumerate(groups)
    ]
    num_rows = thrift.write_integer(sum(group.num_rows for group, _, _ in groups))
    encoded = thrift.write_list(thrift.STRUCT, entries)
    footer = b"".join((first.before, num_rows, _ROW_GROUPS, encoded, first.after))
    destination.write(footer + len(footer).to_bytes(4, "little") + MAGIC)


def _read_index(footer: Footer, kind: str, place: int, size: int, shift: int) -> bytes:
    """Returns a page index of a row group that is moved."""
    index = footer.ending[place - footer.start : place - footer.start + size]
    if kind == _COLUMN_INDEX:
        return index
    return thrift.replace_integers(index, _PAGE_LOCATIONS, lambda _, place: place + shift)


def _move_entry(entry: bytes, shift: int, ordinal: int, indexes: Iterator[int]) -> bytes:
    """Returns the entry of a row group that is moved.

    Args:
        entry: of the row group.
        shift: by how many bytes it is moved.
        ordinal: its number in the new file.
        indexes: the position and size of each of its page indexes, in turns.
    """

    def replace(name: str, value: int) -> int:
        if name == _ORDINAL:
            return ordinal
        if name != _POSITION:
            return next(indexes)
        # Some writers put 0, where the magic lies, for a position that they don't give.
        return value and value + shift

    return thrift.replace_integers(entry, _ROW_GROUP, replace)
