"""Concatenation of what other writers than PyArrow put into a Parquet file."""

import io
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.formats.parquet import thrift
from transforms.formats.parquet.concatenate import concatenate

TABLE = pa.table({"n": range(20), "labels": [["a", None]] * 20})


def _footer(data: bytes) -> bytes:
    return data[-8 - int.from_bytes(data[-8:-4], "little") : -8]


def _row_groups(footer: bytes) -> tuple[int, int, list[bytes]]:
    """Where a footer's list of row groups starts and ends, and what each holds."""
    (num_rows,), _ = thrift.find_integers(footer, 0, {3: "rows"})
    start = num_rows.end + 1
    size, _, at = thrift.read_list_header(footer, start)
    groups: list[bytes] = []
    for _ in range(size):
        _, end = thrift.find_integers(footer, at, {})
        groups.append(footer[at:end])
        at = end
    return start, at, groups


def test_numbered_row_groups_are_numbered_through(tmp_path: Path) -> None:
    """Some writers number row groups: PyArrow doesn't, so this test does it."""
    path = tmp_path / "1.parquet"
    pq.write_table(TABLE, path, row_group_size=9)
    data = path.read_bytes()
    old = _footer(data)
    start, end, groups = _row_groups(old)
    # Field 7 follows 6, and its kind is a 16-bit integer, 4; a struct ends with a zero byte.
    named = [
        group[:-1] + b"\x14" + thrift.write_integer(number) + b"\0"
        for number, group in enumerate(groups)
    ]
    new = old[:start] + thrift.write_list(thrift.STRUCT, named) + old[end:]
    size = len(new).to_bytes(4, "little")
    path.write_bytes(data[: -8 - len(old)] + new + size + b"PAR1")
    whole = io.BytesIO()
    concatenate([str(path)] * 3, whole)
    numbers, _ = thrift.find_integers(_footer(whole.getvalue()), 0, {4: {7: "ordinal"}})
    assert [integer.value for integer in numbers] == list(range(9))
    assert pq.read_table(whole).equals(pa.concat_tables([TABLE] * 3))


def test_files_of_another_writer_with_bloom_filters(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{number}.parquet") for number in range(2)]
    for number, path in enumerate(paths):
        query = f"SELECT i, 'x' || (i % 7 + {number}) AS s FROM range(5000) t(i)"
        duckdb.sql(f"COPY ({query}) TO '{path}' (ROW_GROUP_SIZE 2048)")
    whole = tmp_path / "whole.parquet"
    with whole.open("wb") as file:
        concatenate(paths, file)
    assert pq.read_table(whole).equals(pa.concat_tables(map(pq.read_table, paths)))
    for name in ("x0", "x3", "x7", "x8"):
        count = f"SELECT count(*) FROM '{{}}' WHERE s = '{name}'"
        parts = sum(duckdb.sql(count.format(path)).fetchall()[0][0] for path in paths)
        assert duckdb.sql(count.format(whole)).fetchall() == [(parts,)]
    bloom_filter: thrift.Wanted = {4: {1: {3: {14: "offset", 15: "length"}}}}
    offsets, _ = thrift.find_integers(_footer(whole.read_bytes()), 0, bloom_filter)
    data = whole.read_bytes()
    pairs = zip(offsets[::2], offsets[1::2], strict=True)
    moved = [data[offset.value : offset.value + length.value] for offset, length in pairs]
    assert len(moved) == 6
    for number, path in enumerate(paths):
        part = Path(path).read_bytes()
        assert all(each in part for each in moved[3 * number : 3 * number + 3])
