"""Writes tables of examples to a Parquet file, by PyArrow and with a page index.

The page index says where each page lies and which rows it holds, so that a reader can fetch one
picture by a range of bytes. Statistics are written where a reader can skip row groups or pages by
them.
"""

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.dataset import codes
from transforms.dataset.elements import in_one_piece
from transforms.dataset.schema import IMAGE
from transforms.formats import described
from transforms.formats.format import ExampleWriter
from transforms.formats.part import Part
from transforms.kinds.images import IMAGES
from transforms.kinds.registry import ANNOTATIONS, EXAMPLE

_GROUP_ROWS = 65_536
_GROUP_BYTES = 256 << 20

#: Few pictures a page: it ends after the two values by which it reaches this size. Smaller pages of
#: annotations alone would make files 3% larger, so there PyArrow's 1 MiB holds.
_PICTURE_PAGES = {"data_page_size": 128 << 10, "write_batch_size": 2}

#: Columns and their leaves with few distinct values. Elsewhere a dictionary costs time and makes
#: the file larger.
_DICTIONARY_LEAVES = frozenset(
    (
        *((name, name) for name in ("split", *IMAGES.few_values)),
        *((name, leaf) for name, kind in ANNOTATIONS.items() for leaf in kind.few_values),
    )
)

#: Columns by which a reader may skip rows. On nested leaves statistics serve no reader.
_STATISTICS = ["image_id", "split", "width", "height", "rotation", "published_rotation"]


class ParquetWriter(ExampleWriter):
    """A Parquet file of examples, written one row group after another.

    The same calls make the same bytes.

    Format: https://github.com/apache/parquet-format

    Attributes:
        schema: of the file.
    """

    schema = EXAMPLE
    _writer: pq.ParquetWriter | None = None

    def write(self, table: pa.Table) -> None:
        """Writes a table as one row group, or as several where it is above 65,536 rows or 256 MiB.

        Texts may be coded (see `dataset.codes`): the file is the same.

        Raises:
            ValueError: its columns aren't those of the file.
        """
        if [(field.name, codes.plain(field.type)) for field in table.schema] != [
            (field.name, field.type) for field in self.schema
        ]:
            raise ValueError("the table's schema isn't the file's")
        if not len(table):
            return
        # Pages end where chunks of a table do: so bytes would depend on these.
        columns = [in_one_piece(column) for column in table.columns]
        table = pa.table(columns, schema=table.schema).cast(self.schema)
        if self._writer is None:
            pictures = (column for column in table.columns if column.type == IMAGE)
            self._writer = self._open(any(each.null_count < len(each) for each in pictures))
        rows = max(1, min(_GROUP_ROWS, _GROUP_BYTES * len(table) // max(1, table.nbytes)))
        self._writer.write_table(table, row_group_size=rows)
        self._rows += len(table)

    def close(self) -> Part:
        """Finishes the file; one without a row is a valid file too."""
        writer = self._writer or self._open(with_pictures=False)
        body = self._file.digest
        writer.close()
        return super().close()._replace(body=body)

    def _open(self, with_pictures: bool) -> pq.ParquetWriter:
        leaves = dict(described.leaves(pa.struct(self.schema)))
        dictionaries = [
            path
            for path in leaves
            if (path.partition(".")[0], path.rpartition(".")[2]) in _DICTIONARY_LEAVES
        ]
        pictures = {path for path in leaves if path.endswith(".bytes")}  # compressed by themselves
        return pq.ParquetWriter(
            self._file,
            self.schema,
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
            write_page_index=True,
            **(_PICTURE_PAGES if with_pictures else {}),
        )
