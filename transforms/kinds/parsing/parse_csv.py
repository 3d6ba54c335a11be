"""A block of CSV text to typed, checked rows: `pyarrow.csv` with explicit types, and what it can't
say.

The fast path converts a block at once. Where something in it isn't plain, its records are told
apart first, those that can't be rows are left out, and the others are read as text and converted
column by column, so that only the values at fault are lost. What becomes of a row is the same
either way: `tests.fuzz.table_targets` compares them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from transforms.dataset import failures
from transforms.dataset.elements import in_one_piece
from transforms.dataset.failures import BadRows, Reason
from transforms.dataset.keys import read_image_ids
from transforms.kinds.parsing.blocks import count_lines
from transforms.kinds.parsing.head import BOM
from transforms.kinds.parsing.parsed import ParsedBlock, in_one_block
from transforms.kinds.parsing.records import (
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
from transforms.kinds.parsing.table import FLAG, Rows, TableSchema, empty_as_null, trimmed

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


class _NotPlainError(Exception):
    """A block holds something for which its records must be told apart."""


def layout_of(columns: Sequence[str], schema: TableSchema, delimiter: str) -> Layout:
    """What the records of a file with these columns look like."""
    names = schema.columns_of(columns)
    place = names.index(schema.image_id)
    return Layout(len(names), place, delimiter, schema.free_text)


def parse_csv(
    data: bytes,
    columns: Sequence[str],
    schema: TableSchema,
    delimiter: str = ",",
    *,
    part_bytes: int = _PART_BYTES,
    most_records: int = _MOST_RECORDS,
) -> ParsedBlock:
    """Parses whole records of CSV without their header.

    Args:
        data: the text, UTF-8.
        columns: the file's column names, in its order; those that `schema` doesn't know are
            passed over.
        schema: what they mean.
        delimiter: the character between two fields.
        part_bytes: how much text `pyarrow.csv` is given at a time.
        most_records: how many records are told apart at a time.
    """
    return _CsvParser(columns, schema, delimiter, part_bytes, most_records).parse(data)


class _CsvParser:
    """Parses tables with the same columns; for the arguments see `parse_csv`."""

    def __init__(
        self,
        columns: Sequence[str],
        schema: TableSchema,
        delimiter: str,
        part_bytes: int,
        most_records: int,
    ) -> None:
        self._names = schema.columns_of(columns)
        self._schema = schema
        self._layout = layout_of(columns, schema, delimiter)
        self._part_bytes = part_bytes
        self._most_records = most_records

    def parse(self, data: bytes) -> ParsedBlock:
        """Parses whole records."""
        quoted = find_quoted_lines(data, self._layout)
        try:
            if quoted.unclosed or not _is_plain(data):
                raise _NotPlainError
            table = self._read_typed(data, quoted.continued)
        except (pa.ArrowInvalid, _NotPlainError):
            return self._parse_records(data, quoted)
        return self._check(data, table, {}, lambda: locate_records(data, quoted.continued))

    def _parse_records(self, data: bytes, quoted: QuotedLines) -> ParsedBlock:
        """Parses a block record by record and column by column."""
        records = locate_records(data, quoted.continued)
        parts = []
        for at in range(0, max(1, len(records.starts)), self._most_records):
            some = Records(*(column[at : at + self._most_records] for column in records))
            parts.append(self._parse_some(data, some, quoted))
        return in_one_block(parts, count_lines(data))

    def _parse_some(self, data: bytes, records: Records, quoted: QuotedLines) -> ParsedBlock:
        refused, is_blank = _refuse(data, records, quoted, self._layout)
        is_row = ~is_blank
        for some in refused:
            is_row[some.places] = False
        rows = records.chosen(is_row)
        bad = failures.of_rows(refused, records.lines)
        # Each with an end of its own, as the last one of a file may have none.
        text = b"".join(
            data[start:stop] + b"\n" for start, stop in zip(rows.starts, rows.stops, strict=True)
        )
        continued = _continued_lines(data, rows) if quoted.continued else []
        table = self._read(text, continued, dict.fromkeys(filter(None, self._names), pa.binary()))
        table, unconverted = self._convert(table)
        return self._check(text, table, unconverted, lambda: rows, bad)

    def _read_typed(self, data: bytes, continued: Sequence[int]) -> pa.Table:
        """Reads a block whose every value converts.

        Raises:
            pa.ArrowInvalid: A record or a value isn't as it should be.
            _NotPlainError: `pyarrow` has taken a text for a number that may be none.
        """
        types = {}
        for name in filter(None, self._names):
            dtype = self._schema.types[name]
            # Of whole numbers it takes `0x10` for one, too: so they are converted here.
            types[name] = pa.string() if pa.types.is_integer(dtype) else dtype
        table = self._read(data, continued, types)
        has_parentheses = b"(" in data
        for place, name in enumerate(table.column_names):
            dtype, column = self._schema.types[name], in_one_piece(table[name])
            if pa.types.is_integer(dtype):
                table = table.set_column(place, name, _plain_integers(column, dtype))
            elif has_parentheses and pa.types.is_floating(dtype) and _has_nan(column):
                raise _NotPlainError  # of which one may be `nan(1)`
        return table

    def _read(
        self, data: bytes, continued: Sequence[int], types: Mapping[str, pa.DataType]
    ) -> pa.Table:
        """Reads columns of some types.

        Raises:
            pa.ArrowInvalid: A record or a value isn't as it should be.
        """
        if not data.lstrip(b"\r\n"):  # which, unlike strip, copies no data
            return pa.table({name: pa.array([], dtype) for name, dtype in types.items()})
        parts: list[memoryview | bytes] = list(_parts(data, continued, self._part_bytes))
        if data.startswith(BOM):  # `pyarrow` passes over one, wherever in its file the block is
            parts[0] = BOM + bytes(parts[0])
        return csv.read_csv(
            _PartsFile(parts),
            read_options=csv.ReadOptions(
                column_names=[name or f"unknown {i}" for i, name in enumerate(self._names)],
                use_threads=False,
                block_size=max(1024, *map(len, parts)),
            ),
            parse_options=csv.ParseOptions(
                delimiter=self._layout.delimiter,
                quote_char='"' if b'"' in data else False,
                newlines_in_values=self._schema.free_text,
            ),
            convert_options=csv.ConvertOptions(
                column_types=types,
                include_columns=list(types),
                null_values=[""],
                strings_can_be_null=False,
                check_utf8=False,
            ),
        ).combine_chunks()

    def _convert(self, text: pa.Table) -> tuple[pa.Table, dict[str, np.ndarray]]:
        """Converts columns of text one by one.

        Returns:
            The table, with null where a value doesn't convert, and for each column that has such
            values where they are, (n,) bool.
        """
        columns, unconverted = {}, {}
        for name in text.column_names:
            dtype = self._schema.types[name]
            column = in_one_piece(text[name])
            if pa.types.is_string(dtype):
                ok = _valid_utf8(column)
                lost = pa.scalar(None if name in self._schema.optional else b"", pa.binary())
                converted = pc.if_else(pa.array(ok), column, lost).cast(dtype)
            else:
                utf8 = pc.if_else(pa.array(_valid_utf8(column)), column, b"?").cast(pa.string())
                converted = _numbers(utf8, dtype)
                unknown = pc.match_substring_regex(utf8, _UNKNOWN)
                ok = np.asarray(pc.or_(converted.is_valid(), unknown))
            columns[name] = converted
            if not ok.all():
                unconverted[name] = ~ok
        return pa.table(columns), unconverted

    def _check(
        self,
        text: bytes,
        table: pa.Table,
        unconverted: dict[str, np.ndarray],
        locate: Callable[[], Records],
        refused: pa.Table = failures.NONE,
    ) -> ParsedBlock:
        """Checks converted rows and builds their values.

        Args:
            text: what they were read from.
            table: the rows.
            unconverted: of a column, where its values, now null, don't convert.
            locate: gives the records that are the rows.
            refused: failures of records that are no rows.
        """
        columns = {name: in_one_piece(table[name]) for name in table.column_names}
        if b" " in text or b"\t" in text:
            for name, column in columns.items():
                if pa.types.is_string(column.type) and name not in self._schema.free_texts:
                    columns[name] = trimmed(column)
        ids, keys, valid = read_image_ids(columns[self._schema.image_id])
        lost = {name: where for name, where in unconverted.items() if name in self._schema.optional}
        rows = Rows(columns, table.num_rows, lost, self._schema.kept)
        is_blank = np.zeros(table.num_rows, bool)
        is_header = np.zeros(table.num_rows, bool)
        if not valid.all():
            is_blank = self._blank_rows(columns)
            for where in unconverted.values():
                is_blank &= ~where
            is_header = self._header_rows(columns)
        no_rows = is_blank | is_header
        rows.rejected |= no_rows
        rows.require(valid, f"{self._schema.image_id} is not 16 hex digits")
        for name, where in unconverted.items():
            if name not in lost:
                rows.require(~where, self._unread(name))
        value = self._schema.build(rows)
        for name, where in rows.unread.items():
            rows.note_lost(where, self._unread(name))

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

    def _blank_rows(self, columns: Mapping[str, pa.Array]) -> np.ndarray:
        """Finds the rows of empty fields that spreadsheets leave, (n,) bool."""
        blank = np.asarray(pc.equal(columns[self._schema.image_id], ""))
        for column in columns.values() if blank.any() else ():
            is_text = pa.types.is_string(column.type)
            empty = pc.equal(column, "") if is_text else column.is_null()
            blank = blank & np.asarray(pc.fill_null(empty, True))
        return blank

    def _header_rows(self, columns: Mapping[str, pa.Array]) -> np.ndarray:
        """Finds the rows that are a header, maybe with its file's byte order mark, (n,) bool."""
        first = pc.utf8_trim(columns[self._schema.image_id], '\ufeff"')
        return np.asarray(pc.equal(pc.utf8_lower(first), self._schema.image_id.casefold()))

    def _unread(self, name: str) -> str:
        """The message for a value that couldn't be converted."""
        dtype = self._schema.types[name]
        if dtype == FLAG:
            return f"{name} is not -1, 0 or 1"
        return f"{name} is not {'UTF-8' if pa.types.is_string(dtype) else 'a number of its type'}"


def _is_plain(data: bytes) -> bool:
    """Whether text is UTF-8, without carriage returns or long lines that `pyarrow` would accept."""
    if longest_line_exceeds(data, MAX_RECORD_BYTES) or not _is_utf8(data):
        return False
    return not len(stray_returns(data))


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


def _parts(data: bytes, continued: Sequence[int], part_bytes: int) -> Iterator[memoryview]:
    """Consecutive records of about `part_bytes`, or a single longer one.

    Args:
        data: whole records.
        continued: lines, from 0, that belong to the record of the line before.
        part_bytes: see `parse_csv`.
    """
    inner = set(continued)
    start = line = 0
    while start < len(data):
        stop = min(start + part_bytes, len(data))
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
