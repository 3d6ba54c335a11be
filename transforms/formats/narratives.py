"""Localized Narratives: `*_localized_narratives*.jsonl`, JSON objects of up to some 100 kB.

`pyarrow.json` makes the nested columns without a Python object a value: on lines of 3 kB and 22 kB
it takes 0.8 of the time of `orjson` followed by `pyarrow.array`. But it would take two objects on
one line for two rows, and crashes on a block whose first value is `null`: both are excluded before
it is asked.
"""

from json import dumps, loads
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.json as json

from transforms.elements import in_one_piece
from transforms.examples.schema import NARRATIVE
from transforms.failures import Failure, Reason, Stage
from transforms.formats.ending import WARNING
from transforms.formats.parse_csv import ParsedBlock
from transforms.formats.tables import Rows, TableFormat, struct_array
from transforms.keys import read_image_ids

_FIELDS = ["annotator_id", "caption", "timed_caption", "traces", "voice_recording"]
_SCHEMA = pa.schema([("image_id", pa.string()), *(NARRATIVE.field(name) for name in _FIELDS)])


def _build(rows: Rows) -> pa.StructArray:
    traces = rows.columns["traces"]
    sound = np.ones(rows.length, bool)
    for field in traces.flatten().flatten().flatten():
        values = field.fill_null(0).to_numpy(zero_copy_only=False)
        if not np.isfinite(values).all():
            # Rare, so found row by row only where some number is infinite or NaN.
            sound &= np.array([_is_finite(trace) for trace in traces])
            break
    if not sound.all():
        rows.columns["traces"] = pa.array(
            [trace if ok else None for trace, ok in zip(traces, sound, strict=True)], traces.type
        )
        rows.note_lost(~sound, "traces hold a number that is not finite")
    return struct_array(NARRATIVE, rows.columns, rows.length)


def _is_finite(trace: pa.ListScalar) -> bool:
    points = [pa.array([trace]).flatten().flatten()] if trace.is_valid else []
    return all(
        np.isfinite(field.fill_null(0).to_numpy(zero_copy_only=False)).all()
        for point in points
        for field in point.flatten()
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
    """Lines that were parsed together, with their line numbers in the block."""

    table: pa.Table
    numbers: list[int]


def parse_narratives(data: bytes) -> ParsedBlock:
    """Parses whole lines of JSON; the failures' lines count from the block's first, as 1."""
    lines = data.split(b"\n")
    numbered = [(i, line) for i, line in enumerate(lines, 1) if line.strip()]
    parts, lost, bad = _parse(numbered)
    table = pa.concat_tables([_SCHEMA.empty_table(), *(part.table for part in parts)])
    table = table.combine_chunks()
    numbers = [number for part in parts for number in part.numbers]
    columns = {name: in_one_piece(table[name]) for name in table.column_names}
    rows = Rows(columns, table.num_rows)
    ids, keys, valid = read_image_ids(columns["image_id"])
    rows.require(valid, "image_id is not 16 hex digits")
    for name in NARRATIVES.optional if lost else ():
        where = np.isin(numbers, [number for number, field in lost if field == name])
        rows.note_lost(where, f"{name} is not of the format's type")
    value = NARRATIVES.build(rows)
    parsed = pa.table({"key": keys, "value": value})
    if rows.rejected.any():
        parsed = parsed.filter(pa.array(~rows.rejected))
    found = [
        Failure(None, None, Stage.READ, Reason.BAD_ROW, detail, line=line) for line, detail in bad
    ]
    for i, reason, detail in rows.notes:
        image_id = ids[i].as_py() if valid[i] else None
        found.append(Failure(image_id, None, Stage.READ, reason, detail, line=numbers[i]))
    found.sort(key=lambda failure: failure.line or 0)
    bad_rows = len(bad) + int(rows.rejected.sum())
    block = ParsedBlock(parsed, found, len(numbered), bad_rows, len(lines) - 1)
    if any(line == len(lines) for line, _ in bad) and not _is_json(lines[-1]):
        block.warning = WARNING
    return block


def _is_json(line: bytes) -> bool:
    """Whether a line is whole JSON."""
    try:
        loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _parse(
    lines: list[tuple[int, bytes]],
) -> tuple[list[_Lines], list[tuple[int, str]], list[tuple[int, str]]]:
    """Parses numbered lines together; where that fails, by halves, down to the lines at fault.

    Returns:
        The parsed lines; line number and name of each field that was lost of them; line number and
        error of each line that isn't a narrative.
    """
    if not lines:
        return [], [], []
    numbers = [number for number, _ in lines]
    try:
        return [_Lines(_read([line for _, line in lines]), numbers)], [], []
    except ValueError as error:
        if len(lines) == 1:
            kept, lost = _without_bad_fields(lines[0][1])
            if kept is not None:
                return [_Lines(kept, numbers)], [(numbers[0], name) for name in lost], []
            detail = f"not a narrative: {str(error).removeprefix('JSON parse error: ')}"
            return [], [], [(numbers[0], detail)]
    middle = len(lines) // 2
    first, second = _parse(lines[:middle]), _parse(lines[middle:])
    return first[0] + second[0], first[1] + second[1], first[2] + second[2]


def _without_bad_fields(line: bytes) -> tuple[pa.Table | None, list[str]]:
    """Parses a line without the optional fields that can't be parsed.

    Returns:
        A table of one row, and the names of these fields; None if the line can't be parsed without
        them either.
    """
    try:
        narrative = loads(line)
    except (ValueError, RecursionError):
        return None, []
    if not isinstance(narrative, dict):
        return None, []
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


def _read(lines: list[bytes]) -> pa.Table:
    """One object a line to one row a line.

    Raises:
        ValueError: Some line isn't one UTF-8 JSON object with fields of the right types.
    """
    if not all(line.lstrip().startswith(b"{") for line in lines):
        raise ValueError("the line is no JSON object")
    data = b"\n".join(lines)
    table = json.read_json(
        pa.BufferReader(data),
        read_options=json.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=json.ParseOptions(
            explicit_schema=_SCHEMA, unexpected_field_behavior="ignore"
        ),
    )
    if table.num_rows != len(lines):
        raise ValueError("the line holds more than one value")
    table.validate(full=True)
    return table
