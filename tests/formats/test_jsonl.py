"""Gzipped JSON Lines: what is written is read back, the same bytes each time."""

import base64
import gzip
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.formats.strategies import rows_and_columns, tables
from transforms.formats.format import Content, FormatError
from transforms.formats.jsonl import FORMAT
from transforms.kinds.registry import EXAMPLE

ROWS = [
    {
        "image_id": f"{n:016x}",
        "split": "train",
        "image": {"bytes": b"\xff\xd8" * n, "path": f"{n}.jpg"},
        "title": "Café\n\u2028",
        "bboxes": [{"label": "/m/01yrx", "xmin": 0.1, "is_occluded": -1}] * (n % 3),
    }
    for n in range(200)
]


def write(path: Path, *given: pa.Table) -> bytes:
    writer = FORMAT.open_part(str(path), Content(EXAMPLE.names))
    for table in given:
        writer.write(table)
    part = writer.close()
    data = path.read_bytes()
    assert (part.num_examples, part.bytes) == (sum(map(len, given)), len(data))
    return data


def read(path: Path) -> pa.Table:
    schema = FORMAT.schema(Content(EXAMPLE.names))
    found = [some.table for some in FORMAT.read(str(path), schema=schema)]
    return pa.concat_tables([EXAMPLE.empty_table(), *found])


@settings(deadline=None)
@given(st.data())
def test_any_rows_are_read_back(data: st.DataObject):
    rows, _ = data.draw(rows_and_columns())
    table = data.draw(tables(rows))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "part")
        assert write(path, table) == write(path, table.combine_chunks())
        assert read(path).equals(table)
        assert FORMAT.count(str(path)) == len(rows)


def test_lines_are_plain_json(tmp_path: Path):
    write(tmp_path / "part", pa.Table.from_pylist(ROWS, EXAMPLE))
    with gzip.open(tmp_path / "part") as file:
        lines = [json.loads(line) for line in file]
    assert [line["image_id"] for line in lines] == [row["image_id"] for row in ROWS]
    assert list(lines[0]) == EXAMPLE.names
    assert base64.b64decode(lines[9]["image"]["bytes"]) == b"\xff\xd8" * 9
    assert lines[9]["title"] == "Café\n\u2028"
    assert lines[0]["bboxes"] == []
    assert lines[0]["points"] is None


def test_parts_are_members_without_time_and_name(tmp_path: Path):
    table = pa.Table.from_pylist(ROWS, EXAMPLE)
    first, second = (
        write(tmp_path / name, some)
        for name, some in (("first", table[:150]), ("second", table[150:]))
    )
    assert first[:4] == second[:4] == b"\x1f\x8b\x08\x00"  # no name, nor other fields
    assert first[4:8] == second[4:8] == bytes(4)  # no time
    (tmp_path / "shard").write_bytes(first + second)
    assert read(tmp_path / "shard").equals(table)
    assert FORMAT.count(str(tmp_path / "shard")) == len(ROWS)


def test_damage_is_told(tmp_path: Path):
    path = tmp_path / "part"
    whole = write(path, pa.Table.from_pylist(ROWS, EXAMPLE))
    for size in range(1, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(FormatError, match="is no gzip file, or is damaged"):
            read(path)
    for content, expected in (
        (b"{", "example 0: "),
        (b'{"image_id": "a"}', "example 0: its columns aren't those that its version records"),
        (json.dumps(dict.fromkeys(EXAMPLE.names, 1)).encode(), "."),
        (b"[" * 100_000, "example 0: "),
        (b"5", "example 0: is no object"),
        (b'{"image": {"bytes": 5}}', "example 0: "),
        (json.dumps(dict.fromkeys(EXAMPLE.names) | {"width": 2**70}).encode(), "."),
    ):
        path.write_bytes(gzip.compress(content + b"\n"))
        with pytest.raises(FormatError, match=expected):
            read(path)
