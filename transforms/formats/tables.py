"""Examples read back as an Arrow table, for formats whose readers give rows."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import in_one_piece
from transforms.formats.format import Picture
from transforms.formats.tfrecord import wire
from transforms.formats.tfrecord.encoder import encode_examples
from transforms.formats.tfrecord.features import leaves
from transforms.formats.tfrecord.records import Feature, checksum, comparable
from transforms.kinds.registry import EXAMPLE


class TableExamples:
    """Consecutive rows of a shard; see `format.Examples`.

    Attributes:
        table: the rows.
    """

    def __init__(self, table: pa.Table, columns: Sequence[str] | None = None) -> None:
        """Takes rows, and the columns by which they are compared; None for all."""
        self.table = table
        self._columns = table.column_names if columns is None else columns

    @property
    def image_ids(self) -> pa.StringArray:
        return in_one_piece(self.table["image_id"])

    def count_in_split(self, split: str) -> int:
        if "split" not in self.table.column_names:
            return len(self.table)
        return pc.sum(pc.equal(self.table["split"], split)).as_py() or 0

    def count_annotations(self) -> Counter[str]:
        lists = [field.name for field in self.table.schema if pa.types.is_list(field.type)]
        lengths = {name: pc.list_value_length(self.table[name]) for name in lists}
        return Counter({name: pc.sum(each).as_py() or 0 for name, each in lengths.items()})

    def picture(self, row: int) -> Picture:
        columns = ["image_id", "image", "width", "height"]
        (example,) = self.table.select(columns).slice(row, 1).to_pylist()
        data = (example["image"] or {}).get("bytes")
        return Picture(example["image_id"], data, (example["width"], example["height"]))

    def checksums(self) -> np.ndarray:
        return _checksums(self.table, self._columns)

    def column_checksums(self, columns: Sequence[str]) -> dict[str, np.ndarray]:
        present = [name for name in columns if name in self.table.column_names]
        # A version may have been built before there was some field, which is null then.
        fields = map(_with_new_fields, map(self.table.schema.field, present))
        table = self.table.select(present).cast(pa.schema(fields))
        return {name: _checksums(table, [name]) for name in present}

    def features(self, row: int) -> dict[str, Any]:
        return comparable(
            {
                leaf.key: Feature(leaf.kind, _to_list(leaf.values))
                for leaf in leaves(self.table.slice(row, 1), self._columns)
            }
        )


def _with_new_fields(field: pa.Field) -> pa.Field:
    """Returns a column as of `EXAMPLE`, unless it has what that lacks."""
    wanted = EXAMPLE.field(field.name)
    return wanted if _is_within(field.type, wanted.type) else field


def _is_within(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Returns whether a type is another one, perhaps without some fields of structs."""
    if pa.types.is_list(found) and pa.types.is_list(wanted):
        return _is_within(found.value_type, wanted.value_type)
    if pa.types.is_struct(found) and pa.types.is_struct(wanted):
        return all(
            wanted.get_field_index(each.name) >= 0
            and _is_within(each.type, wanted.field(each.name).type)
            for each in found
        )
    return found == wanted


def _to_list(values: pa.Array | np.ndarray) -> list[bytes] | np.ndarray:
    return values.to_pylist() if isinstance(values, pa.Array) else values


def _checksums(table: pa.Table, columns: Sequence[str]) -> np.ndarray:
    """Returns checksums, (n,) uint64, of n rows by some of the columns of `EXAMPLE`."""
    pieces = map(wire.cells, wire.runs(encode_examples(table, columns)))
    return np.array([checksum(*row) for row in zip(*pieces, strict=True)], np.uint64)
