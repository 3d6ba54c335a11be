"""JSON Lines to typed, checked rows: one JSON object a line, of up to some 100 kB.

A line is a row if it is one JSON object, whatever stands beside it. `pyarrow.json` makes the nested
columns of many lines at once, without a Python object a value. But it doesn't mind where lines end:
so each is put into an object of its own, which leaves nothing for others to complete. Where it
finds something else than rows, `json` looks at each line.
"""

import collections
import functools
from collections.abc import Iterator, Sequence
from json import dumps, loads
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as json

from transforms.dataset import failures
from transforms.dataset.elements import in_one_piece
from transforms.dataset.failures import BadRows, Reason
from transforms.dataset.keys import read_image_ids
from transforms.kinds.parsing.blocks import count_lines
from transforms.kinds.parsing.ending import WARNING
from transforms.kinds.parsing.parsed import ParsedBlock, in_one_block
from transforms.kinds.parsing.records import (
    MAX_RECORD_BYTES,
    Records,
    consist_of,
    locate_records,
)
from transforms.kinds.parsing.table import Rows, TableSchema

#: White space of JSON.
_BLANK = b" \t\r"
#: Lines that are parsed together, where a block has more: they aren't rows, then.
_MOST_LINES = 1 << 17
_DETAIL_LENGTH = 200
_TOO_LONG = f"longer than {MAX_RECORD_BYTES >> 20} MiB"


class _Lines(NamedTuple):
    """Lines that were parsed together, with their places among the lines of the block."""

    table: pa.Table
    places: Sequence[int] | np.ndarray


class _Found(NamedTuple):
    """What lines hold.

    Attributes:
        parts: rows.
        lost: the place of a line and the name of a field that it loses.
        bad: lines that aren't rows.
    """

    parts: list[_Lines]
    lost: list[tuple[int, str]]
    bad: list[BadRows]


_Placed = list[tuple[int, bytes]]


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
        starts = range(0, max(1, len(records.lines)), _MOST_LINES)
        parts = [Records(*(column[at : at + _MOST_LINES] for column in records)) for at in starts]
        lines = count_lines(data)
        block = in_one_block([self._parse_lines(data, part) for part in parts], lines)
        last_line = data[data.rfind(b"\n") + 1 :]
        is_bad = block.failures["line"][-1:].to_pylist() == [lines + 1]
        if is_bad and len(last_line) <= MAX_RECORD_BYTES and not _is_json(last_line):
            block.warning = WARNING
        return block

    def _parse_lines(self, data: bytes, records: Records) -> ParsedBlock:
        found = self._find_objects(data, records)
        tables = [self._schema.empty_table(), *(part.table for part in found.parts)]
        table = pa.concat_tables(tables).combine_chunks()
        places = np.concatenate([np.zeros(0, np.int64), *(part.places for part in found.parts)])
        columns = {name: in_one_piece(table[name]) for name in table.column_names}
        rows = Rows(columns, table.num_rows)
        ids, keys, valid = read_image_ids(columns[self._rows.image_id])
        rows.require(valid, f"{self._rows.image_id} is not 16 hex digits")
        for name in self._rows.optional if found.lost else ():
            where = np.isin(places, [place for place, field in found.lost if field == name])
            rows.note_lost(where, f"{name} is not of the format's type")
        value = self._rows.build(rows)
        parsed = pa.table({"key": keys, "value": value})
        if rows.rejected.any():
            parsed = parsed.filter(pa.array(~rows.rejected))
        refused = failures.of_rows(found.bad, records.lines)
        known = pc.if_else(pa.array(valid), ids, None)
        noted = failures.of_rows(rows.notes, records.lines[places], known)
        all_failures = failures.in_order(pa.concat_tables([refused, noted]))
        bad_rows = len(refused) + int(rows.rejected.sum())
        return ParsedBlock(parsed, all_failures, len(records.lines), bad_rows, 0)

    def _find_objects(self, data: bytes, records: Records) -> _Found:
        is_long = records.stops - records.starts > MAX_RECORD_BYTES
        may_be = _may_be_objects(data, records) & ~is_long
        bad = [_bad(is_long, _TOO_LONG), _bad(~may_be & ~is_long, self._no_object)]
        starts, stops, _ = records.chosen(may_be)
        spans = zip(starts.tolist(), stops.tolist(), strict=True)
        lines = [data[start:stop] for start, stop in spans]
        places = np.flatnonzero(may_be)
        if not lines:
            return _Found([], [], bad)
        try:
            return _Found([_Lines(self._read_plain(lines), places)], [], bad)
        except ValueError:
            pass
        objects: _Placed = []
        lost: list[tuple[int, str]] = []
        refused = collections.defaultdict(list)
        for place, line in zip(places.tolist(), lines, strict=True):
            value = _object_of(line)
            if value is None:
                refused[self._no_object].append(place)
            elif not (wrong := self._wrong_fields(value)):
                objects.append((place, line))
            elif required := [name for name in wrong if name not in self._rows.optional]:
                refused[self._describe_type(required[0], type(value[required[0]]))].append(place)
            else:
                lost += [(place, name) for name in wrong]
                objects.append((place, self._without(value, wrong)))
        bad += [BadRows(np.array(some), Reason.BAD_ROW, detail) for detail, some in refused.items()]
        found = self._halve(objects)
        return _Found(found.parts, lost + found.lost, bad + found.bad)

    def _wrong_fields(self, value: dict[str, Any]) -> list[str]:
        """The fields of a JSON object that have another kind of value than the schema's."""
        return [
            name
            for name, each in value.items()
            if name in self._classes and type(each) not in self._classes[name]
        ]

    def _find_type_message(self, name: str, kind: type) -> str:
        """Returns the message for a field whose value is of a kind that it can't be."""
        try:
            self._read([dumps({name: kind()}).encode()])
        except ValueError as error:
            return self._describe(error)
        raise ValueError(f"{name} may be {kind}")

    def _describe(self, error: ValueError) -> str:
        detail = f"not a {self._noun}: {str(error).removeprefix('JSON parse error: ')}"
        return detail[:_DETAIL_LENGTH]

    def _without(self, value: dict[str, Any], names: Sequence[str]) -> bytes:
        """An object as JSON, without some fields and those that the schema lacks."""
        kept = {
            name: each
            for name, each in value.items()
            if name in self._schema.names and name not in names
        }
        return dumps(kept).encode()

    def _halve(self, lines: _Placed) -> _Found:
        """Parses JSON objects together; where that fails, by halves, down to the lines at fault."""
        if not lines:
            return _Found([], [], [])
        places = [place for place, _ in lines]
        try:
            return _Found([_Lines(self._read([line for _, line in lines]), places)], [], [])
        except ValueError as error:
            if len(lines) == 1:
                kept, lost = self._without_bad_fields(lines[0][1])
                if kept is not None:
                    return _Found([_Lines(kept, places)], [(places[0], name) for name in lost], [])
                bad = BadRows(np.array(places), Reason.BAD_ROW, self._describe(error))
                return _Found([], [], [bad])
        middle = len(lines) // 2
        first, second = self._halve(lines[:middle]), self._halve(lines[middle:])
        return _Found(first.parts + second.parts, first.lost + second.lost, first.bad + second.bad)

    def _without_bad_fields(self, line: bytes) -> tuple[pa.Table | None, list[str]]:
        """Parses a JSON object without the optional fields that can't be parsed.

        Returns:
            A table of one row, and the names of these fields; None if the line can't be parsed
            without them either.
        """
        value = _object_of(line) or {}
        needed = (self._rows.image_id, *self._rows.required)
        fields = {name: value[name] for name in needed if name in value}
        lost = []
        for name in self._rows.optional:
            if name in value:
                try:
                    self._read([dumps(fields | {name: value[name]}).encode()])
                    fields[name] = value[name]
                except ValueError:
                    lost.append(name)
        try:
            return self._read([dumps(fields).encode()]), lost
        except ValueError:
            return None, []

    def _read_plain(self, lines: list[bytes]) -> pa.Table:
        """Reads objects that have no other fields than published ones.

        Raises:
            ValueError: Some line isn't plainly one.
        """
        if not all(line.lstrip(_BLANK).startswith(b"{") for line in lines):
            raise ValueError("a line is no JSON object")
        if max(map(len, lines)) > MAX_RECORD_BYTES:
            raise ValueError("a line is too long")
        table = _read_json(b"".join(_wrap(lines)), self._wrapped, "error")
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
        table = _read_json(b"\n".join(lines), self._schema, "ignore")
        table.validate(full=True)
        return table


def _classes_of(dtype: pa.DataType) -> tuple[type, ...]:
    """The classes of the values that a field of a type may have, as `json` reads them."""
    if pa.types.is_string(dtype):
        return str, type(None)
    return (list, type(None)) if pa.types.is_list(dtype) else (int, float, type(None))


def _is_json(line: bytes) -> bool:
    """Whether a line is whole JSON."""
    try:
        loads(line.decode(), parse_int=_parse_int)
    except (ValueError, RecursionError):
        return False
    return True


def _may_be_objects(data: bytes, records: Records) -> np.ndarray:
    """Which lines, none of them empty, begin and end as an object does or with white space; (n,)
    bool."""
    text = np.frombuffer(data, np.uint8)
    begins, ends = (np.isin(np.arange(256), list(_BLANK + mark)) for mark in (b"{", b"}"))
    return begins[text[records.starts]] & ends[text[records.stops - 1]]


def _bad(which: np.ndarray, detail: str) -> BadRows:
    return BadRows(np.flatnonzero(which), Reason.BAD_ROW, detail)


def _object_of(line: bytes) -> dict[str, Any] | None:
    """The JSON object that a line is; None where it is anything else."""
    if not line.lstrip(_BLANK).startswith(b"{") or not line.rstrip(_BLANK).endswith(b"}"):
        return None
    try:
        return loads(line.decode(), parse_int=_parse_int)
    except (ValueError, RecursionError):
        return None


def _parse_int(digits: str) -> float:
    """A number as `json` has it; Python refuses to convert thousands of digits."""
    return int(digits) if len(digits) < 100 else float(digits)


def _wrap(lines: list[bytes]) -> Iterator[bytes]:
    for line in lines:
        yield b'{"only":['
        yield line
        yield b"]}\n"


def _read_json(data: bytes, schema: pa.Schema, unexpected: str) -> pa.Table:
    return json.read_json(
        pa.BufferReader(data),
        read_options=json.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=json.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior=unexpected
        ),
    )
