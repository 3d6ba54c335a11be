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


class CsvParser:
    """Parses tables that have the same columns.

    Args:
        columns: the files' column names, in their order; those that `schema` doesn't know are
            passed over.
        schema: what they mean.
        delimiter: the character between two fields.

    Attributes:
        names: the columns by the schema's names.
        layout: what the records look like.
    """

    def __init__(self, columns: Sequence[str], schema: TableSchema, delimiter: str = ",") -> None:
        self._schema = schema
        self.names = schema.columns_of(columns)
        place = self.names.index(schema.image_id)
        self.layout = Layout(len(self.names), place, delimiter, bool(schema.free_texts))

    def parse(self, data: bytes) -> ParsedBlock:
        """Parses whole records of CSV, UTF-8, without their header."""
        quoted = find_quoted_lines(data, self.layout)
        try:
            _require_plain(data, quoted)
            table = self._read_typed(data, quoted.continued)
        except (pa.ArrowInvalid, _NotPlainError):
            return self._parse_records(data, quoted)
        return self._make_block(data, table, {}, lambda: locate_records(data, quoted.continued))

    def _parse_records(self, data: bytes, quoted: QuotedLines) -> ParsedBlock:
        """Parses a block record by record and column by column."""
        pieces = locate_records(data, quoted.continued).pieces(_MOST_RECORDS)
        parts = [self._parse_some(data, records, quoted) for records in pieces]
        return in_one_block(parts, count_lines(data))

    def _parse_some(self, data: bytes, records: Records, quoted: QuotedLines) -> ParsedBlock:
        refused, is_row = _refuse(data, records, quoted, self.layout)
        rows = records.chosen(is_row)
        bad = failures.of_rows(refused, records.lines)
        # Each with an end of its own, as the last one of a file may have none.
        spans = zip(rows.starts, rows.stops, strict=True)
        text = b"".join(data[start:stop] + b"\n" for start, stop in spans)
        continued = find_quoted_lines(text, self.layout).continued
        table = self._read(text, continued, dict.fromkeys(filter(None, self.names), pa.binary()))
        table, unread = self._convert(table)
        return self._make_block(text, table, unread, lambda: rows, bad)

    def _read_typed(self, data: bytes, continued: Sequence[int]) -> pa.Table:
        """Reads a block whose every value converts.

        Raises:
            pa.ArrowInvalid: A record or a value isn't as it should be.
            _NotPlainError: `pyarrow` would take `nan(1)` for a number.
        """
        types = {name: self._schema.types[name] for name in self.names if name}
        has_floats = any(map(pa.types.is_floating, types.values()))
        if has_floats and b"(" in data and b"nan(" in data.lower():
            raise _NotPlainError
        # It takes `0x10` for a whole number, too: so these are converted here.
        integers = [name for name, dtype in types.items() if pa.types.is_integer(dtype)]
        table = self._read(data, continued, types | dict.fromkeys(integers, pa.string()))
        for name in integers:
            column = _plain_integers(in_one_piece(table[name]), types[name])
            table = table.set_column(table.column_names.index(name), name, column)
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
        parts: list[memoryview | bytes] = list(_parts(data, continued))
        if data.startswith(BOM):  # `pyarrow` passes over one, wherever in its file the block is
            parts[0] = BOM + bytes(parts[0])
        return csv.read_csv(
            _PartsFile(parts),
            read_options=csv.ReadOptions(
                column_names=[name or f"unknown {i}" for i, name in enumerate(self.names)],
                use_threads=False,
                block_size=max(1024, *map(len, parts)),
            ),
            parse_options=csv.ParseOptions(
                delimiter=self.layout.delimiter,
                quote_char='"' if b'"' in data else False,
                newlines_in_values=self.layout.has_free_text,
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
        columns, unread = {}, {}
        for name in text.column_names:
            dtype = self._schema.types[name]
            column = in_one_piece(text[name])
            ok = _valid_utf8(column)
            if pa.types.is_string(dtype):
                lost = pa.scalar(None if name in self._schema.optional else b"", pa.binary())
                converted = pc.if_else(pa.array(ok), column, lost).cast(dtype)
            else:
                utf8 = pc.if_else(pa.array(ok), column, b"?").cast(pa.string())
                converted = _numbers(utf8, dtype)
                unknown = pc.match_substring_regex(utf8, _UNKNOWN)
                ok = np.asarray(pc.or_(converted.is_valid(), unknown))
            columns[name] = converted
            if not ok.all():
                unread[name] = ~ok
        return pa.table(columns), unread

    def _make_block(
        self,
        text: bytes,
        table: pa.Table,
        unread: Mapping[str, np.ndarray],
        locate: Callable[[], Records],
        refused: pa.Table = failures.NONE,
    ) -> ParsedBlock:
        """Checks converted rows and builds their values.

        Args:
            text: what they were read from.
            table: the rows.
            unread: of a column, where its values, now null, don't convert.
            locate: gives the records that are the rows.
            refused: failures of records that are no rows.
        """
        columns = {name: in_one_piece(table[name]) for name in table.column_names}
        if b" " in text or b"\t" in text:
            for name, column in columns.items():
                if pa.types.is_string(column.type) and name not in self._schema.free_texts:
                    columns[name] = trimmed(column)
        rows = Rows(columns, self._schema, unread)
        is_header = np.zeros(rows.length, bool)
        if not rows.is_valid.all():
            is_header = self._header_rows(columns)
            rows.pass_over(is_header | self._blank_rows(rows))
        lines = count_lines(text)
        block = self._schema.make_block(rows, refused, lambda: locate().lines, lines)
        if is_header.any():
            block.warning = "holds its header more than once, as files put together do: passed over"
        return block

    def _blank_rows(self, rows: Rows) -> np.ndarray:
        """Finds the rows of empty fields that spreadsheets leave, (n,) bool."""
        blank = np.asarray(pc.equal(rows.columns[self._schema.image_id], ""))
        for column in rows.columns.values() if blank.any() else ():
            is_text = pa.types.is_string(column.type)
            empty = pc.equal(column, "") if is_text else column.is_null()
            blank = blank & np.asarray(pc.fill_null(empty, True))
        return np.all([blank, *(~where for where in rows.unread.values())], axis=0)

    def _header_rows(self, columns: Mapping[str, pa.Array]) -> np.ndarray:
        """Finds the rows that are a header, maybe with its file's byte order mark, (n,) bool."""
        first = pc.utf8_trim(columns[self._schema.image_id], '\ufeff"')
        return np.asarray(pc.equal(pc.utf8_lower(first), self._schema.image_id.casefold()))


def _require_plain(data: bytes, quoted: QuotedLines) -> None:
    """Checks that text has no open quotes, carriage returns or long lines that `pyarrow` would
    accept, and is UTF-8: then so is each value, and none is looked at by itself.

    Raises:
        pa.ArrowInvalid, _NotPlainError: It isn't so.
    """
    is_long = longest_line_exceeds(data, MAX_RECORD_BYTES)
    if quoted.unclosed or is_long or len(stray_returns(data)):
        raise _NotPlainError
    offsets = pa.py_buffer(np.array([0, len(data)], np.int32))
    whole = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(data)])
    whole.validate(full=True)


def _refuse(
    data: bytes, records: Records, quoted: QuotedLines, layout: Layout
) -> tuple[list[BadRows], np.ndarray]:
    """Finds the records that can't be rows.

    Returns:
        Which, each once; and which records are rows, (n,) bool: neither these nor blank.
    """
    starts, stops, lines = records
    text = np.frombuffer(data, np.uint8)
    begin, end = (int(starts[0]), int(stops[-1])) if len(starts) else (0, 0)

    def counted(places: np.ndarray) -> np.ndarray:
        """Returns how many of some offsets are in each record, (n,)."""
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
    return refused, ~is_done


def _parts(data: bytes, continued: Sequence[int]) -> Iterator[memoryview]:
    """Yields consecutive records of about `_PART_BYTES`, or a single longer one.

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
    """Returns which values are UTF-8, (n,) bool. Python looks only at those that aren't ASCII."""
    not_ascii = pc.match_substring_regex(column, r"[\x80-\xff]")
    valid = np.ones(len(column), bool)
    for i in np.flatnonzero(not_ascii.to_numpy(False)):
        try:
            column[int(i)].as_py().decode()
        except UnicodeDecodeError:
            valid[i] = False
    return valid
