"""Writes tables of examples to a Parquet file.

Encoding is the dearest step of a build without pictures, so every option was measured on 100,000
images with 3.5M annotation rows. In short: statistics on nested columns cost 30% of the time and
serve no reader; dictionaries of all columns cost 20% and make larger files; zstd at level 1 costs
7% more than lz4 and makes files a sixth smaller. Labels that come as dictionaries are written 15%
faster, but the bytes then depend on how those were put together, and to sort them takes that time.
"""

import base64
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from transforms import codes
from transforms.elements import in_one_piece
from transforms.examples.schema import EXAMPLE, FLAGS, MAP_COLUMNS
from transforms.outputs.part import Crc32, HashingFile, Part
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

_GROUP_ROWS = 65_536
_GROUP_BYTES = 256 << 20

#: Leaves with few distinct values. Elsewhere a dictionary costs time and makes the file larger.
_DICTIONARY_LEAVES = frozenset(
    (
        *FLAGS,
        *("split", "rotation", "license", "author", "author_profile_url"),
        *("label", "label1", "label2", "relationship", "source", "confidence", "size"),
        *("gender_presentation", "age_presentation", "estimated_yes_no", "text_label"),
        *("yes_votes", "no_votes", "unsure_votes"),
    )
)

#: Columns by which a reader may skip row groups.
_STATISTICS = ["image_id", "split", "width", "height", "rotation"]

#: A page can end only after a batch of values: so few pictures, to keep their pages near 1 MiB and
#: far from the 2 GiB that a page may have; many of anything else, for it is 5% faster.
_BATCH_WITH_PICTURES, _BATCH = 16, 65_536


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
        self._file = HashingFile(files.create_lasting_file(path, options), Crc32())
        self._writer: pq.ParquetWriter | None = None

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
        if self._writer is None:
            self._writer = self._open(table.schema, _has_pictures(table))
        for group in _row_groups(table):
            self._writer.write_table(_compact(group))
        self._rows += table.num_rows

    def close(self) -> Part:
        """Finishes the file; one without a row is a valid file too."""
        writer = self._writer or self._open(self._schema, with_pictures=False)
        body = self._file.digest
        writer.close()
        self._file.close()
        return Part(self._path, self._rows, self._file.tell(), self._file.digest, body)

    def _open(self, schema: pa.Schema, with_pictures: bool) -> pq.ParquetWriter:
        leaves = dict(_leaves(self._schema))
        dictionaries = [path for path in leaves if path.rpartition(".")[2] in _DICTIONARY_LEAVES]
        pictures = {path for path in leaves if path.endswith(".bytes")}  # compressed by themselves
        writer = pq.ParquetWriter(
            self._file,
            schema,
            compression={path: "none" if path in pictures else "zstd" for path in leaves},
            compression_level=dict.fromkeys(leaves.keys() - pictures, 1),
            use_dictionary=dictionaries,
            # Makes coordinates 4% smaller, at no cost.
            use_byte_stream_split=[
                path
                for path, dtype in leaves.items()
                if dtype == pa.float32() and path not in dictionaries
            ],
            write_statistics=_STATISTICS,
            write_batch_size=_BATCH_WITH_PICTURES if with_pictures else _BATCH,
            store_schema=False,
        )
        # As `store_schema` would: what readers are to see is plain text, however it came.
        arrow = base64.b64encode(self._schema.serialize().to_pybytes())
        writer.add_key_value_metadata({b"ARROW:schema": arrow, **(self._schema.metadata or {})})
        return writer


def _has_pictures(table: pa.Table) -> bool:
    columns = {"image", *MAP_COLUMNS} & set(table.column_names)
    return any(table[name].null_count < len(table) for name in columns)


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


def _compact(group: pa.Table) -> pa.Table:
    """The dictionaries of coded texts as writers of plain text make them."""
    for i, field in enumerate(group.schema):
        if codes.plain(field.type) != field.type:
            column = codes.compact_column(in_one_piece(group[field.name]))
            group = group.set_column(i, field, column)
    return group


def _leaves(schema: pa.Schema) -> Iterator[tuple[str, pa.DataType]]:
    """Each leaf's path, as Parquet names it, and type."""

    def walk(path: str, dtype: pa.DataType) -> Iterator[tuple[str, pa.DataType]]:
        if pa.types.is_struct(dtype):
            for field in dtype:
                yield from walk(f"{path}.{field.name}", field.type)
        elif pa.types.is_list(dtype):
            yield from walk(f"{path}.list.element", dtype.value_type)
        else:
            yield path, dtype

    for field in schema:
        yield from walk(field.name, field.type)
