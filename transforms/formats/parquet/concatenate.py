"""Puts Parquet files of one schema one after another into one file, without decoding them; and
takes them out again.

The bytes of the row groups are copied as they are. What says where they lie is written anew: the
integers in the footer, and in offset indexes where there are any, that count bytes from the start
of the file. PyArrow can't do it: `FileMetaData.append_row_groups` leaves them as they were.

Format: https://github.com/apache/parquet-format, `README.md` for the layout of a file and
`src/main/thrift/parquet.thrift` for the footer.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from transforms.formats.parquet import thrift
from transforms.formats.parquet.footer import MAGIC, Frame, read_footer, read_frame, write_footer
from transforms.formats.part import Crc32, HashingFile

_BLOCK = 256 << 10
_MAX_ROW_GROUPS = 1 << 15  # RowGroup.ordinal has 16 bits

_POSITION, _ORDINAL, _INDEX, _INDEX_SIZE = "position", "ordinal", "index", "index size"
_START, _ROWS = "start", "rows"

_COLUMN_META_DATA: thrift.Wanted = {
    9: _POSITION,  # data_page_offset
    10: _POSITION,  # index_page_offset
    11: _POSITION,  # dictionary_page_offset
    14: _POSITION,  # bloom_filter_offset
}
_COLUMN_CHUNK: thrift.Wanted = {
    2: _POSITION,  # file_offset
    3: _COLUMN_META_DATA,
    4: _INDEX,  # offset_index_offset
    5: _INDEX_SIZE,  # offset_index_length
    6: _POSITION,  # column_index_offset
}
_ROW_GROUP: thrift.Wanted = {
    1: _COLUMN_CHUNK,
    3: _ROWS,
    5: _START,  # file_offset
    7: _ORDINAL,
}
_OFFSET_INDEX: thrift.Wanted = {1: {1: _POSITION}}  # page_locations, each one's offset


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
    with open(paths[0], "rb") as file:
        frame = read_frame(read_footer(file, paths[0])[0], paths[0])
    destination.write(MAGIC)
    written, num_rows = len(MAGIC), 0
    groups: list[bytes] = []
    for path in paths:
        with open(path, "rb") as file:
            footer, size = read_footer(file, path)
            rows, found = _read_row_groups(footer, frame, path)
            num_rows += rows
            file.seek(len(MAGIC))
            _copy(file, size, destination)
            shift, written = written - len(MAGIC), written + size
            for group, indexes in _moved_groups(file, footer, found, shift, len(groups), written):
                groups.append(group)
                destination.write(indexes)
                written += len(indexes)
    if len(groups) > _MAX_ROW_GROUPS:
        raise ValueError(f"{len(groups)} row groups are more than a Parquet file can number")
    write_footer(frame, num_rows, groups, destination)


class Concatenated:
    """A Parquet file that others were put together to, to be taken apart again.

    Its footer is read once for all of them.
    """

    def __init__(self, path: str, file: BinaryIO) -> None:
        """Reads the footer of an open file.

        Raises:
            ValueError: it isn't a plain Parquet file.
        """
        self._path = path
        self._footer, size = read_footer(file, path)
        self._frame = read_frame(self._footer, path)
        _, self._groups = _read_row_groups(self._footer, self._frame, path)
        integers = [{i.name: i.value for i in found} for _, _, found in self._groups]
        self._starts = [*(some.get(_START, 0) for some in integers), len(MAGIC) + size]
        self._rows = [0, *itertools.accumulate(some.get(_ROWS, 0) for some in integers)]

    def extract(
        self, file: BinaryIO, row: int, rows: int, destination: BinaryIO | HashingFile
    ) -> None:
        """Writes one of the files again, byte for byte, if it had no offset indexes.

        Args:
            file: the open file that all of them are in.
            row: its first row.
            rows: how many it has.
            destination: where to write. It is left open.

        Raises:
            ValueError: its rows aren't whole row groups.
        """
        try:
            first, last = self._rows.index(row), self._rows.index(row + rows)
        except ValueError:
            raise ValueError(f"{self._path}: no row groups of rows {row} to {row + rows}") from None
        start, stop = self._starts[first], self._starts[last]
        destination.write(MAGIC)
        file.seek(start)
        _copy(file, stop - start, destination)
        found = self._groups[first:last]
        moved = _moved_groups(file, self._footer, found, len(MAGIC) - start, 0, 0)
        write_footer(self._frame, rows, [group for group, _ in moved], destination)


def footer_checksum(path: str, file: BinaryIO | None = None) -> str:
    """The CRC-32 of a Parquet file's footer.

    Args:
        path: the file.
        file: it, if it is open; it is read from then.

    Raises:
        ValueError: it isn't a plain Parquet file.
    """
    if file is None:
        with open(path, "rb") as opened:
            return footer_checksum(path, opened)
    crc = Crc32()
    crc.update(read_footer(file, path)[0])
    return crc.hexdigest()


_Found = list[tuple[int, int, list[thrift.Integer]]]


def _read_row_groups(footer: bytes, frame: Frame, path: str) -> tuple[int, _Found]:
    """The number of rows, and where each row group starts and ends, with its integers to change."""
    if not footer.startswith(frame.before):
        raise ValueError(f"{path}: its version or schema differs from the first file's")
    num_rows, at = thrift.read_integer(footer, len(frame.before))
    if not footer.startswith(frame.between, at):
        raise ValueError(f"{path}: its footer isn't laid out as the first file's")
    size, _, at = thrift.read_list_header(footer, at + len(frame.between))
    groups: _Found = []
    for _ in range(size):
        found: list[thrift.Integer] = []
        end = thrift.find_integers(footer, at, _ROW_GROUP, found.append)
        groups.append((at, end, found))
        at = end
    if footer[at:] != frame.after:
        raise ValueError(
            f"{path}: its key-value metadata, writer or column orders differ from the first file's"
        )
    return num_rows, groups


def _moved_groups(
    file: BinaryIO, footer: bytes, groups: _Found, shift: int, ordinal: int, end: int
) -> Iterator[tuple[bytes, bytes]]:
    """Each row group's entry in the new footer, and the offset indexes to append for it.

    An offset index says where pages are, and may have another length after the move: so it can't be
    changed in place. The new ones follow the copied bytes; nothing refers to the old ones, which
    stay.

    Args:
        file: the file that is moved.
        footer: its footer.
        groups: its row groups, as found in the footer.
        shift: by how many bytes it is moved.
        ordinal: the number of its first row group in the new file.
        end: where in the new file the first appended index will lie.
    """
    for number, (start, stop, found) in enumerate(groups, ordinal):
        changes: list[tuple[thrift.Integer, int]] = []
        indexes: list[bytes] = []
        for place, integer in enumerate(found):
            if integer.name == _ORDINAL:
                changes.append((integer, number))
            elif integer.name == _INDEX:
                length = found[place + 1]
                index = _moved_index(file, integer.value, length.value, shift)
                changes += [(integer, end), (length, len(index))]
                indexes.append(index)
                end += len(index)
            # Some writers put 0, where the magic lies, for a position that they don't give.
            elif integer.name in (_POSITION, _START) and integer.value:
                changes.append((integer, integer.value + shift))
        yield _replace(footer, start, stop, changes), b"".join(indexes)


def _moved_index(file: BinaryIO, start: int, size: int, shift: int) -> bytes:
    """The offset index that lies at `start`, its pages moved by `shift`."""
    file.seek(start)
    data = file.read(size)
    found: list[thrift.Integer] = []
    thrift.find_integers(data, 0, _OFFSET_INDEX, found.append)
    return _replace(data, 0, size, [(integer, integer.value + shift) for integer in found])


def _replace(
    data: bytes, start: int, end: int, changes: Sequence[tuple[thrift.Integer, int]]
) -> bytes:
    """`data[start:end]` with other values in place of some integers, which are in order."""
    pieces: list[bytes] = []
    for integer, value in changes:
        pieces += (data[start : integer.start], thrift.write_integer(value))
        start = integer.end
    pieces.append(data[start:end])
    return b"".join(pieces)


def _copy(source: BinaryIO, size: int, destination: BinaryIO | HashingFile) -> None:
    """Copies the next `size` bytes in blocks: memory stays small, whatever the size."""
    while size:
        block = source.read(min(size, _BLOCK))
        if not block:
            raise ValueError(f"{source.name} became shorter while it was read")
        destination.write(block)
        size -= len(block)
