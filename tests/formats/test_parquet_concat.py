"""Files put together without decoding are as good as files written in one go."""

import hashlib
import io
import time
import zlib
from pathlib import Path

import datasets
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.formats.page_index import data_pages
from transforms.formats.format import Content
from transforms.formats.parquet import thrift
from transforms.formats.parquet.concatenate import Concatenated, concatenate, footer_checksum
from transforms.formats.parquet.writer import ParquetWriter
from transforms.formats.part import HashingFile
from transforms.kinds.registry import EXAMPLE

SCHEMA = pa.schema(
    {
        "image_id": pa.string(),
        "labels": pa.list_(pa.struct({"label": pa.string(), "scores": pa.list_(pa.float32())})),
        "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    },
    metadata={"note": "kept"},
)


def _table(rows: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)

    def maybe(value):
        return value if random.random() < 0.8 else None

    def label() -> dict:
        scores = [maybe(float(n)) for n in range(random.integers(3))]
        return {"label": maybe(f"/m/{random.integers(9)}"), "scores": maybe(scores)}

    return pa.Table.from_pylist(
        [
            {
                "image_id": f"{seed:04x}{n:012x}",
                "labels": maybe([maybe(label()) for _ in range(random.integers(4))]),
                "image": maybe({"bytes": random.bytes(random.integers(300)), "path": f"{n}.jpg"}),
            }
            for n in range(rows)
        ],
        SCHEMA,
    )


def _concatenate(folder: Path, tables: list[pa.Table], **options) -> Path:
    paths = [str(folder / f"part-{number}.parquet") for number in range(len(tables))]
    for path, table in zip(paths, tables, strict=True):
        pq.write_table(table, path, **options)
    whole = folder / "train-00000-of-00001.parquet"
    with whole.open("wb") as file:
        concatenate(paths, file)
    return whole


@settings(deadline=None, max_examples=50)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=20),
    row_group_size=st.integers(1, 30),
    use_dictionary=st.booleans(),
    write_page_index=st.booleans(),
    data_page_version=st.sampled_from(["1.0", "2.0"]),
    # With a page size of 1, PyArrow writes pages without a value, at which its own reader stops.
    data_page_size=st.sampled_from([64, 1 << 20]),
)
def test_equals_the_tables_one_after_another(tmp_path_factory, sizes, **options) -> None:
    tables = [_table(rows, seed) for seed, rows in enumerate(sizes)]
    whole = _concatenate(tmp_path_factory.mktemp("whole"), tables, write_batch_size=4, **options)
    expected = pa.concat_tables(tables)
    read = pq.read_table(whole)
    assert read.equals(expected)
    assert read.schema.metadata == SCHEMA.metadata
    metadata = pq.read_metadata(whole)
    assert metadata.num_rows == len(expected)
    groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    assert [group.num_rows for group in groups if group.num_rows] == [
        min(options["row_group_size"], rows - start)
        for rows in sizes
        for start in range(0, rows, options["row_group_size"])
    ]
    columns = "image_id, labels, image"
    rows = duckdb.sql(f"SELECT {columns} FROM '{whole}'").fetchall()
    assert rows == [tuple(row.values()) for row in expected.to_pylist()]


def test_one_file_stays_as_it_is(tmp_path: Path) -> None:
    whole = _concatenate(tmp_path, [_table(50, 1)], row_group_size=20)
    assert whole.read_bytes() == (tmp_path / "part-0.parquet").read_bytes()


def test_concatenated_files_can_be_concatenated(tmp_path: Path) -> None:
    tables = [_table(30, seed) for seed in range(3)]
    whole = _concatenate(tmp_path, tables, row_group_size=9, write_page_index=True)
    twice = io.BytesIO()
    concatenate([str(whole), str(whole)], twice)
    assert pq.read_table(twice).equals(pa.concat_tables(tables * 2))


def test_statistics_hold_for_their_own_row_groups(tmp_path: Path) -> None:
    tables = [_table(20, seed) for seed in range(4)]
    whole = _concatenate(tmp_path, tables, row_group_size=10)
    metadata = pq.read_metadata(whole)
    statistics = [metadata.row_group(n).column(0).statistics for n in range(8)]
    assert [(s.min, s.max) for s in statistics] == [
        (f"{seed:04x}{first:012x}", f"{seed:04x}{first + 9:012x}")
        for seed in range(4)
        for first in (0, 10)
    ]
    wanted = f"{2:04x}{13:012x}"
    assert duckdb.sql(
        f"SELECT image_id FROM '{whole}' WHERE image_id >= '{wanted}'"
    ).fetchall() == [
        (image_id,) for image_id in pa.concat_tables(tables)["image_id"].to_pylist()[53:]
    ]


def test_into_a_file_that_keeps_account(tmp_path: Path) -> None:
    whole = _concatenate(tmp_path, [_table(9, 0), _table(9, 1)])
    with (tmp_path / "again.parquet").open("wb") as file:
        hashing = HashingFile(file, hashlib.sha256())
        concatenate([str(tmp_path / f"part-{n}.parquet") for n in range(2)], hashing)
    assert hashing.tell() == whole.stat().st_size
    assert hashing.digest == hashlib.sha256(whole.read_bytes()).hexdigest()


@settings(max_examples=20)
@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5), group_rows=st.integers(1, 30))
def test_a_page_index_moves_with_its_pages(tmp_path_factory, sizes, group_rows) -> None:
    folder = tmp_path_factory.mktemp("index")
    options = {"write_page_index": True, "data_page_size": 64, "write_batch_size": 5}
    tables = [_table(rows, seed) for seed, rows in enumerate(sizes)]
    whole = _concatenate(folder, tables, row_group_size=group_rows, **options)
    parts = [group for n in range(len(sizes)) for group in data_pages(folder / f"part-{n}.parquet")]
    moved = data_pages(whole)
    assert [_placeless(group) for group in moved] == [_placeless(group) for group in parts]
    # Row groups lie end to end, with all page indexes behind them.
    pages = [page for group in moved for column in group.values() for page in column]
    end = max(page.start + page.size for page in pages)
    assert footer_checksum(str(whole)) == f"{zlib.crc32(whole.read_bytes()[end:]):08x}"


def _placeless(group: dict[str, list]) -> dict[str, list]:
    return {name: [page[1:] for page in pages] for name, pages in group.items()}


def test_hugging_face_reads_it(tmp_path: Path) -> None:
    tables = [_table(20, seed) for seed in range(3)]
    whole = _concatenate(tmp_path, tables, row_group_size=7)
    data = datasets.load_dataset(
        "parquet", data_files=str(whole), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert data["image_id"][:] == pa.concat_tables(tables)["image_id"].to_pylist()


@pytest.mark.parametrize(
    ("other", "options", "message"),
    [
        (pa.table({"other": [1]}), {}, "version or schema"),
        (_table(3, 1).replace_schema_metadata({"note": "new"}), {"store_schema": False}, None),
        (_table(3, 1).replace_schema_metadata({"note": "new"}), {}, "key-value metadata"),
        (_table(3, 1), {"version": "1.0"}, "version or schema"),
    ],
)
def test_files_that_differ_are_refused(tmp_path: Path, other, options, message) -> None:
    first, second = str(tmp_path / "1.parquet"), str(tmp_path / "2.parquet")
    pq.write_table(_table(3, 0), first)
    pq.write_table(other, second, **options)
    with pytest.raises(ValueError, match=rf"2\.parquet: its {message or ''}"):
        concatenate([first, second], io.BytesIO())


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-1], lambda d: d[-8:], lambda d: b"", lambda d: d[:-4] + b"PARE"]
)
def test_what_is_no_parquet_file_is_refused(tmp_path: Path, damage) -> None:
    path = tmp_path / "1.parquet"
    pq.write_table(_table(3, 0), path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"1\.parquet is not a whole, unencrypted Parquet file"):
        concatenate([str(path)], io.BytesIO())


def test_nothing_to_concatenate() -> None:
    with pytest.raises(ValueError, match="no file"):
        concatenate([], io.BytesIO())


def test_a_column_chunk_takes_microseconds(tmp_path: Path) -> None:
    table = pa.table({f"c{n}": [n] for n in range(100)})
    path = str(tmp_path / "1.parquet")
    pq.write_table(table, path)
    start = time.process_time()
    concatenate([path] * 100, io.BytesIO())
    assert (time.process_time() - start) / 10_000 < 500e-6


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_integers_as_varints(value: int) -> None:
    encoded = thrift.write_integer(value)
    assert thrift.read_integer(b"\xff" + encoded, 1) == (value, 1 + len(encoded))


@pytest.mark.parametrize("write_page_index", [False, True])
def test_files_are_taken_out_again(tmp_path: Path, write_page_index: bool):
    tables = [_table(10 * number + 5, number) for number in range(4)]
    options = {"row_group_size": 7, "data_page_size": 64, "write_batch_size": 5}
    together = _concatenate(tmp_path, tables, write_page_index=write_page_index, **options)
    with together.open("rb") as file:
        concatenated = Concatenated(str(together), file)
        assert concatenated.footer_checksum == footer_checksum(str(together))
        row = 0
        for number, table in enumerate(tables):
            part = (tmp_path / f"part-{number}.parquet").read_bytes()
            out = io.BytesIO()
            concatenated.extract(file, row, len(table), out)
            assert out.getvalue() == part
            start, size = concatenated.span(row, len(table))
            file.seek(start)
            assert part.startswith(b"PAR1" + file.read(size))
            row += len(table)
        with pytest.raises(ValueError, match="no row groups of rows 1 to 5"):
            concatenated.extract(file, 1, 4, io.BytesIO())


def test_examples_are_taken_out_again(tmp_path: Path):
    """Parts of a build, of which those without a picture have pages of another size."""
    parts = []
    for number, size in enumerate([0, 50_000, 200_000]):
        rows = [
            {
                "image_id": f"{n:016x}",
                "image": {"bytes": bytes(size), "path": "a"} if size else None,
            }
            for n in range(20)
        ]
        writer = ParquetWriter(str(tmp_path / str(number)), Content(EXAMPLE.names))
        for start in (0, 12):
            writer.write(pa.Table.from_pylist(rows[start : start + 12], EXAMPLE))
        parts.append(writer.close())
    together = tmp_path / "together.parquet"
    with together.open("wb") as file:
        concatenate([part.path for part in parts], file)
    assert len(data_pages(together)) == 6
    with together.open("rb") as file:
        concatenated = Concatenated(str(together), file)
        for number, part in enumerate(parts):
            out = io.BytesIO()
            concatenated.extract(file, 20 * number, 20, out)
            assert out.getvalue() == Path(part.path).read_bytes()
            start, size = concatenated.span(20 * number, 20)
            body = out.getvalue()[: 4 + size]
            assert f"{zlib.crc32(body):08x}" == part.body
