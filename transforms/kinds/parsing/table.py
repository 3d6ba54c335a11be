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

from transforms.dataset import failures
from transforms.dataset.failures import BadRows, Reason
from transforms.dataset.keys import read_image_ids
from transforms.kinds.parsing.parsed import ParsedBlock

FLOAT = pa.float32()
STRING = pa.string()
#: The type of flags, -1, 0 or 1, and of no other column; -1 is unknown.
FLAG, UNKNOWN_FLAG = pa.int8(), -1


class Rows:
    """Parsed columns of a block, and which of its rows are rejected.

    A bad value of a required column rejects its row (`require…`); one of an optional column becomes
    null (`forget…`). Required columns are checked first, so that no failure names a field of a
    rejected row.

    Args:
        columns: column name to an (n,) array; a column that the file lacks is absent.
        schema: what they mean.
        unread: column name to where its values, now null, couldn't be converted; (n,) bool.

    Attributes:
        length: n.
        image_ids: (n,) string, in lower case where they are valid.
        keys: of images, (n,) uint64.
        is_valid: whether the ImageID is valid, (n,) bool.
        rejected: which rows are, or are passed over; (n,) bool.
        passed_over: how many are no rows, and no failures.
        notes: failures of rows.
    """

    def __init__(
        self,
        columns: Mapping[str, pa.Array],
        schema: "TableSchema",
        unread: Mapping[str, np.ndarray],
    ) -> None:
        self.columns = dict(columns)
        self.unread = dict(unread)
        self.image_ids, self.keys, self.is_valid = read_image_ids(columns[schema.image_id])
        self.length = len(self.keys)
        self.rejected = np.zeros(self.length, bool)
        self.passed_over = 0
        self.notes: list[BadRows] = []
        self._kept = schema.kept

    def pass_over(self, where: np.ndarray) -> None:
        """Leaves out what is no row, and no failure; it comes before all checks."""
        self.rejected = where
        self.passed_over = int(where.sum())

    def numbers(self, name: str) -> np.ndarray:
        """Returns a float column as (n,) float32, null as NaN."""
        column = self.columns[name]
        column = column.fill_null(float("nan")) if column.null_count else column
        return column.to_numpy(zero_copy_only=False)

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

    def forget_infinite(self, name: str) -> None:
        """Makes numbers of an optional column null where they aren't finite; NaN is no failure."""
        if name in self.columns:
            values = self.numbers(name)
            if not (ok := np.isfinite(values)).all():
                self.note_lost(np.isinf(values), f"{name} is not a finite number")
                self.columns[name] = pc.if_else(pa.array(ok), self.columns[name], None)

    def forget_box(self, *names: str) -> None:
        """Makes the corners of a box null, all four of them, where they aren't known or aren't a
        box.

        Args:
            names: of the columns: of xmin, xmax, ymin and ymax.
        """
        if not all(name in self.columns for name in names):
            for name in names:
                self.columns.pop(name, None)
            return
        corners = [self.numbers(name) for name in names]
        ok = _are_ordered(*corners[:2]) & _are_ordered(*corners[2:])
        if not ok.all():
            unknown = np.isnan(corners).all(axis=0)
            for name in names:
                unknown &= ~self.unread.pop(name, np.zeros(self.length, bool))
                self.columns[name] = pc.if_else(pa.array(ok), self.columns[name], None)
            self.note_lost(~ok & ~unknown, f"{', '.join(names)} are no box in [0, 1]")

    def require_text(self, *names: str) -> None:
        """Rejects rows where one of the columns is empty."""
        for name in names:
            lengths = pc.binary_length(self.columns[name]).to_numpy(zero_copy_only=False)
            self.require(lengths > 0, f"{name} is empty")

    def require_box(self, xmin: str, xmax: str, ymin: str, ymax: str) -> None:
        """Rejects boxes outside [0, 1], reversed, missing or NaN."""
        for low, high in ((xmin, xmax), (ymin, ymax)):
            ok = _are_ordered(self.numbers(low), self.numbers(high))
            self.require(ok, f"box needs 0 <= {low} <= {high} <= 1")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TableSchema:
    """The columns of a table, and how its rows become structs.

    Attributes:
        required: columns that a file must have, with their types; the ImageID apart. A bad value
            rejects the row.
        optional: columns that some files lack. A bad value becomes null.
        row: the type of the struct that a row becomes. A field has the values of the column of the
            same name, case and underscores apart (`box_id` those of `BoxID`), else see `renamed`.
        check: rejects bad rows, and makes bad values of optional columns null. It may replace
            columns in `Rows.columns`, and add those of other fields.
        renamed: columns with the names of their fields, where these differ.
        aliases: other spellings of column names that occur in published files.
        free_texts: columns whose texts may hold a line break inside quotes, and keep spaces around
            them; other texts are trimmed.
        image_id: the column of ImageIDs.
        kept: what failures say is kept although a field is lost.
    """

    required: Mapping[str, pa.DataType]
    optional: Mapping[str, pa.DataType]
    row: pa.StructType
    check: Callable[[Rows], None]
    renamed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)
    free_texts: tuple[str, ...] = ()
    image_id: str = "ImageID"
    kept: str = "row"

    @functools.cached_property
    def types(self) -> dict[str, pa.DataType]:
        """The columns with their types, the ImageID first."""
        return {self.image_id: STRING, **self.required, **self.optional}

    @functools.cached_property
    def fields(self) -> dict[str, str]:
        """The columns with the names of their fields; with its own name where it is no field."""
        folded = {fold(field.name): field.name for field in self.row}
        return {**{name: folded.get(fold(name), name) for name in self.types}, **self.renamed}

    def make_block(
        self, rows: Rows, refused: pa.Table, locate: Callable[[], np.ndarray], lines: int
    ) -> ParsedBlock:
        """Checks rows and makes values of them.

        Args:
            rows: of a block.
            refused: failures of records that are no rows.
            locate: gives the line of each row, (n,).
            lines: how many the block has.
        """
        rows.require(rows.is_valid, f"{self.image_id} is not 16 hex digits")
        for name in [name for name in rows.unread if name not in self.optional]:
            rows.require(~rows.unread.pop(name), self.describe_unread(name))
        table = pa.table({"key": rows.keys, "value": self._build(rows)})
        for name, where in rows.unread.items():
            rows.note_lost(where, self.describe_unread(name))
        if rows.rejected.any():
            table = table.filter(pa.array(~rows.rejected))
        found = refused
        if rows.notes:
            image_ids = pc.if_else(pa.array(rows.is_valid), rows.image_ids, None)
            noted = failures.of_rows(rows.notes, locate(), image_ids)
            found = failures.in_order(pa.concat_tables([refused, noted]))
        count = len(refused) - rows.passed_over
        bad_rows = int(rows.rejected.sum()) + count
        return ParsedBlock(table, found, rows.length + count, bad_rows, lines)

    def _build(self, rows: Rows) -> pa.StructArray:
        """Checks rows and returns their structs, (n,), of rejected ones too."""
        self.check(rows)
        for name in [name for name in rows.columns if self.types.get(name) == FLAG]:
            values = rows.columns[name].fill_null(0).to_numpy(zero_copy_only=False)
            rows.forget(name, (values >= -1) & (values <= 1), self.describe_unread(name))
        columns = {self.fields.get(name, name): column for name, column in rows.columns.items()}
        return struct_array(self.row, columns, rows.length)

    def describe_unread(self, name: str) -> str:
        """Returns the message for a value of a column that couldn't be converted."""
        dtype = self.types[name]
        if dtype == FLAG:
            return f"{name} is not -1, 0 or 1"
        return f"{name} is not {'UTF-8' if pa.types.is_string(dtype) else 'a number of its type'}"

    def columns_of(self, names: Sequence[str]) -> tuple[str, ...]:
        """Returns a file's columns by the table's names; '' for one that the table lacks.

        Case, and characters that are no letters or digits, are ignored, unless another column of
        the file has exactly the table's name.
        """
        exact = {**{name: name for name in self.types}, **self.aliases}
        folded = {fold(name): column for name, column in exact.items()}
        columns = [exact.get(name.strip(), "") for name in names]
        alike = [folded.get(fold(name), "") for name in names]
        return tuple(
            column or ("" if other in columns else other)
            for column, other in zip(columns, alike, strict=True)
        )


def _are_ordered(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Returns whether 0 <= first <= second <= 1 for each pair of coordinates; (n,) bool."""
    return (low >= 0) & (low <= high) & (high <= 1)


def fold(name: str) -> str:
    """Returns a column's name in lower case, without characters other than letters and digits."""
    return re.sub(r"[^0-9a-z]", "", name.lower())


def struct_array(
    dtype: pa.StructType, columns: Mapping[str, pa.Array], length: int
) -> pa.StructArray:
    """Returns a struct array of type `dtype`; a field that `columns` lacks is null."""
    absent = pa.nulls(length)
    arrays = [columns.get(field.name, absent).cast(field.type) for field in dtype]
    return pa.StructArray.from_arrays(arrays, fields=list(dtype))


def empty_as_null(column: pa.Array) -> pa.Array:
    """Returns a string column with '' as null; no text is copied."""
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
