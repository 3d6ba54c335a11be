"""What follows the row groups of a Parquet file: page indexes and the footer.

A file is the magic, its row groups, and its ending: all column indexes, all offset indexes, the
footer (FileMetaData), four bytes with the footer's size, and the magic. Positions in the ending
count from the start of the file, so row groups that are copied to another place need a new one.

Format: https://github.com/apache/parquet-format, `README.md` for the layout of a file,
`PageIndex.md`, and `src/main/thrift/parquet.thrift` for the structs.
"""

import os
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

from transforms.formats.parquet import thrift
from transforms.formats.part import HashingFile

MAGIC = b"PAR1"
_TAIL = 8  # the footer's size and the magic
_MAX_ROW_GROUPS = 1 << 15  # RowGroup.ordinal has 16 bits

# Ids of FileMetaData's fields. Version and schema go before the first two.
_NUM_ROWS, _ROW_GROUPS, _LAST_FIELD = 3, 4, 7

_START, _ROWS, _POSITION, _ORDINAL = "start", "rows", "position", "ordinal"
_COLUMN_INDEX, _OFFSET_INDEX, _INDEX_BYTES = "column index", "offset index", "index bytes"

#: What is to be known of a row group to find it.
_LAYOUT: thrift.Wanted = {
    1: {4: _OFFSET_INDEX, 6: _COLUMN_INDEX},
    3: _ROWS,
    5: _START,  # file_offset
}
#: The integers of a row group that change when it is moved.
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
    5: _INDEX_BYTES,
    6: _COLUMN_INDEX,
    7: _INDEX_BYTES,
}
_ROW_GROUP: thrift.Wanted = {1: _COLUMN_CHUNK, 5: _POSITION, 7: _ORDINAL}
_PAGE_LOCATIONS: thrift.Wanted = {1: {1: _POSITION}}


class Frame(NamedTuple):
    """The bytes of a footer around its number of rows and row groups: equal in all the files."""

    before: bytes
    between: bytes
    after: bytes


class RowGroup(NamedTuple):
    """A row group: where in the file it starts, its number of rows, and its entry in the footer."""

    start: int
    num_rows: int
    entry: bytes


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
    """A row group at another place, whose page indexes have no place yet.

    Attributes:
        entry: the pieces of its entry in the footer between which positions of page indexes belong.
        indexes: the kind and bytes of these page indexes.
    """

    entry: list[bytes]
    indexes: list[tuple[str, bytes]]


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
    """Returns the row groups, and where their page indexes start."""
    if not footer.startswith(frame.before):
        raise ValueError(f"{path}: its version or schema differs from the first file's")
    _, at = thrift.read_integer(footer, len(frame.before))
    if not footer.startswith(frame.between, at):
        raise ValueError(f"{path}: its footer isn't laid out as the first file's")
    size, _, at = thrift.read_list_header(footer, at + len(frame.between))
    groups: list[RowGroup] = []
    indexes: list[int] = []
    for _ in range(size):
        integers, end = thrift.find_integers(footer, at, _LAYOUT)
        values = {integer.name: integer.value for integer in integers}
        groups.append(RowGroup(values.get(_START, 0), values[_ROWS], footer[at:end]))
        indexes += (i.value for i in integers if i.name in (_COLUMN_INDEX, _OFFSET_INDEX))
        at = end
    if footer[at:] != frame.after:
        raise ValueError(
            f"{path}: its key-value metadata, writer or column orders differ from the first file's"
        )
    return groups, indexes


def move(footer: Footer, group: RowGroup, shift: int, ordinal: int) -> MovedRowGroup:
    """Takes a row group with its page indexes out of a file.

    Args:
        footer: the end of the file.
        group: one of its row groups.
        shift: by how many bytes the row group is moved.
        ordinal: its number in the new file.
    """
    integers, _ = thrift.find_integers(group.entry, 0, _ROW_GROUP)
    pieces, indexes = [b""], []
    copied = size = 0
    for number, (name, value, start, end) in enumerate(integers):
        pieces[-1] += group.entry[copied:start]
        copied = end
        if name in (_COLUMN_INDEX, _OFFSET_INDEX):
            at = value - footer.start
            index = footer.ending[at : at + integers[number + 1].value]
            if name == _OFFSET_INDEX:
                index = _move_pages(index, shift)
            size = len(index)
            indexes.append((name, index))
            pieces.append(b"")
            continue
        if name == _ORDINAL:
            value = ordinal
        elif name == _INDEX_BYTES:
            value = size
        elif value:  # some writers put 0, where the magic lies, for a position that they don't give
            value += shift
        pieces[-1] += thrift.write_integer(value)
    pieces[-1] += group.entry[copied:]
    return MovedRowGroup(pieces, indexes)


def _move_pages(offset_index: bytes, shift: int) -> bytes:
    moved, copied = b"", 0
    pages, _ = thrift.find_integers(offset_index, 0, _PAGE_LOCATIONS)
    for page in pages:
        moved += offset_index[copied : page.start] + thrift.write_integer(page.value + shift)
        copied = page.end
    return moved + offset_index[copied:]


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
    places: dict[str, int] = {}
    for kind in (_COLUMN_INDEX, _OFFSET_INDEX):
        indexes = [index for group in groups for each, index in group.indexes if each == kind]
        destination.write(b"".join(indexes))
        places[kind] = start
        start += sum(map(len, indexes))
    entries: list[bytes] = []
    for group in groups:
        pieces = group.entry[:1]
        for (kind, index), piece in zip(group.indexes, group.entry[1:], strict=True):
            pieces += (thrift.write_integer(places[kind]), piece)
            places[kind] += len(index)
        entries.append(b"".join(pieces))
    rows = thrift.write_integer(num_rows)
    encoded = thrift.write_list(thrift.STRUCT, entries)
    footer = b"".join((frame.before, rows, frame.between, encoded, frame.after))
    destination.write(footer + len(footer).to_bytes(4, "little") + MAGIC)
