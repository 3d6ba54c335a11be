"""Writes tables of examples to a Parquet file.

Encoding is the dearest step of a build without pictures, so every option was measured on 100,000
images with 3.5M annotation rows. In short: statistics on nested columns cost 30% of the time and
serve no reader; dictionaries of all columns cost 20% and make larger files; zstd at level 1 costs
7% more than lz4 and makes files a sixth smaller. PyArrow's writer works levels out anew for each of
a struct's fields, a third of its time: so levels and pages are made here.
"""

import functools
from collections.abc import Iterator

import pyarrow as pa

from transforms.dataset import codes
from transforms.dataset.elements import in_one_piece
from transforms.dataset.schema import EXAMPLE, FLAGS
from transforms.formats.parquet.chunks import ChunkWriter, Layout
from transforms.formats.parquet.footer import MAGIC, frame_of, write_footer
from transforms.formats.parquet.levels import leaves
from transforms.formats.parquet.thrift import (
    I16,
    I64,
    LIST,
    STRUCT,
    write_integer,
    write_list,
    write_struct,
)
from transforms.formats.part import Crc32, HashingFile, Part
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

_GROUP_ROWS = 65_536
_GROUP_BYTES = 256 << 20

#: Leaves with few distinct values. Elsewhere a dictionary costs time and makes the file larger.
_DICTIONARY_LEAVES = frozenset(
    (
        *FLAGS,
        *("split", "rotation", "published_rotation"),
        *("license", "author", "author_profile_url"),
        *("label", "label1", "label2", "relationship", "source", "confidence"),
        *("gender_presentation", "age_presentation", "estimated_yes_no", "text_label"),
        *("yes_votes", "no_votes", "unsure_votes"),
    )
)

#: Columns by which a reader may skip row groups.
_STATISTICS = frozenset(("image_id", "split", "width", "height", "rotation", "published_rotation"))


class ParquetWriter:
    """A Parquet file of examples, written one row group after another.

    The same calls make the same bytes.

    Format: https://github.com/apache/parquet-format
    """

    def __init__(
        self,
        path: str,
        schema: pa.Schema = EXAMPLE,
        options: ObjectOptions = files.DEFAULTS,
    ) -> None:
        """Opens the file, local or in an object store by `options`, where it appears at the end."""
        self._path = path
        self._schema = schema
        self._rows = 0
        self._groups: list[bytes] = []
        self._file = HashingFile(files.create_lasting_file(path, options), Crc32())

    @property
    def bytes_written(self) -> int:
        """Size of the file so far."""
        return self._file.tell()

    def write(self, table: pa.Table) -> None:
        """Writes a table as one row group, or as several where it is above 65,536 rows or 256 MiB.

        Raises:
            ValueError: its columns aren't those of the file.
        """
        if [(field.name, codes.plain(field.type)) for field in table.schema] != [
            (field.name, field.type) for field in self._schema
        ]:
            raise ValueError("the table's schema isn't the file's")
        for group in _row_groups(table):
            self._write_group(group)
        self._rows += table.num_rows

    def close(self) -> Part:
        """Finishes the file; one without a row is a valid file too."""
        self._begin()
        body = self._file.digest
        write_footer(frame_of(self._schema), self._rows, self._groups, self._file)
        self._file.close()
        return Part(self._path, self._rows, self._file.tell(), self._file.digest, body)

    def _begin(self) -> None:
        if not self._file.tell():
            self._file.write(MAGIC)

    def _write_group(self, table: pa.Table) -> None:
        self._begin()
        start = self._file.tell()
        chunks = ChunkWriter(self._file.write, start)
        columns = [
            chunks.add(leaf, _layout(leaf.path))
            for name, column in zip(table.column_names, table.columns, strict=True)
            for leaf in leaves(name, in_one_piece(column))
        ]
        group = (
            (1, LIST, write_list(STRUCT, columns)),
            (2, I64, write_integer(chunks.raw_bytes)),
            (3, I64, write_integer(table.num_rows)),
            (5, I64, write_integer(start)),
            (6, I64, write_integer(chunks.position - start)),
            (7, I16, write_integer(len(self._groups))),
        )
        self._groups.append(write_struct(*group))


@functools.cache
def _layout(path: tuple[str, ...]) -> Layout:
    return Layout(
        dictionary=path[-1] in _DICTIONARY_LEAVES,
        compressed=path[-1] != "bytes",  # pictures are by themselves
        statistics=path[0] in _STATISTICS,
    )


def _row_groups(table: pa.Table) -> Iterator[pa.Table]:
    """Slices of at most `_GROUP_ROWS` rows and about `_GROUP_BYTES`."""
    if not table.num_rows:
        return
    rows = max(1, min(_GROUP_ROWS, _GROUP_BYTES * table.num_rows // max(1, _bytes(table))))
    for start in range(0, table.num_rows, rows):
        yield table.slice(start, rows)


def _bytes(table: pa.Table) -> int:
    """Size of a table, without the texts that may be coded, so that groups are the same if so."""
    total = table.nbytes
    for name in codes.FIELDS.keys() & set(table.column_names):
        for chunk in table[name].chunks:
            values = chunk.flatten()
            fields = zip(values.type, values.flatten(), strict=True)
            total -= sum(
                array.nbytes for field, array in fields if field.name in codes.FIELDS[name]
            )
    return total
