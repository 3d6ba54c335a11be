"""The columns of a table of annotations, and its rows while they are checked.

Every table becomes `key` (the image) and `value` (one struct a row), so the steps after reading
treat all kinds alike.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.failures import BadRows, Reason

FLOAT = pa.float32()
STRING = pa.string()
#: The type of flags, -1, 0 or 1, and of no other column.
FLAG = pa.int8()


class Rows:
    """Parsed columns of a block, and which of its rows are rejected.

    A bad value of a required column rejects its row (`require…`); one of an optional column becomes
    null (`forget`, `optional_…`). Required columns are checked first, so that no failure names a
    field of a rejected row.

    Args:
        columns: column name to an (n,) array; a column that the file lacks is absent.
        length: n.
        unread: column name to where its values, now null, couldn't be converted; (n,) bool.
        kept: what a failure says is kept although a field is lost: the row or the image.
    """

    def __init__(
        self,
        columns: Mapping[str, pa.Array],
        length: int,
        unread: Mapping[str, np.ndarray] | None = None,
        kept: str = "row",
    ) -> None:
        self.columns = dict(columns)
        self.length = length
        self.unread = dict(unread or {})
        self._kept = kept
        self.rejected = np.zeros(length, bool)
        self.notes: list[BadRows] = []

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
            self.notes.append(BadRows(np.flatnonzero(bad), reason, detail))
            self.rejected |= bad

    def note(self, where: np.ndarray, reason: Reason, detail: str) -> None:
        """Reports rows that are kept all the same."""
        places = np.flatnonzero(where & ~self.rejected)
        if len(places):
            self.notes.append(BadRows(places, reason, detail))

    def forget(self, name: str, ok: np.ndarray, detail: str) -> None:
        """Makes the values of an optional column null where `ok` is False, and reports them."""
        if not ok.all():
            self.columns[name] = pc.if_else(pa.array(ok), self.columns[name], None)
            self.note_lost(~ok, detail)

    def note_lost(self, where: np.ndarray, detail: str) -> None:
        """Reports rows that are kept without a field."""
        self.note(where, Reason.BAD_ROW, f"{detail}: null, the {self._kept} is kept")

    def optional_number(self, name: str) -> pa.Array:
        """A float column that may be missing; null where a value is missing, NaN or not finite."""
        if name not in self.columns:
            return pa.nulls(self.length, FLOAT)
        values = self.numbers(name)
        if not np.isfinite(values).all():
            self.forget(name, ~np.isinf(values), f"{name} is not a finite number")
            unknown = pa.array(np.isnan(values))
            self.columns[name] = pc.if_else(unknown, pa.scalar(None, FLOAT), self.columns[name])
        return self.columns[name]

    def optional_box(self, xmin: str, xmax: str, ymin: str, ymax: str) -> list[pa.Array]:
        """The corners of a box; all four are null where they aren't known or aren't a box."""
        names = (xmin, xmax, ymin, ymax)
        if not all(name in self.columns for name in names):
            return [pa.nulls(self.length, FLOAT)] * 4
        corners = [self.numbers(name) for name in names]
        a, b, c, d = corners
        ok = (a >= 0) & (a <= b) & (b <= 1) & (c >= 0) & (c <= d) & (d <= 1)
        if not ok.all():
            unknown = np.isnan(corners).all(axis=0)
            for name in names:
                unknown &= ~self.unread.pop(name, np.zeros(self.length, bool))
            self.note_lost(~ok & ~unknown, f"{', '.join(names)} are no box in [0, 1]")
            return [pc.if_else(pa.array(ok), self.columns[name], None) for name in names]
        return [self.columns[name] for name in names]

    def require_text(self, *names: str) -> None:
        """Rejects rows where one of the columns is empty."""
        for name in names:
            lengths = pc.binary_length(self.columns[name]).to_numpy(zero_copy_only=False)
            self.require(lengths > 0, f"{name} is empty")

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


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TableSchema:
    """The columns of a table, and how its rows become structs.

    Attributes:
        required: columns that a file must have, with their types; the ImageID apart. A bad value
            rejects the row.
        optional: columns that some files lack. A bad value becomes null.
        row: the type of the struct that a row becomes.
        build: rows to an (n,) array of type `row`; rejects the bad ones on the way.
        aliases: other spellings of column names that occur in published files.
        free_texts: columns whose texts may hold a line break inside quotes, and keep spaces around
            them; other texts are trimmed.
        image_id: the column of ImageIDs.
        kept: what failures say is kept although a field is lost.
    """

    required: Mapping[str, pa.DataType]
    optional: Mapping[str, pa.DataType]
    row: pa.StructType
    build: Callable[[Rows], pa.StructArray]
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)
    free_texts: tuple[str, ...] = ()
    image_id: str = "ImageID"
    kept: str = "row"

    @property
    def types(self) -> dict[str, pa.DataType]:
        """The columns with their types, the ImageID first."""
        return {self.image_id: STRING, **self.required, **self.optional}

    @property
    def free_text(self) -> bool:
        """Whether a field may hold a line break inside quotes."""
        return bool(self.free_texts)

    @functools.cached_property
    def _names(self) -> tuple[dict[str, str], dict[str, str]]:
        """The columns by their names and aliases, as they are and folded."""
        exact = {**{name: name for name in self.types}, **self.aliases}
        return exact, {fold(name): column for name, column in exact.items()}

    def columns_of(self, names: Sequence[str]) -> tuple[str, ...]:
        """The columns of a file by the table's names; '' for a column that the table doesn't have.

        Case, and characters that are no letters or digits, are ignored, unless another column of
        the file has exactly the table's name.
        """
        exact, folded = self._names
        columns = [exact.get(name.strip(), "") for name in names]
        alike = [folded.get(fold(name), "") for name in names]
        return tuple(
            column or ("" if other in columns else other)
            for column, other in zip(columns, alike, strict=True)
        )


def fold(name: str) -> str:
    """A column's name in lower case, without characters other than letters and digits."""
    return re.sub(r"[^0-9a-z]", "", name.lower())


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


def trimmed(column: pa.StringArray) -> pa.StringArray:
    """Trims spaces and tabs around texts; returns the column itself if there are none."""
    text = np.frombuffer(column.buffers()[2] or b"", np.uint8)
    if not len(text) or not len(column):
        return column
    offsets = np.frombuffer(column.buffers()[1], np.int32)
    offsets = offsets[column.offset : column.offset + len(column) + 1]
    ends = (text.take(offsets[:-1], mode="clip"), text.take(offsets[1:] - 1, mode="clip"))
    if min(ends[0].min(), ends[1].min()) > ord(" "):
        return column
    return pc.ascii_trim(column, " \t")
