"""A block of CSV text to typed, checked rows: `pyarrow.csv` with explicit types, and what it can't
say.

The fast path converts a block at once. Where a value doesn't convert, the block is parsed again as
text and converted column by column, so that only the values at fault are lost.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from transforms import failures
from transforms.elements import in_one_piece
from transforms.failures import Failure, Reason, Stage
from transforms.formats.blocks import QuotedLines, count_lines, find_quoted_lines
from transforms.formats.tables import FLAG, Rows, TableFormat, trimmed
from transforms.keys import read_image_ids

_FLOAT = (
    r"^\s*([-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?([nN][aA][nN]|[iI][nN][fF]))\s*$"
)
_INTEGER = r"^\s*([-+]?[0-9]{1,18})(\.0*)?\s*$"
_BOOLEAN = r"^\s*(?i:true|false)\s*$"
#: Texts that stand for an unknown number.
_UNKNOWN = r"^\s*(?i:nan|none|null|na|n/a|<na>)?\s*$"

#: Text that `pyarrow.csv` is given at a time. It reserves as much for each column of texts, and
#: gives back what it didn't need: holes in the heap, which the rows of the next chunk don't fit.
_PART_BYTES = 2 << 20


class ParsedBlock:
    """Rows of a block that are sound, and failures for the others.

    Attributes:
        table: columns `key` (uint64) and `value` (the format's struct), in the block's order.
        failures: table of `failures.SCHEMA`; `line` counts from the block's first line, as 1.
        rows: how many records the block holds, sound or not.
        bad_rows: how many were left out.
        lines: how many lines it holds.
        warning: why the file may be cut, as in `SourceCount`; or empty.
    """

    def __init__(
        self, table: pa.Table, found: Sequence[Failure], rows: int, bad_rows: int, lines: int
    ) -> None:
        self.table = table
        self.failures = failures.to_table(found)
        self.rows = rows
        self.bad_rows = bad_rows
        self.lines = lines
        self.warning = ""

    def with_cut_record(self, failure: Failure, warning: str) -> "ParsedBlock":
        """Returns the block with a bad record added at its end, the one that is cut."""
        found = failures.to_table([failure._replace(line=self.lines + 1)])
        block = ParsedBlock(self.table, [], self.rows + 1, self.bad_rows + 1, self.lines)
        block.failures = pa.concat_tables([self.failures, found])
        block.warning = warning
        return block


class _Dialect(NamedTuple):
    """The character between two fields, and whether some fields are quoted."""

    delimiter: str
    has_quotes: bool


def parse_csv(
    data: bytes, columns: Sequence[str], table_format: TableFormat, delimiter: str = ","
) -> ParsedBlock:
    """Parses whole records of CSV without their header.

    Args:
        data: the text, UTF-8.
        columns: the file's column names, in its order; those that `table_format` doesn't know are
            passed over.
        table_format: what they mean.
        delimiter: the character between two fields.
    """
    names = table_format.columns_of(columns)
    dialect = _Dialect(delimiter, b'"' in data)
    quoted = QuotedLines([], [])
    if dialect.has_quotes:
        quoted = find_quoted_lines(data, len(names), table_format.free_text, delimiter)
    if quoted.unclosed:
        lines = data.split(b"\n")
        for line in quoted.unclosed:
            lines[line] = b""
        data = b"\n".join(lines)
    malformed: list[csv.InvalidRow] = []
    is_utf8 = _is_utf8(data)
    try:
        if not is_utf8:
            raise pa.ArrowInvalid("not UTF-8")
        parts = list(_parts(data, quoted.continued))
        table = _read(data, parts, names, table_format, malformed, dialect, as_text=False)
        unconverted = {}
    except pa.ArrowInvalid:
        malformed.clear()
        # `pyarrow` decodes a row with too many fields for its error, and fails if it isn't UTF-8.
        text = data if is_utf8 else data.decode("latin-1").encode()
        parts = list(_parts(text, quoted.continued))
        table = _read(text, parts, names, table_format, malformed, dialect, as_text=True)
        table, unconverted = _convert(table if is_utf8 else _as_written(table), table_format)
    return _check(data, table, malformed, unconverted, quoted, table_format)


def _parts(data: bytes, continued: Sequence[int]) -> Iterator[memoryview]:
    """Consecutive records of about `_PART_BYTES`, or a single longer one.

    Args:
        data: whole records.
        continued: lines, from 0, that belong to the record of the line before.
    """
    inner = set(continued)
    start = line = 0
    while start < len(data):
        stop = min(start + _PART_BYTES, len(data))
        if stop < len(data):
            stop = data.rfind(b"\n", start, stop) + 1 or stop
        line += data.count(b"\n", start, stop) if inner else 0
        while stop < len(data) and (line in inner or not data.endswith(b"\n", start, stop)):
            stop = data.find(b"\n", stop) + 1 or len(data)
            line += 1
        yield memoryview(data)[start:stop]
        start = stop


class _PartsFile:
    """Parts of a text as a file that `pyarrow` reads one by one.

    By itself it would cut anywhere, and lose half of a `\\r\\n` within quotes.
    """

    closed = False

    def __init__(self, parts: Iterable[memoryview]) -> None:
        self._parts = iter(parts)

    def read(self, _: int) -> memoryview | bytes:
        return next(self._parts, b"")


def _read(
    data: bytes,
    parts: Sequence[memoryview],
    names: Sequence[str],
    table_format: TableFormat,
    malformed: list[csv.InvalidRow],
    dialect: _Dialect,
    as_text: bool,
) -> pa.Table:
    wanted = [name for name in names if name]
    types = {name: pa.binary() if as_text else table_format.types[name] for name in wanted}

    def skip(row: csv.InvalidRow) -> str:
        malformed.append(row)
        return "skip"

    if not data.lstrip(b"\r\n"):  # which, unlike strip, copies no data
        return pa.table({name: pa.array([], dtype) for name, dtype in types.items()})
    return csv.read_csv(
        _PartsFile(parts),
        read_options=csv.ReadOptions(
            column_names=[name or f"unknown {i}" for i, name in enumerate(names)],
            use_threads=False,
            block_size=max(1024, *map(len, parts)),
        ),
        parse_options=csv.ParseOptions(
            delimiter=dialect.delimiter,
            quote_char='"' if dialect.has_quotes else False,
            newlines_in_values=table_format.free_text,
            invalid_row_handler=skip,
        ),
        convert_options=csv.ConvertOptions(
            column_types=types,
            include_columns=wanted,
            null_values=[""],
            strings_can_be_null=False,
            check_utf8=False,
        ),
    ).combine_chunks()


def _is_utf8(data: bytes) -> bool:
    """Whether all of it is UTF-8: then so is each value, and none need be looked at by itself."""
    offsets = pa.py_buffer(np.array([0, len(data)], np.int32))
    whole = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(data)])
    try:
        whole.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _as_written(table: pa.Table) -> pa.Table:
    """Returns texts that were decoded as Latin-1 as the bytes of the file."""

    def written(column: pa.BinaryArray) -> pa.BinaryArray:
        where = _not_ascii(column)
        values = column.filter(where).to_pylist()
        bytes_ = pa.array([value.decode().encode("latin-1") for value in values], pa.binary())
        return pc.replace_with_mask(column, where, bytes_)

    columns = [written(in_one_piece(column)) for column in table.columns]
    return pa.table(columns, table.column_names)


def _not_ascii(column: pa.BinaryArray) -> pa.BooleanArray:
    """Which values have a byte above 127."""
    return pc.match_substring_regex(column, rb"[\x80-\xff]".decode("latin-1"))


def _convert(text: pa.Table, table_format: TableFormat) -> tuple[pa.Table, dict[str, np.ndarray]]:
    """Converts columns of text one by one.

    Returns:
        The table, with null where a value doesn't convert, and for each column that has such values
        where they are, (n,) bool.
    """
    columns, unconverted = {}, {}
    for name in text.column_names:
        dtype = table_format.types[name]
        column = in_one_piece(text[name])
        if pa.types.is_string(dtype):
            ok = _valid_utf8(column)
            lost = b"" if name in table_format.required else None
            converted = pc.if_else(pa.array(ok), column, pa.scalar(lost, pa.binary())).cast(dtype)
        else:
            utf8 = pc.if_else(pa.array(_valid_utf8(column)), column, b"?").cast(pa.string())
            converted = _numbers(utf8, dtype)
            unknown = pc.match_substring_regex(utf8, _UNKNOWN)
            ok = np.asarray(pc.or_(converted.is_valid(), unknown))
        columns[name] = converted
        if not ok.all():
            unconverted[name] = ~ok
    return pa.table(columns), unconverted


def _numbers(text: pa.StringArray, dtype: pa.DataType) -> pa.Array:
    """Converts texts to numbers or flags; null where a text isn't one."""
    if dtype == FLAG:
        boolean = pc.match_substring_regex(text, _BOOLEAN)
        digit = pc.if_else(pc.match_substring_regex(text, "[tT]"), "1", "0")
        text = pc.if_else(boolean, digit, text)
    is_float = pa.types.is_floating(dtype)
    matches = pc.match_substring_regex(text, _FLOAT if is_float else _INTEGER)
    digits = pc.utf8_trim_whitespace(pc.if_else(matches, text, pa.scalar(None, pa.string())))
    if is_float:
        return pc.replace_substring_regex(digits, r"^\+", "").cast(dtype)
    wide = pc.replace_substring_regex(digits, r"(^\+|\.0*$)", "").cast(pa.int64())
    limit = np.iinfo(str(dtype))  # `to_pandas_dtype` needs pandas
    fits = pc.and_(pc.less_equal(limit.min, wide), pc.less_equal(wide, limit.max))
    return pc.if_else(fits, wide, pa.scalar(None, pa.int64())).cast(dtype)


def _valid_utf8(column: pa.BinaryArray) -> np.ndarray:
    """Which values are UTF-8, (n,) bool. Python looks only at those that aren't ASCII."""
    suspects = np.flatnonzero(_not_ascii(column).to_numpy(False))
    valid = np.ones(len(column), bool)
    for i in suspects:
        try:
            column[int(i)].as_py().decode()
        except UnicodeDecodeError:
            valid[i] = False
    return valid


def _check(
    data: bytes,
    table: pa.Table,
    malformed: list[csv.InvalidRow],
    unconverted: dict[str, np.ndarray],
    quoted: QuotedLines,
    table_format: TableFormat,
) -> ParsedBlock:
    """Checks converted rows and builds their values; says of each failure on which line it is."""
    columns = {name: in_one_piece(table[name]) for name in table.column_names}
    if b" " in data:
        for name, column in columns.items():
            if pa.types.is_string(column.type) and name not in table_format.free_texts:
                columns[name] = trimmed(column)
    ids, keys, valid = read_image_ids(columns[table_format.image_id])
    lost = {name: where for name, where in unconverted.items() if name in table_format.optional}
    kept = "image" if table_format.column == "image" else "row"
    rows = Rows(columns, table.num_rows, lost, kept)
    is_blank = np.zeros(table.num_rows, bool)
    is_header = np.zeros(table.num_rows, bool)
    if not valid.all():
        is_blank = _blank_rows(columns, table_format)
        is_header = _header_rows(columns, table_format)
    no_rows = is_blank | is_header
    rows.rejected |= no_rows
    rows.require(valid, f"{table_format.image_id} is not 16 hex digits")
    for name, where in unconverted.items():
        if name not in lost:
            rows.require(~where, _unread(name, table_format))
    value = table_format.build(rows)
    for name, where in rows.unread.items():
        rows.note_lost(where, _unread(name, table_format))

    parsed = pa.table({"key": keys, "value": value})
    if rows.rejected.any():
        parsed = parsed.filter(pa.array(~rows.rejected))
    found = [
        _bad_record("a quote that nothing closes", line + 1) for line in sorted(quoted.unclosed)
    ]
    if malformed or rows.notes:
        lines = _RecordLines(data, [row.number for row in malformed], quoted.continued)
        found += [
            Failure(
                image_id=ids[i].as_py() if valid[i] else None,
                split=None,
                stage=Stage.READ,
                reason=reason,
                detail=detail,
                line=lines.of_row(i),
            )
            for i, reason, detail in sorted(rows.notes)
        ]
        found += [
            _bad_record(
                f"{row.actual_columns} fields instead of {row.expected_columns}",
                lines.of_record(row.number - 1),
            )
            for row in malformed
        ]
        found.sort(key=lambda failure: failure.line or 0)
    left_out = len(malformed) + len(quoted.unclosed)
    passed_over = int(no_rows.sum())
    bad_rows = int(rows.rejected.sum()) - passed_over + left_out
    all_rows = table.num_rows - passed_over + left_out
    block = ParsedBlock(parsed, found, all_rows, bad_rows, count_lines(data))
    if is_header.any():
        block.warning = "holds its header more than once, as files put together do: passed over"
    return block


def _blank_rows(columns: Mapping[str, pa.Array], table_format: TableFormat) -> np.ndarray:
    """Finds the rows of empty fields that spreadsheets leave, (n,) bool."""
    blank = np.asarray(pc.equal(columns[table_format.image_id], ""))
    for column in columns.values() if blank.any() else ():
        is_text = pa.types.is_string(column.type)
        empty = pc.equal(column, "") if is_text else column.is_null()
        blank = blank & np.asarray(pc.fill_null(empty, True))
    return blank


def _header_rows(columns: Mapping[str, pa.Array], table_format: TableFormat) -> np.ndarray:
    """Finds the rows that are a header, (n,) bool."""
    header = table_format.image_id.casefold()
    return np.asarray(pc.equal(pc.utf8_lower(columns[table_format.image_id]), header))


def _unread(name: str, table_format: TableFormat) -> str:
    """The message for a value that couldn't be converted."""
    dtype = table_format.types[name]
    if dtype == FLAG:
        return f"{name} is not -1, 0 or 1"
    return f"{name} is not {'UTF-8' if pa.types.is_string(dtype) else 'a number of its type'}"


def _bad_record(detail: str, line: int) -> Failure:
    return Failure(None, None, Stage.READ, Reason.BAD_ROW, detail, line=line)


class _RecordLines:
    """Line numbers, from 1, of the records of a block."""

    def __init__(self, data: bytes, malformed: list[int], continued: list[int]) -> None:
        text = np.frombuffer(data, np.uint8)
        newlines = np.flatnonzero(text == 10)
        starts = np.delete(np.concatenate([[0], newlines + 1]), continued)
        starts = starts[starts < len(data)]
        blank = (text[starts] == 10) | (
            (text[starts] == 13) & (text[np.minimum(starts + 1, len(data) - 1)] == 10)
        )
        self._lines = np.searchsorted(newlines, starts[~blank]) + 1
        self._records = np.setdiff1d(np.arange(len(self._lines)), np.array(malformed, int) - 1)

    def of_record(self, record: int) -> int:
        return int(self._lines[min(record, len(self._lines) - 1)])

    def of_row(self, row: int) -> int:
        """Of the row-th record that has the right number of fields."""
        return self.of_record(int(self._records[row]) if row < len(self._records) else row)
