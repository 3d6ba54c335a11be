"""Localized Narratives: `*_localized_narratives*.jsonl`, JSON objects of up to some 100 kB.

`pyarrow.json` makes the nested columns without a Python object a value: on lines of 3 kB and 22 kB
it takes 0.8 of the time of `orjson` followed by `pyarrow.array`. But it would take two objects on
one line for two rows, and crashes on a block whose first value is `null`: both are excluded before
it is asked.
"""

import numpy as np
import pyarrow as pa
import pyarrow.json as json

from transforms.elements import in_one_piece
from transforms.examples.schema import NARRATIVE
from transforms.failures import Failure, Reason, Stage
from transforms.formats.parse_csv import ParsedBlock
from transforms.formats.tables import Rows, TableFormat, struct_array
from transforms.keys import image_keys

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
    rows.require(sound, "a trace holds a number that is not finite")
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
    required={field.name: field.type for field in NARRATIVE},
    optional={},
    value=NARRATIVE,
    build=_build,
    identity=("caption",),
    image_id="image_id",
)


def parse_narratives(data: bytes) -> ParsedBlock:
    """Parses whole lines of JSON; the failures' lines count from the block's first, as 1."""
    lines = data.split(b"\n")
    numbered = [(i, line) for i, line in enumerate(lines, 1) if line.strip()]
    tables, found = _parse(numbered)
    table = pa.concat_tables([_SCHEMA.empty_table(), *(t for t, _ in tables)]).combine_chunks()
    numbers = [number for _, some in tables for number in some]
    columns = {name: in_one_piece(table[name]) for name in table.column_names}
    rows = Rows(columns, table.num_rows)
    keys, valid = image_keys(columns["image_id"])
    rows.require(valid, "image_id is not 16 lowercase hex digits")
    value = NARRATIVES.build(rows)
    parsed = pa.table({"key": keys, "value": value})
    if rows.rejected.any():
        parsed = parsed.filter(pa.array(~rows.rejected))
    for i, reason, detail in rows.notes:
        image_id = columns["image_id"][i].as_py() if valid[i] else None
        found.append(Failure(image_id, None, Stage.READ, reason, detail, line=numbers[i]))
    found.sort(key=lambda failure: failure.line or 0)
    return ParsedBlock(parsed, found, len(numbered), len(found), len(lines) - 1)


def _parse(
    lines: list[tuple[int, bytes]],
) -> tuple[list[tuple[pa.Table, list[int]]], list[Failure]]:
    """Parses numbered lines together; where that fails, by halves, down to the lines at fault."""
    if not lines:
        return [], []
    try:
        return [(_read([line for _, line in lines]), [number for number, _ in lines])], []
    except ValueError as error:
        if len(lines) == 1:
            detail = f"not a narrative: {str(error).removeprefix('JSON parse error: ')}"
            return [], [Failure(None, None, Stage.READ, Reason.BAD_ROW, detail, line=lines[0][0])]
    middle = len(lines) // 2
    first, second = _parse(lines[:middle]), _parse(lines[middle:])
    return first[0] + second[0], first[1] + second[1]


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
