"""A block of CSV text to typed, checked rows: `pyarrow.csv` with explicit types, and what it can't
say.

The fast path converts a block at once. Where something in it isn't plain, its records are told
apart first, those that can't be rows are left out, and the others are read as text and converted
column by column, so that only the values at fault are lost. What becomes of a row is the same
either way: `tests.fuzz.table_targets` compares them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from transforms.dataset import failures
from transforms.dataset.elements import in_one_piece
from transforms.dataset.failures import BadRows, Failure, Reason
from transforms.dataset.keys import read_image_ids
from transforms.kinds.blocks import count_lines
from transforms.kinds.head import BOM
from transforms.kinds.records import (
    MAX_RECORD_BYTES,
    Layout,
    QuotedLines,
    Records,
    consist_of,
    find_quoted_lines,
    locate_records,
    longest_line_exceeds,
    stray_returns,
)
from transforms.kinds.tables import FLAG, Rows, TableFormat, empty_as_null, trimmed

_FLOAT = (
    r"^[ \t]*([-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?"
    r"|[-+]?(?i:nan|inf|infinity))[ \t]*$"
)
#: A whole number without sign and leading zeros; 19 digits fit 64 bits without a sign.
_INTEGER = r"^[ \t]*(?P<sign>[-+]?)0*(?P<digits>[0-9]{1,19})(?:\.0*)?[ \t]*$"
_BOOLEAN = r"^[ \t]*(?i:true|false)[ \t]*$"
#: Texts that stand for an unknown number.
_UNKNOWN = r"^[ \t]*(?i:nan|none|null|na|n/a|<na>)?[ \t]*$"

#: Text that `pyarrow.csv` is given at a time. It reserves as much for each column of texts, and
#: gives back what it didn't need: holes in the heap, which the rows of the next chunk don't fit.
_PART_BYTES = 2 << 20
#: Records that are told apart at a time; only in text that isn't a table there are more in a block.
_MOST_RECORDS = 1 << 18


class ParsedBlock:
    """Rows of a block that are sound, and failures for the others.

    Attributes:
        table: columns `key` (uint64) and `value` (the format's struct), in the block's order.
        failures: table of `failures.COMPACT`, sorted; `line` counts from the block's first line,
            as 1.
        rows: how many records the block holds, sound or not.
        bad_rows: how many were left out.
        lines: how many lines it holds.
        warning: why the file may be cut, as in `SourceCount`; or empty.
    """

    def __init__(
        self, table: pa.Table, found: pa.Table, rows: int, bad_rows: int, lines: int
    ) -> None:
        self.table = table
        self.failures = found
        self.rows = rows
        self.bad_rows = bad_rows
        self.lines = lines
        self.warning = ""

    def with_cut_record(self, failure: Failure, warning: str) -> "ParsedBlock":
        """Returns the block with a bad record added at its end, the one that is cut."""
        cut = failures.compact(failures.to_table([failure._replace(line=self.lines + 1)]))
        found = failures.compact(pa.concat_tables([self.failures, cut]))
        block = ParsedBlock(self.table, found, self.rows + 1, self.bad_rows + 1, self.lines)
        block.warning = warning
        return block


def in_one_block(blocks: Sequence[ParsedBlock], lines: int) -> ParsedBlock:
    """Returns blocks that were parsed one after another, with lines counted alike, as one.

    Args:
        blocks: at least one.
        lines: how many the whole has.
    """
    rows, bad_rows = sum(b.rows for b in blocks), sum(b.bad_rows for b in blocks)
    table = pa.concat_tables([block.table for block in blocks]).combine_chunks()
    found = failures.compact(pa.concat_tables([block.failures for block in blocks]))
    whole = ParsedBlock(table, found, rows, bad_rows, lines)
    whole.warning = next((block.warning for block in blocks if block.warning), "")
    return whole


class _Dialect(NamedTuple):
    """The character between two fields, and whether some fields are quoted."""

    delimiter: str
    has_quotes: bool


class _NotPlainError(Exception):
    """A block holds something for which its records must be told apart."""


def layout_of(columns: Sequence[str], table_format: TableFormat, delimiter: str) -> Layout:
    """What the records of a file with these columns look like."""
    names = table_format.columns_of(columns)
    place = names.index(table_format.image_id)
    return Layout(len(names), place, delimiter, table_format.free_text)


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
    layout = layout_of(columns, table_format, delimiter)
    dialect = _Dialect(delimiter, b'"' in data)
    quoted = find_quoted_lines(data, layout) if dialect.has_quotes else QuotedLines([], [])
    try:
        if quoted.unclosed or not _is_plain(data):
            raise _NotPlainError
        table = _read_typed(data, quoted.continued, names, table_format, dialect)
    except (pa.ArrowInvalid, _NotPlainError):
        return _parse_records(data, quoted, layout, names, table_format)
    return _check(data, table, {}, lambda: locate_records(data, quoted.continued), table_format)


def _is_plain(data: bytes) -> bool:
    """Whether text is UTF-8, without carriage returns or long lines that `pyarrow` would accept."""
    if longest_line_exceeds(data, MAX_RECORD_BYTES) or not _is_utf8(data):
        return False
    return not len(stray_returns(data))


def _parse_records(
    data: bytes,
    quoted: QuotedLines,
    layout: Layout,
    names: Sequence[str],
    table_format: TableFormat,
) -> ParsedBlock:
    """Parses a block record by record and column by column."""
    records = locate_records(data, quoted.continued)
    parts = []
    for at in range(0, max(1, len(records.starts)), _MOST_RECORDS):
        some = Records(*(column[at : at + _MOST_RECORDS] for column in records))
        parts.append(_parse_some(data, some, quoted, layout, names, table_format))
    return in_one_block(parts, count_lines(data))


def _parse_some(
    data: bytes,
    records: Records,
    quoted: QuotedLines,
    layout: Layout,
    names: Sequence[str],
    table_format: TableFormat,
) -> ParsedBlock:
    refused, is_blank = _refuse(data, records, quoted, layout)
    is_row = ~is_blank
    for some in refused:
        is_row[some.places] = False
    rows = records.chosen(is_row)
    bad = failures.of_rows(refused, records.lines)
    # Each with an end of its own, as the last one of a file may have none.
    text = b"".join(
        data[start:stop] + b"\n" for start, stop in zip(rows.starts, rows.stops, strict=True)
    )
    dialect = _Dialect(layout.delimiter, b'"' in text)
    continued = _continued_lines(data, rows) if quoted.continued else []
    types = dict.fromkeys(filter(None, names), pa.binary())
    table = _read(text, continued, names, types, table_format, dialect)
    table, unconverted = _convert(table, table_format)
    return _check(text, table, unconverted, lambda: rows, table_format, bad)


def _refuse(
    data: bytes, records: Records, quoted: QuotedLines, layout: Layout
) -> tuple[list[BadRows], np.ndarray]:
    """Finds the records that can't be rows.

    Returns:
        Which, each once; and which records are blank, (n,) bool.
    """
    starts, stops, lines = records
    count = len(starts)
    text = np.frombuffer(data, np.uint8)
    begin, end = (int(starts[0]), int(stops[-1])) if count else (0, 0)

    def counted(places: np.ndarray) -> np.ndarray:
        """How many of some offsets are in each record, (n,)."""
        return np.searchsorted(places, stops) - np.searchsorted(places, starts)

    def places_of(byte: int) -> np.ndarray:
        return np.flatnonzero(text[begin:end] == byte) + begin

    fields = counted(places_of(ord(layout.delimiter))) + 1
    returns = counted(stray_returns(data)) > 0
    unclosed = np.isin(lines, np.asarray(quoted.unclosed, np.int64) + 1)
    for i in np.flatnonzero((counted(places_of(ord('"'))) > 0) & ~unclosed):
        record = layout.unquoted(data[starts[i] : stops[i]])
        fields[i] = record.count(layout.delimiter.encode()) + 1
        returns[i] = b"\r" in record.rstrip(b"\r")
    is_long = stops - starts > MAX_RECORD_BYTES
    blank = b" \t\r" + layout.delimiter.encode()
    is_blank = consist_of(data, records, blank) & (fields != layout.fields) & ~unclosed
    refused: list[BadRows] = []
    is_done = is_blank & ~is_long

    def refuse(which: np.ndarray, detail: str) -> None:
        places = np.flatnonzero(which & ~is_done)
        if len(places):
            is_done[places] = True
            refused.append(BadRows(places, Reason.BAD_ROW, detail))

    refuse(is_long, f"longer than {MAX_RECORD_BYTES >> 20} MiB")
    refuse(unclosed, "a quote that nothing closes")
    refuse(returns, "a carriage return within the line")
    for number in np.unique(fields[(fields != layout.fields) & ~is_done]):
        refuse(fields == number, f"{number} fields instead of {layout.fields}")
    return refused, is_blank


def _continued_lines(data: bytes, records: Records) -> list[int]:
    """The lines, from 0, that belong to the record of the line before, if nothing lies between
    records."""
    found, line = [], 0
    for start, stop in zip(records.starts, records.stops, strict=True):
        more = data.count(b"\n", start, stop)
        found += range(line + 1, line + 1 + more)
        line += 1 + more
    return found


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

    def __init__(self, parts: Iterable[memoryview | bytes]) -> None:
        self._parts = iter(parts)

    def read(self, _: int) -> memoryview | bytes:
        return next(self._parts, b"")


def _read_typed(
    data: bytes,
    continued: Sequence[int],
    names: Sequence[str],
    table_format: TableFormat,
    dialect: _Dialect,
) -> pa.Table:
    """Reads a block whose every value converts.

    Raises:
        pa.ArrowInvalid: A record or a value isn't as it should be.
        _NotPlainError: `pyarrow` has taken a text for a number that may be none.
    """
    types = {}
    for name in filter(None, names):
        dtype = table_format.types[name]
        # Of whole numbers it takes `0x10` for one, too: so they are converted here.
        types[name] = pa.string() if pa.types.is_integer(dtype) else dtype
    table = _read(data, continued, names, types, table_format, dialect)
    has_parentheses = b"(" in data
    for place, name in enumerate(table.column_names):
        dtype, column = table_format.types[name], in_one_piece(table[name])
        if pa.types.is_integer(dtype):
            table = table.set_column(place, name, _plain_integers(column, dtype))
        elif has_parentheses and pa.types.is_floating(dtype) and _has_nan(column):
            raise _NotPlainError  # of which one may be `nan(1)`
    return table


def _plain_integers(text: pa.StringArray, dtype: pa.DataType) -> pa.Array:
    """Converts a column of whole numbers.

    Raises:
        pa.ArrowInvalid: Some text isn't plainly one.
        _NotPlainError: As above, it may be hexadecimal.
    """
    if not len(text) or not (buffer := text.buffers()[2]):
        return pa.nulls(len(text), dtype)
    characters = np.frombuffer(buffer, np.uint8)
    offsets = np.frombuffer(text.buffers()[1], np.int32)[text.offset :][: len(text) + 1]
    # Flags and votes mostly are a digit each, with a sign or without.
    digits = characters.take(offsets[1:] - 1, mode="clip") - np.uint8(ord("0"))
    lengths = np.diff(offsets)
    is_negative = characters.take(offsets[:-1], mode="clip") == ord("-")
    if (lengths == 1 + is_negative).all() and digits.max() < 10:
        return pa.array(np.where(is_negative, -digits.astype(np.int8), digits)).cast(dtype)
    if ((characters | 0x20) == ord("x")).any():
        raise _NotPlainError
    return empty_as_null(text).cast(dtype)


def _has_nan(column: pa.FloatingPointArray) -> bool:
    total = pc.sum(column).as_py()
    return total is not None and total != total


def _read(
    data: bytes,
    continued: Sequence[int],
    names: Sequence[str],
    types: Mapping[str, pa.DataType],
    table_format: TableFormat,
    dialect: _Dialect,
) -> pa.Table:
    """Reads columns of some types.

    Raises:
        pa.ArrowInvalid: A record or a value isn't as it should be.
    """
    if not data.lstrip(b"\r\n"):  # which, unlike strip, copies no data
        return pa.table({name: pa.array([], dtype) for name, dtype in types.items()})
    parts: list[memoryview | bytes] = list(_parts(data, continued))
    if data.startswith(BOM):  # `pyarrow` passes over one, wherever in its file the block is
        parts[0] = BOM + bytes(parts[0])
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
        ),
        convert_options=csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
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
            lost = None if name in table_format.optional else b""
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
    if pa.types.is_floating(dtype):
        matches = pc.match_substring_regex(text, _FLOAT)
        numbers = pc.utf8_trim(pc.if_else(matches, text, pa.scalar(None, pa.string())), " \t")
        return pc.replace_substring_regex(numbers, r"^\+", "").cast(dtype)
    if dtype == FLAG:
        boolean = pc.match_substring_regex(text, _BOOLEAN)
        digit = pc.if_else(pc.match_substring_regex(text, "[tT]"), "1", "0")
        text = pc.if_else(boolean, digit, text)
    parsed = pc.extract_regex(text, _INTEGER)
    digits = pc.struct_field(parsed, "digits").cast(pa.uint64()).fill_null(0).to_numpy()
    is_negative = np.asarray(pc.fill_null(pc.equal(pc.struct_field(parsed, "sign"), "-"), False))
    largest = np.uint64(np.iinfo(str(dtype)).max)  # `to_pandas_dtype` needs pandas
    fits = np.asarray(parsed.is_valid()) & (digits <= largest + is_negative.astype(np.uint64))
    numbers = np.where(fits, digits, 0).astype(np.int64)  # of the least one this is right, too
    return pa.array(np.where(is_negative, -numbers, numbers), mask=~fits).cast(dtype)


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
    text: bytes,
    table: pa.Table,
    unconverted: dict[str, np.ndarray],
    locate: Callable[[], Records],
    table_format: TableFormat,
    refused: pa.Table = failures.NONE,
) -> ParsedBlock:
    """Checks converted rows and builds their values.

    Args:
        text: what they were read from.
        table: the rows.
        unconverted: of a column, where its values, now null, don't convert.
        locate: gives the records that are the rows.
        table_format: what the columns mean.
        refused: failures of records that are no rows.
    """
    columns = {name: in_one_piece(table[name]) for name in table.column_names}
    if b" " in text or b"\t" in text:
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
        for where in unconverted.values():
            is_blank &= ~where
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
    found = refused
    if rows.notes:
        known = ids if valid.all() else pc.if_else(pa.array(valid), ids, None)
        noted = failures.of_rows(rows.notes, locate().lines, known)
        found = failures.in_order(pa.concat_tables([refused, noted]))
    passed_over = int(no_rows.sum())
    bad_rows = int(rows.rejected.sum()) - passed_over + len(refused)
    all_rows = table.num_rows - passed_over + len(refused)
    block = ParsedBlock(parsed, found, all_rows, bad_rows, count_lines(text))
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
    """Finds the rows that are a header, maybe with the byte order mark of its file, (n,) bool."""
    first = pc.utf8_trim(columns[table_format.image_id], '\ufeff"')
    return np.asarray(pc.equal(pc.utf8_lower(first), table_format.image_id.casefold()))


def _unread(name: str, table_format: TableFormat) -> str:
    """The message for a value that couldn't be converted."""
    dtype = table_format.types[name]
    if dtype == FLAG:
        return f"{name} is not -1, 0 or 1"
    return f"{name} is not {'UTF-8' if pa.types.is_string(dtype) else 'a number of its type'}"
