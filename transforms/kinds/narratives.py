"""Localized Narratives: `*_localized_narratives*.jsonl`, JSON objects of up to some 100 kB.

A line is a narrative if it is one JSON object, whatever stands beside it. `pyarrow.json` makes the
nested columns of many lines at once, without a Python object a value. But it doesn't mind where
lines end: so each is put into an object of its own, which leaves nothing for others to complete.
Where it finds something else than narratives, `json` looks at each line.
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
from transforms.dataset.schema import NARRATIVE
from transforms.kinds.blocks import count_lines
from transforms.kinds.ending import WARNING
from transforms.kinds.parse_csv import ParsedBlock, in_one_block
from transforms.kinds.records import MAX_RECORD_BYTES, Records, consist_of, locate_records
from transforms.kinds.tables import Rows, TableFormat, struct_array

_FIELDS = ["annotator_id", "caption", "timed_caption", "traces", "voice_recording"]
_SCHEMA = pa.schema([("image_id", pa.string()), *(NARRATIVE.field(name) for name in _FIELDS)])
_WRAPPED = pa.schema([("only", pa.list_(pa.struct([*_SCHEMA, ("dataset_id", pa.string())])))])
#: Classes of the values that a field may have, as `json` reads them.
_KINDS = {
    field.name: (
        (str, type(None))
        if pa.types.is_string(field.type)
        else (list, type(None))
        if pa.types.is_list(field.type)
        else (int, float, type(None))
    )
    for field in _SCHEMA
}
#: White space of JSON.
_BLANK = b" \t\r"
#: Lines that are parsed together, where a block has more: they aren't narratives, then.
_MOST_LINES = 1 << 17
_DETAIL_LENGTH = 200
_TOO_LONG = f"longer than {MAX_RECORD_BYTES >> 20} MiB"
_NO_OBJECT = "not a narrative: the line is no JSON object"


def _build(rows: Rows) -> pa.StructArray:
    traces = rows.columns["traces"]
    if not _are_finite(traces):  # rare, so found row by row only then
        sound = np.array([_are_finite(traces.slice(i, 1)) for i in range(rows.length)])
        rows.columns["traces"] = pc.if_else(pa.array(sound), traces, pa.scalar(None, traces.type))
        rows.note_lost(~sound, "traces hold a number that is not finite")
    return struct_array(NARRATIVE, rows.columns, rows.length)


def _are_finite(traces: pa.ListArray) -> bool:
    """Whether no number of some rows' traces is infinite or NaN."""
    numbers = traces.flatten().flatten().flatten()
    return all(
        np.isfinite(field.fill_null(0).to_numpy(zero_copy_only=False)).all() for field in numbers
    )


NARRATIVES = TableFormat(
    kind="narratives",
    column="narratives",
    required={"caption": NARRATIVE.field("caption").type},
    optional={name: NARRATIVE.field(name).type for name in _FIELDS if name != "caption"},
    value=NARRATIVE,
    build=_build,
    identity=("caption",),
    image_id="image_id",
)


class _Lines(NamedTuple):
    """Lines that were parsed together, with their places among the lines of the block."""

    table: pa.Table
    places: Sequence[int] | np.ndarray


class _Found(NamedTuple):
    """What lines hold.

    Attributes:
        parts: narratives.
        lost: the place of a line and the name of a field that it loses.
        bad: lines that aren't narratives.
    """

    parts: list[_Lines]
    lost: list[tuple[int, str]]
    bad: list[BadRows]


_Placed = list[tuple[int, bytes]]


def parse_narratives(data: bytes) -> ParsedBlock:
    """Parses whole lines of JSON; the failures' lines count from the block's first, as 1."""
    records = locate_records(data, [])
    records = records.chosen(~consist_of(data, records, _BLANK))
    starts = range(0, max(1, len(records.lines)), _MOST_LINES)
    parts = [Records(*(column[at : at + _MOST_LINES] for column in records)) for at in starts]
    lines = count_lines(data)
    block = in_one_block([_parse_lines(data, part) for part in parts], lines)
    last_line = data[data.rfind(b"\n") + 1 :]
    is_bad = block.failures["line"][-1:].to_pylist() == [lines + 1]
    if is_bad and len(last_line) <= MAX_RECORD_BYTES and not _is_json(last_line):
        block.warning = WARNING
    return block


def _is_json(line: bytes) -> bool:
    """Whether a line is whole JSON."""
    try:
        loads(line.decode(), parse_int=_parse_int)
    except (ValueError, RecursionError):
        return False
    return True


def _parse_lines(data: bytes, records: Records) -> ParsedBlock:
    found = _find_narratives(data, records)
    table = pa.concat_tables([_SCHEMA.empty_table(), *(part.table for part in found.parts)])
    table = table.combine_chunks()
    places = np.concatenate([np.zeros(0, np.int64), *(part.places for part in found.parts)])
    columns = {name: in_one_piece(table[name]) for name in table.column_names}
    rows = Rows(columns, table.num_rows)
    ids, keys, valid = read_image_ids(columns["image_id"])
    rows.require(valid, "image_id is not 16 hex digits")
    for name in NARRATIVES.optional if found.lost else ():
        where = np.isin(places, [place for place, field in found.lost if field == name])
        rows.note_lost(where, f"{name} is not of the format's type")
    value = NARRATIVES.build(rows)
    parsed = pa.table({"key": keys, "value": value})
    if rows.rejected.any():
        parsed = parsed.filter(pa.array(~rows.rejected))
    refused = failures.of_rows(found.bad, records.lines)
    known = pc.if_else(pa.array(valid), ids, None)
    noted = failures.of_rows(rows.notes, records.lines[places], known)
    told = failures.in_order(pa.concat_tables([refused, noted]))
    bad_rows = len(refused) + int(rows.rejected.sum())
    return ParsedBlock(parsed, told, len(records.lines), bad_rows, 0)


def _find_narratives(data: bytes, records: Records) -> _Found:
    is_long = records.stops - records.starts > MAX_RECORD_BYTES
    may_be = _may_be_objects(data, records) & ~is_long
    bad = [_bad(is_long, _TOO_LONG), _bad(~may_be & ~is_long, _NO_OBJECT)]
    starts, stops, _ = records.chosen(may_be)
    lines = [data[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
    places = np.flatnonzero(may_be)
    if not lines:
        return _Found([], [], bad)
    try:
        return _Found([_Lines(_read_plain(lines), places)], [], bad)
    except ValueError:
        pass
    objects: _Placed = []
    lost: list[tuple[int, str]] = []
    refused = collections.defaultdict(list)
    for place, line in zip(places.tolist(), lines, strict=True):
        narrative = _object_of(line)
        if narrative is None:
            refused[_NO_OBJECT].append(place)
        elif not (wrong := _wrong_fields(narrative)):
            objects.append((place, line))
        elif required := [name for name in wrong if name not in NARRATIVES.optional]:
            refused[_describe_type(required[0], type(narrative[required[0]]))].append(place)
        else:
            lost += [(place, name) for name in wrong]
            objects.append((place, _without(narrative, wrong)))
    bad += [BadRows(np.array(some), Reason.BAD_ROW, detail) for detail, some in refused.items()]
    found = _halve(objects)
    return _Found(found.parts, lost + found.lost, bad + found.bad)


def _wrong_fields(narrative: dict[str, Any]) -> list[str]:
    """The fields of a JSON object that are of another kind of value than the format's."""
    return [
        name
        for name, value in narrative.items()
        if name in _KINDS and type(value) not in _KINDS[name]
    ]


@functools.cache
def _describe_type(name: str, kind: type) -> str:
    """The message for a field whose value is of a kind that it can't be."""
    try:
        _read([dumps({name: kind()}).encode()])
    except ValueError as error:
        return _describe(error)
    raise ValueError(f"{name} may be {kind}")


def _describe(error: ValueError) -> str:
    detail = f"not a narrative: {str(error).removeprefix('JSON parse error: ')}"
    return detail[:_DETAIL_LENGTH]


def _without(narrative: dict[str, Any], names: Sequence[str]) -> bytes:
    """A narrative as JSON, without some fields and those that no narrative has."""
    kept = {name: value for name, value in narrative.items() if name in _SCHEMA.names}
    return dumps({name: value for name, value in kept.items() if name not in names}).encode()


def _may_be_objects(data: bytes, records: Records) -> np.ndarray:
    """Which lines, none of them empty, begin and end as an object does or with white space; (n,)
    bool."""
    text = np.frombuffer(data, np.uint8)
    begins, ends = (np.isin(np.arange(256), list(_BLANK + mark)) for mark in (b"{", b"}"))
    return begins[text[records.starts]] & ends[text[records.stops - 1]]


def _bad(which: np.ndarray, detail: str) -> BadRows:
    return BadRows(np.flatnonzero(which), Reason.BAD_ROW, detail)


def _halve(lines: _Placed) -> _Found:
    """Parses JSON objects together; where that fails, by halves, down to the lines at fault."""
    if not lines:
        return _Found([], [], [])
    places = [place for place, _ in lines]
    try:
        return _Found([_Lines(_read([line for _, line in lines]), places)], [], [])
    except ValueError as error:
        if len(lines) == 1:
            kept, lost = _without_bad_fields(lines[0][1])
            if kept is not None:
                return _Found([_Lines(kept, places)], [(places[0], name) for name in lost], [])
            bad = BadRows(np.array(places), Reason.BAD_ROW, _describe(error))
            return _Found([], [], [bad])
    middle = len(lines) // 2
    first, second = _halve(lines[:middle]), _halve(lines[middle:])
    return _Found(first.parts + second.parts, first.lost + second.lost, first.bad + second.bad)


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


def _without_bad_fields(line: bytes) -> tuple[pa.Table | None, list[str]]:
    """Parses a JSON object without the optional fields that can't be parsed.

    Returns:
        A table of one row, and the names of these fields; None if the line can't be parsed without
        them either.
    """
    narrative = _object_of(line) or {}
    fields = {name: narrative[name] for name in ("image_id", "caption") if name in narrative}
    lost = []
    for name in NARRATIVES.optional:
        if name in narrative:
            try:
                _read([dumps(fields | {name: narrative[name]}).encode()])
                fields[name] = narrative[name]
            except ValueError:
                lost.append(name)
    try:
        return _read([dumps(fields).encode()]), lost
    except ValueError:
        return None, []


def _read_plain(lines: list[bytes]) -> pa.Table:
    """Reads narratives that have no other fields than published ones.

    Raises:
        ValueError: Some line isn't plainly one.
    """
    if not all(line.lstrip(_BLANK).startswith(b"{") for line in lines):
        raise ValueError("a line is no JSON object")
    if max(map(len, lines)) > MAX_RECORD_BYTES:
        raise ValueError("a line is too long")
    table = _read_json(b"".join(_wrapped(lines)), _WRAPPED, "error")
    only = in_one_piece(table["only"])
    # Each line ends with a whole value. So if there are as many as lines, each is of one.
    if not len(only) == len(only.flatten()) == len(lines) or only.null_count:
        raise ValueError("a line holds more than one value")
    table.validate(full=True)
    return pa.Table.from_struct_array(only.flatten()).select(_SCHEMA.names)


def _wrapped(lines: list[bytes]) -> Iterator[bytes]:
    for line in lines:
        yield b'{"only":['
        yield line
        yield b"]}\n"


def _read(lines: list[bytes]) -> pa.Table:
    """Reads JSON objects, one a line, to one row each.

    Raises:
        ValueError: Some line's fields aren't UTF-8 or of the right types.
    """
    table = _read_json(b"\n".join(lines), _SCHEMA, "ignore")
    table.validate(full=True)
    return table


def _read_json(data: bytes, schema: pa.Schema, unexpected: str) -> pa.Table:
    return json.read_json(
        pa.BufferReader(data),
        read_options=json.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=json.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior=unexpected
        ),
    )
