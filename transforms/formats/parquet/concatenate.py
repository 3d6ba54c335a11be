"""Puts Parquet files of one schema one after another into one file, without decoding them; and
takes them out again.

The bytes of the row groups are copied as they are. The page indexes and the footer follow them,
with new positions. PyArrow can't do it: `FileMetaData.append_row_groups` leaves positions as they
were.
"""

import itertools
from collections.abc import Sequence
from typing import BinaryIO

from transforms.formats.parquet.footer import MAGIC, Footer, Moved, read_footer, write_ending
from transforms.formats.part import Crc32, HashingFile

_BLOCK = 256 << 10


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
