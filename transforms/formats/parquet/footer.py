"""What follows the row groups of a Parquet file: page indexes and the footer.

A file is the magic, its row groups, and its ending: all column indexes, all offset indexes, the
footer (FileMetaData), four bytes with the footer's size, and the magic. Positions in the ending
count from the start of the file, so row groups that are copied to another place need a new one.

Format: https://github.com/apache/parquet-format, `README.md` for the layout of a file,
`PageIndex.md`, and `src/main/thrift/parquet.thrift` for the structs.
"""

import os
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import BinaryIO, NamedTuple

from transforms.formats.parquet import thrift
from transforms.formats.part import HashingFile

MAGIC = b"PAR1"
_TAIL = 8  # the footer's size and the magic
_MAX_ROW_GROUPS = 1 << 15  # RowGroup.ordinal has 16 bits

# Ids of FileMetaData's fields. Version and schema go before the first two.
_NUM_ROWS, _ROW_GROUPS, _LAST_FIELD = 3, 4, 7

_START, _ROWS, _POSITION, _ORDINAL = "start", "rows", "position", "ordinal"
_COLUMN_INDEX, _COLUMN_INDEX_BYTES = "column index", "column index bytes"
_OFFSET_INDEX, _OFFSET_INDEX_BYTES = "offset index", "offset index bytes"

#: The integers of a row group that say where it lies, or of how many rows it is.
_COLUMN_META_DATA: thrift.Wanted = {
    9: _POSITION,  # data_page_offset
    10: _POSITION,  # index_page_offset
    11: _POSITION,  # dictionary_page_offset
    14: _POSITION,  # bloom_filter_offset
}
_COLUMN_CHUNK: thrift.Wanted = {
    2: _POSITION,  # file_offset
    3: _COLUMN_META_DATA,
    4: _OFFSET_INDEX,
    5: _OFFSET_INDEX_BYTES,
    6: _COLUMN_INDEX,
    7: _COLUMN_INDEX_BYTES,
}
_ROW_GROUP: thrift.Wanted = {
    1: _COLUMN_CHUNK,
    3: _ROWS,
    5: _START,  # file_offset
    7: _ORDINAL,
}
_PAGE_LOCATIONS: thrift.Wanted = {1: {1: _POSITION}}


class Frame(NamedTuple):
    """The bytes of a footer around its number of rows and row groups: equal in all the files."""

    before: bytes
    between: bytes
    after: bytes


class RowGroup(NamedTuple):
    """A row group.

    Attributes:
        start: where in the file it starts.
        num_rows: how many rows it has.
        entry: its entry in the footer.
        integers: those of the entry that say where the row group lies.
    """

    start: int
    num_rows: int
    entry: bytes
    integers: list[thrift.Integer]


class Footer(NamedTuple):
    """The end of a Parquet file.

    Attributes:
        frame: the schema and other metadata.
        groups: the row groups.
        start: where the row groups end.
        ending: all bytes of the file from there on.
    """

    frame: Frame
    groups: list[RowGroup]
    start: int
    ending: bytes


class MovedRowGroup(NamedTuple):
    """A row group at another place than its footer says.

    Attributes:
        group: the row group.
        shift: by how many bytes it was moved.
        column_indexes: of its columns, as they were.
        offset_indexes: of its columns, for the new place.
    """

    group: RowGroup
    shift: int
    column_indexes: list[bytes]
    offset_indexes: list[bytes]


def read_footer(file: BinaryIO, path: str, frame: Frame | None = None) -> Footer:
    """Reads the end of a file.

    Args:
        file: the open file.
        path: its name in messages.
        frame: what its metadata must equal, that of another file.

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
    frame = frame or _read_frame(footer, path)
    groups, indexes = _read_row_groups(footer, frame, path)
    start = min([start, *indexes])
    file.seek(start)
    return Footer(frame, groups, start, file.read(size - start))


def _read_frame(footer: bytes, path: str) -> Frame:
    found = {field.id: field for field in thrift.fields(footer)}
    if list(found) != sorted(found) or not {_NUM_ROWS, _ROW_GROUPS} <= found.keys():
        raise ValueError(f"{path}: its footer isn't written as Parquet's writers do")
    if max(found) > _LAST_FIELD:
        raise ValueError(f"{path}: its footer has field {max(found)}, which can't be concatenated")
    num_rows, groups = found[_NUM_ROWS], found[_ROW_GROUPS]
    return Frame(
        footer[: num_rows.start], footer[num_rows.end : groups.start], footer[groups.end :]
    )


def _read_row_groups(footer: bytes, frame: Frame, path: str) -> tuple[list[RowGroup], list[int]]:
    """The row groups, and where their page indexes start."""
    if not footer.startswith(frame.before):
        raise ValueError(f"{path}: its version or schema differs from the first file's")
    _, at = thrift.read_integer(footer, len(frame.before))
    if not footer.startswith(frame.between, at):
        raise ValueError(f"{path}: its footer isn't laid out as the first file's")
    size, _, at = thrift.read_list_header(footer, at + len(frame.between))
    groups: list[RowGroup] = []
    indexes: list[int] = []
    for _ in range(size):
        rest = memoryview(footer)[at:]
        integers, end = thrift.find_integers(rest, 0, _ROW_GROUP)
        entry = bytes(rest[:end])
        values = {integer.name: integer.value for integer in integers}
        groups.append(RowGroup(values.get(_START, 0), values[_ROWS], entry, integers))
        indexes += (i.value for i in integers if i.name in (_COLUMN_INDEX, _OFFSET_INDEX))
        at += end
    if footer[at:] != frame.after:
        raise ValueError(
            f"{path}: its key-value metadata, writer or column orders differ from the first file's"
        )
    return groups, indexes


def move(footer: Footer, groups: Iterable[RowGroup], shift: int) -> list[MovedRowGroup]:
    """Takes row groups with their page indexes out of a file, to be put `shift` bytes further."""
    return [_move(footer, group, shift) for group in groups]


def _move(footer: Footer, group: RowGroup, shift: int) -> MovedRowGroup:
    column_indexes, offset_indexes = [], []
    for integer, size in pairwise(group.integers):
        if integer.name in (_COLUMN_INDEX, _OFFSET_INDEX):
            start = integer.value - footer.start
            index = footer.ending[start : start + size.value]
            if integer.name == _COLUMN_INDEX:
                column_indexes.append(index)
            else:
                pages, _ = thrift.find_integers(index, 0, _PAGE_LOCATIONS)
                places = [page.value + shift for page in pages]
                offset_indexes.append(thrift.replace_integers(index, pages, places))
    return MovedRowGroup(group, shift, column_indexes, offset_indexes)


def write_ending(
    frame: Frame,
    groups: Sequence[MovedRowGroup],
    num_rows: int,
    start: int,
    destination: BinaryIO | HashingFile,
) -> None:
    """Writes the end of a file.

    Args:
        frame: the schema and other metadata.
        groups: all row groups, at their new places.
        num_rows: how many rows they have in all.
        start: where in the file they end.
        destination: the file.

    Raises:
        ValueError: there are more row groups than a file can number.
    """
    if len(groups) > _MAX_ROW_GROUPS:
        raise ValueError(f"{len(groups)} row groups are more than a Parquet file can number")
    column_indexes = b"".join(index for group in groups for index in group.column_indexes)
    destination.write(column_indexes)
    destination.write(b"".join(index for group in groups for index in group.offset_indexes))
    places = {_COLUMN_INDEX: start, _OFFSET_INDEX: start + len(column_indexes)}
    entries: list[bytes] = []
    for number, moved in enumerate(groups):
        sizes = iter(moved.offset_indexes)
        values: list[int] = []
        for name, value, *_ in moved.group.integers:
            if name in places:
                value = places[name]
            elif name == _COLUMN_INDEX_BYTES:
                places[_COLUMN_INDEX] += value
            elif name == _OFFSET_INDEX_BYTES:
                value = len(next(sizes))
                places[_OFFSET_INDEX] += value
            elif name == _ORDINAL:
                value = number
            elif name in (_START, _POSITION) and value:
                # Some writers put 0, where the magic lies, for a position that they don't give.
                value += moved.shift
            values.append(value)
        entries.append(thrift.replace_integers(moved.group.entry, moved.group.integers, values))
    rows = thrift.write_integer(num_rows)
    encoded = thrift.write_list(thrift.STRUCT, entries)
    footer = b"".join((frame.before, rows, frame.between, encoded, frame.after))
    destination.write(footer + len(footer).to_bytes(4, "little") + MAGIC)
