"""JSON Lines to typed, checked rows: one JSON object a line, of up to some 100 kB.

A line is a row if it is one JSON object, whatever stands beside it. `pyarrow.json` makes the nested
columns of many lines at once, without a Python object a value. But it doesn't mind where lines end:
so each is put into an object of its own, which leaves nothing for others to complete. Where it
finds something else than rows, `json` looks at each line.
"""

import collections
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from json import dumps, loads
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.json as json

from transforms.dataset import failures
from transforms.dataset.elements import in_one_piece
from transforms.dataset.failures import BadRows, Reason
from transforms.kinds.parsing.blocks import count_lines
from transforms.kinds.parsing.ending import WARNING
from transforms.kinds.parsing.parsed import ParsedBlock, in_one_block
from transforms.kinds.parsing.records import MAX_RECORD_BYTES, Records, consist_of, locate_records
from transforms.kinds.parsing.table import Rows, TableSchema

#: White space of JSON.
_BLANK = b" \t\r"
#: Lines that are parsed together, where a block has more: they aren't rows, then.
_MOST_LINES = 1 << 17
_DETAIL_LENGTH = 200
_NO_JSON = object()
_TOO_LONG = f"longer than {MAX_RECORD_BYTES >> 20} MiB"


class _Found(NamedTuple):
    """What lines hold.

    Attributes:
        table: rows.
        places: of their lines.
        lost: fields that lines lose, with the places of the lines.
        bad: lines that aren't rows.
    """

    table: pa.Table
    places: np.ndarray
    lost: Mapping[str, Sequence[int]]
    bad: list[BadRows]


class _Object(NamedTuple):
    """A line that is a JSON object.

    Attributes:
        place: of the line.
        line: the object, without the fields that are lost.
        lost: their names.
        error: why it can't be read; empty if it can.
    """

    place: int
    line: bytes
    lost: Sequence[str]
    error: str = ""


class JsonLinesParser:
    """Parses lines of JSON by a schema.

    Args:
        schema: the fields of an object.
        noun: what failures call an object.
        passed_over: fields of text that published objects have and rows don't.
    """

    def __init__(self, schema: TableSchema, noun: str, passed_over: Sequence[str] = ()) -> None:
        self._rows = schema
        self._noun = noun
        self._no_object = f"not a {noun}: the line is no JSON object"
        self._schema = pa.schema(schema.types)
        published = [*self._schema, *((name, pa.string()) for name in passed_over)]
        self._wrapped = pa.schema([("only", pa.list_(pa.struct(published)))])
        self._classes = {field.name: _classes_of(field.type) for field in self._schema}
        self._describe_type = functools.cache(self._find_type_message)

    def parse(self, data: bytes) -> ParsedBlock:
        """Parses whole lines; the failures' lines count from the block's first, as 1."""
        records = locate_records(data, [])
        records = records.chosen(~consist_of(data, records, _BLANK))
        parts = [self._parse_lines(data, part) for part in records.pieces(_MOST_LINES)]
        lines = count_lines(data)
        block = in_one_block(parts, lines)
        last_line = data[data.rfind(b"\n") + 1 :]
        is_bad = block.failures["line"][-1:].to_pylist() == [lines + 1]
        if is_bad and len(last_line) <= MAX_RECORD_BYTES and _load(last_line) is _NO_JSON:
            block.warning = WARNING
        return block

    def _parse_lines(self, data: bytes, records: Records) -> ParsedBlock:
        found = self._find_objects(data, records)
        columns = {name: in_one_piece(found.table[name]) for name in found.table.column_names}
        lost = {name: np.isin(found.places, places) for name, places in found.lost.items()}
        rows = Rows(columns, self._rows, lost)
        refused = failures.of_rows(found.bad, records.lines)
        return self._rows.make_block(rows, refused, lambda: records.lines[found.places], 0)

    def _find_objects(self, data: bytes, records: Records) -> _Found:
        is_long = records.stops - records.starts > MAX_RECORD_BYTES
        may_be = _may_be_objects(data, records) & ~is_long
        bad = [_bad(is_long, _TOO_LONG), _bad(~may_be & ~is_long, self._no_object)]
        starts, stops, _ = records.chosen(may_be)
        spans = zip(starts.tolist(), stops.tolist(), strict=True)
        lines = [data[start:stop] for start, stop in spans]
        places = np.flatnonzero(may_be)
        try:
            return _Found(self._read_plain(lines), places, {}, bad)
        except ValueError:  # so each line is looked at
            pass
        found = list(map(self._inspect, places.tolist(), lines))
        readable = self._find_readable([each for each in found if not each.error])
        kept: list[_Object] = []
        lost: dict[str, list[int]] = collections.defaultdict(list)
        refused: dict[str, list[int]] = collections.defaultdict(list)
        for each in itertools.chain((each for each in found if each.error), readable):
            if each.error:
                refused[each.error].append(each.place)
                continue
            kept.append(each)
            for name in each.lost:
                lost[name].append(each.place)
        bad += [BadRows(np.array(some), Reason.BAD_ROW, detail) for detail, some in refused.items()]
        table = self._read([each.line for each in kept])
        return _Found(table, np.array([each.place for each in kept], np.int64), lost, bad)

    def _inspect(self, place: int, line: bytes) -> _Object:
        """Returns a line without optional fields of another kind of value than the schema's; with
        an error if it is no object, or a required field is so."""
        value = _load(line)
        if not isinstance(value, dict):
            return _Object(place, line, [], self._no_object)
        known = {name: each for name, each in value.items() if name in self._classes}
        wrong = [name for name, each in known.items() if type(each) not in self._classes[name]]
        for name in wrong:
            if name not in self._rows.optional:
                return _Object(place, line, [], self._describe_type(name, type(known.pop(name))))
            del known[name]
        return _Object(place, dumps(known).encode() if wrong else line, wrong)

    def _find_type_message(self, name: str, kind: type) -> str:
        """Returns the message for a field whose value is of a kind that it can't be."""
        return self._find_error([dumps({name: kind()}).encode()])

    def _find_error(self, lines: list[bytes]) -> str:
        """Returns why JSON objects can't be read; empty if they can."""
        try:
            self._read(lines)
        except ValueError as error:
            detail = f"not a {self._noun}: {str(error).removeprefix('JSON parse error: ')}"
            return detail[:_DETAIL_LENGTH]
        return ""

    def _find_readable(self, objects: list[_Object]) -> Iterator[_Object]:
        """Yields objects as they can be read together: by halves, down to the lines at fault."""
        error = self._find_error([each.line for each in objects])
        if not error:
            yield from objects
        elif len(objects) > 1:
            middle = len(objects) // 2
            yield from self._find_readable(objects[:middle])
            yield from self._find_readable(objects[middle:])
        else:
            yield self._without_bad_fields(objects[0], error)

    def _without_bad_fields(self, found: _Object, error: str) -> _Object:
        """Returns an object without the optional fields that can't be read; with the error if the
        others can't be read either."""
        value = _load(found.line)
        needed = (self._rows.image_id, *self._rows.required)
        fields = {name: value[name] for name in needed if name in value}
        lost = []
        for name in [name for name in self._rows.optional if name in value]:
            if self._find_error([dumps(fields | {name: value[name]}).encode()]):
                lost.append(name)
            else:
                fields[name] = value[name]
        line = dumps(fields).encode()
        is_bad = bool(self._find_error([line]))
        return _Object(found.place, line, [*found.lost, *lost], error if is_bad else "")

    def _read_plain(self, lines: list[bytes]) -> pa.Table:
        """Reads objects that have no other fields than published ones.

        Raises:
            ValueError: Some line isn't plainly one.
        """
        if not all(line.lstrip(_BLANK).startswith(b"{") for line in lines):
            raise ValueError("a line is no JSON object")
        wrapped = b'{"only":[%b]}\n' % b']}\n{"only":['.join(lines)
        table = _read_json(wrapped, self._wrapped, "error")
        only = in_one_piece(table["only"])
        # Each line ends with a whole value. So if there are as many as lines, each is of one.
        if not len(only) == len(only.flatten()) == len(lines) or only.null_count:
            raise ValueError("a line holds more than one value")
        table.validate(full=True)
        return pa.Table.from_struct_array(only.flatten()).select(self._schema.names)

    def _read(self, lines: list[bytes]) -> pa.Table:
        """Reads JSON objects, one a line, to one row each.

        Raises:
            ValueError: Some line's fields aren't UTF-8 or of the right types.
        """
        if not lines:
            return self._schema.empty_table()
        table = _read_json(b"\n".join(lines), self._schema, "ignore")
        table.validate(full=True)
        return table


def _classes_of(dtype: pa.DataType) -> tuple[type, ...]:
    """Returns the classes of the values that a field of a type may have, as `json` reads them."""
    if pa.types.is_string(dtype):
        return str, type(None)
    return (list, type(None)) if pa.types.is_list(dtype) else (int, float, type(None))


def _may_be_objects(data: bytes, records: Records) -> np.ndarray:
    """Which lines, none of them empty, begin and end as an object does or with white space; (n,)
    bool."""
    text = np.frombuffer(data, np.uint8)
    begins, ends = (np.isin(np.arange(256), list(_BLANK + mark)) for mark in (b"{", b"}"))
    return begins[text[records.starts]] & ends[text[records.stops - 1]]


def _bad(which: np.ndarray, detail: str) -> BadRows:
    return BadRows(np.flatnonzero(which), Reason.BAD_ROW, detail)


def _load(line: bytes) -> Any:
    """Returns the value that a line is as JSON; `_NO_JSON` where it is none."""
    try:
        return loads(line.decode(), parse_int=_parse_int)
    except (ValueError, RecursionError):
        return _NO_JSON


def _parse_int(digits: str) -> float:
    """Returns a number as `json` has it; Python refuses to convert thousands of digits."""
    return int(digits) if len(digits) < 100 else float(digits)


def _read_json(data: bytes, schema: pa.Schema, unexpected: str) -> pa.Table:
    reading = json.ReadOptions(use_threads=False, block_size=len(data) + 1)
    parsing = json.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unexpected)
    return json.read_json(pa.BufferReader(data), reading, parsing)
