"""What the formats of the annotation tables have in common: a declaration of columns, and checked
rows.

Every table becomes `key` (the image) and `value` (one struct a row, with the type that the
example's column holds), so the steps after reading treat all kinds alike.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.failures import Reason

FLOAT = pa.float32()
STRING = pa.string()


class Rows:
    """Parsed columns of a block, and which of its rows are not to be kept.

    Args:
        columns: column name to an (n,) array; a column that the file lacks is absent.
        length: n.
    """

    def __init__(self, columns: Mapping[str, pa.Array], length: int) -> None:
        self.columns = columns
        self.length = length
        self.rejected = np.zeros(length, bool)
        self.notes: list[tuple[int, Reason, str]] = []

    def get(self, name: str, dtype: pa.DataType) -> pa.Array:
        """A column, or nulls where the file has no such column."""
        column = self.columns.get(name)
        return pa.nulls(self.length, dtype) if column is None else column

    def numbers(self, name: str) -> np.ndarray:
        """A float column as (n,) float32, null as NaN."""
        column = self.columns[name]
        return (column.fill_null(float("nan")) if column.null_count else column).to_numpy(
            zero_copy_only=False
        )

    def require(self, ok: np.ndarray, detail: str, reason: Reason = Reason.BAD_ROW) -> None:
        """Rejects the rows where `ok` is False; the first reason that a row is given stays."""
        bad = ~ok & ~self.rejected
        if bad.any():
            self.notes.extend((int(i), reason, detail) for i in np.flatnonzero(bad))
            self.rejected |= bad

    def note(self, where: np.ndarray, reason: Reason, detail: str) -> None:
        """Reports rows that are kept all the same."""
        self.notes.extend((int(i), reason, detail) for i in np.flatnonzero(where & ~self.rejected))

    def require_box(self, xmin: str, xmax: str, ymin: str, ymax: str) -> None:
        """Rejects boxes outside [0, 1], reversed, missing or NaN."""
        for low, high in ((xmin, xmax), (ymin, ymax)):
            a, b = self.numbers(low), self.numbers(high)
            self.require(
                (a >= 0) & (a <= b) & (b <= 1),
                f"box needs 0 <= {low} <= {high} <= 1",
            )

    def require_finite(self, *names: str) -> None:
        """Rejects rows with a missing, infinite or NaN number in one of the columns."""
        for name in names:
            self.require(np.isfinite(self.numbers(name)), f"{name} is not a finite number")


@dataclasses.dataclass(frozen=True)
class TableFormat:
    """A kind of annotation table.

    Attributes:
        kind: as in `--annotations KIND=PATH`.
        column: the example's column that its rows fill; `image` for image tables.
        required: columns that a file must have, with their types; the ImageID apart.
        optional: columns that some files lack.
        value: the type of `value`.
        build: rows to an (n,) array of type `value`; rejects the bad ones on the way.
        identity: fields of `value` in which rows must agree to be repeats of each other, numbers
            where these suffice; see `joining.repeats`.
        aliases: other spellings of column names that occur in published files.
        free_text: whether a field may hold a line break inside quotes.
    """

    kind: str
    column: str
    required: Mapping[str, pa.DataType]
    optional: Mapping[str, pa.DataType]
    value: pa.StructType
    build: Callable[[Rows], pa.StructArray]
    identity: tuple[str, ...] = ()
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)
    free_text: bool = False
    image_id: str = "ImageID"

    @property
    def types(self) -> dict[str, pa.DataType]:
        return {self.image_id: STRING, **self.required, **self.optional}

    def canonical(self, name: str) -> str:
        """A column's name as this project knows it."""
        return self.aliases.get(name.strip(), name.strip())


def struct_array(
    dtype: pa.StructType, columns: Mapping[str, pa.Array], length: int
) -> pa.StructArray:
    """A struct array of type `dtype`; a field that `columns` lacks is null."""
    arrays = [
        columns[field.name].cast(field.type)
        if field.name in columns
        else pa.nulls(length, field.type)
        for field in dtype
    ]
    return pa.StructArray.from_arrays(arrays, fields=list(dtype))


def empty_as_null(column: pa.Array) -> pa.Array:
    """A string column with '' as null; no text is copied."""
    if column.null_count or column.offset:
        return pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)
    known = pc.greater(pc.binary_length(column), 0).buffers()[1]
    return pa.Array.from_buffers(column.type, len(column), [known, *column.buffers()[1:]])


def by_value(column: pa.Array, function: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """What a function makes of a column that has few distinct values, of which it is given each
    once."""
    coded = column.dictionary_encode()
    return function(coded.dictionary).take(coded.indices)
