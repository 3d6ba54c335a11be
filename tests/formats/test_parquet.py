"""Files of examples as their readers see them."""

import importlib.metadata
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from transforms.dataset.schema import EXAMPLE
from transforms.formats.parquet import chunks, encodings, thrift, writer
from transforms.formats.parquet.writer import ParquetWriter
from transforms.formats.part import Part

BOX = {
    "label": "/m/01yrx",
    "source": "xclick",
    "confidence": 1.0,
    "xmin": 0.1,
    "xmax": 0.5,
    "ymin": 0.25,
    "ymax": 1.0,
    "is_occluded": 1,
    "is_group_of": -1,
    "extreme_points": [{"x": 0.1, "y": 0.3}],
}
MASK = {
    "label": "/m/01yrx",
    "box_id": "05580497",
    "clicks": [{"x": 0.5, "y": 0.5, "t": 1}],
    "size": [2, 3],
    "counts": b"06",
    "area": 6,
}
TRACES = [[{"x": -0.1, "y": 1.1, "t": 0.0}, {"x": 0.2, "y": 0.4, "t": 0.5}], []]


def _picture(color: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (5, 4), color).save(buffer, "PNG")
    return buffer.getvalue()


def _example(number: int, **columns: Any) -> dict[str, Any]:
    labels = [{"label": f"/m/0{number % 7}", "source": "machine", "confidence": 0.7}] * (number % 3)
    return {
        "image_id": f"{number:016x}",
        "split": "train",
        "rotation": 90,
        "image_labels": labels,
        "bboxes": [BOX] * (number % 2),
        **columns,
    }


def _table(numbers: range, **columns: Any) -> pa.Table:
    return pa.Table.from_pylist([_example(n, **columns) for n in numbers], EXAMPLE)


FULL = pa.concat_tables(
    [
        _table(range(3)),
        _table(
            range(3, 5),
            image={"bytes": _picture(3), "path": "3.png"},
            width=5,
            height=4,
            original_size=2**40,
            masks=[MASK],
            narratives=[{"annotator_id": 93, "caption": "A cat", "traces": TRACES}],
            points=[{"x": 0.5, "y": 0.5, "label": "/m/01yrx", "yes_votes": 3, "text_label": ""}],
        ),
    ]
)


def _write(path: Path, *tables: pa.Table, schema: pa.Schema = EXAMPLE) -> Part:
    writer = ParquetWriter(str(path), schema)
    for table in tables:
        writer.write(table)
    return writer.close()


def test_what_was_written_is_read_with_the_types_of_the_schema(tmp_path: Path) -> None:
    _write(tmp_path / "a.parquet", FULL)
    read = pq.read_table(tmp_path / "a.parquet")
    assert read.schema.equals(EXAMPLE)
    assert read.schema.metadata == EXAMPLE.metadata
    assert read.equals(FULL)


def test_the_part_is_what_lies_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    part = _write(path, FULL, FULL)
    data = path.read_bytes()
    footer = 8 + int.from_bytes(data[-8:-4], "little")
    body, whole = (f"{zlib.crc32(some):08x}" for some in (data[:-footer], data))
    assert part == Part(str(path), 10, len(data), whole, body)


def test_a_file_without_rows(tmp_path: Path) -> None:
    assert _write(tmp_path / "a.parquet").num_examples == 0
    assert _write(tmp_path / "b.parquet", FULL[:0], FULL[:0]).num_examples == 0
    for name in "ab":
        read = pq.read_table(tmp_path / f"{name}.parquet")
        assert read.equals(FULL[:0])
        assert read.schema.metadata == EXAMPLE.metadata


def test_the_same_calls_make_the_same_bytes(tmp_path: Path) -> None:
    chunked = pa.concat_tables([FULL[:2], FULL[2:]])
    tables = [FULL, FULL.combine_chunks(), chunked]
    assert len({_write(tmp_path / f"{n}", table).crc32 for n, table in enumerate(tables)}) == 1


LABELS = pa.list_(pa.struct({"label": pa.string(), "n": pa.list_(pa.string())}))
WORDS = st.none() | st.sampled_from(["", "/m/0", "/m/1", "ä"])
ROWS = st.lists(
    st.none()
    | st.lists(
        st.none() | st.fixed_dictionaries({"label": WORDS, "n": st.none() | st.lists(WORDS)}),
        max_size=4,
    ),
    max_size=6,
)


@settings(deadline=None)
@given(rows=ROWS, start=st.integers(0, 3))
def test_any_nesting_of_nulls_and_slices(tmp_path_factory, rows, start) -> None:
    schema = pa.schema({"labels": LABELS})
    table = pa.table({"labels": pa.array(rows, LABELS)})
    path = tmp_path_factory.mktemp("nesting") / "a.parquet"
    _write(path, table[start:], schema=schema)
    assert pq.read_table(path).equals(table[start:])


class _Page(NamedTuple):
    """A data page: where it lies, and its size before it was compressed."""

    start: int
    stop: int
    size: int


def _data_pages(data: bytes, column: pq.ColumnChunkMetaData) -> Iterator[_Page]:
    start = column.data_page_offset
    end = (column.dictionary_page_offset or start) + column.total_compressed_size
    while start < end:
        found: list[thrift.Integer] = []
        start = thrift.find_integers(data, start, {2: "size", 3: "stored"}, found.append)
        size, stored = (integer.value for integer in found)
        yield _Page(start, start + stored, size)
        start += stored


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "_PAGE_BYTES", 40)


def _many_rows() -> pa.Table:
    """More than small pages hold, with nulls and empty lists at other places of each column."""
    boxes = {**BOX, "is_inside": None}
    rows = [
        _example(
            n,
            title=None if n % 5 == 0 else f"title {n}",
            width=None if n % 3 else n - 20,
            original_size=2**33 + n,
            bboxes=None if n % 7 == 0 else [boxes, {**BOX, "xmin": n / 64}] * (n % 3),
            narratives=[{"caption": "ä" * n, "traces": [TRACES[0] * (n % 4), []] * (n % 2)}],
            masks=[{**MASK, "size": [n, None], "counts": bytes(n % 11)}] * (n % 4),
        )
        for n in range(64)
    ]
    return pa.Table.from_pylist(rows, EXAMPLE)


@pytest.mark.usefixtures("small_pages")
def test_every_reader_puts_many_pages_together(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    path, table = tmp_path / "a.parquet", _many_rows()
    _write(path, table[:41], table[41:])
    assert pq.read_table(path).equals(table)
    assert duckdb.sql(f"FROM '{path}'").fetchall() == [
        tuple(row.values()) for row in table.to_pylist()
    ]
    assert polars.read_parquet(path).to_dicts() == table.to_pylist()


@pytest.mark.usefixtures("small_pages")
def test_every_page_begins_with_a_row(tmp_path: Path) -> None:
    """As readers that skip pages need it."""
    _write(tmp_path / "a.parquet", _many_rows())
    group = pq.read_metadata(tmp_path / "a.parquet").row_group(0)
    (column,) = (
        group.column(n)
        for n in range(group.num_columns)
        if group.column(n).path_in_schema.endswith("traces.list.element.list.element.x")
    )
    data = (tmp_path / "a.parquet").read_bytes()
    first_levels = []
    for start in _data_pages(data, column):
        levels = pa.decompress(data[start.start : start.stop], start.size, "zstd", asbytes=True)
        header, at = thrift.read_varint(levels, 4)
        first_levels.append(levels[at] & (3 if header & 1 else 0xFF))
    assert len(first_levels) > 3
    assert not any(first_levels)


def test_a_large_dictionary_gives_way_to_plain_values(tmp_path: Path, monkeypatch) -> None:
    texts = [f"{n:05}" for n in range(300)] * 2
    schema = pa.schema({"label": pa.string(), "yes_votes": pa.int32()})
    table = pa.table({"label": texts, "yes_votes": range(600)}, schema)
    coded = table.set_column(0, "label", table["label"].dictionary_encode())
    crcs = set()
    for limit in (1 << 20, 2000):
        monkeypatch.setattr(chunks, "_DICTIONARY_BYTES", limit)
        for name, some in (("plain", table), ("coded", coded)):
            crcs.add(_write(tmp_path / name, some, schema=schema).crc32)
            label = pq.read_metadata(tmp_path / name).row_group(0).column(0)
            assert label.has_dictionary_page == (limit > 2000)
            assert pq.read_table(tmp_path / name).equals(table)
    assert len(crcs) == 2
    monkeypatch.setattr(encodings, "MAX_ENTRIES", 599)
    _write(tmp_path / "many", table, schema=schema)
    votes = pq.read_metadata(tmp_path / "many").row_group(0).column(1)
    assert not votes.has_dictionary_page


def test_what_readers_skip_row_groups_by(tmp_path: Path) -> None:
    _write(tmp_path / "a.parquet", _many_rows(), _table(range(2)))
    for number, (least, most, nulls) in enumerate([(-20, 43, 42), (None, None, 2)]):
        group = pq.read_metadata(tmp_path / "a.parquet").row_group(number)
        width = next(
            group.column(n).statistics
            for n in range(group.num_columns)
            if group.column(n).path_in_schema == "width"
        )
        assert width.null_count == nulls
        assert (width.min, width.max) == (least, most)
    rows = duckdb.sql(f"SELECT count(*) FROM '{tmp_path}/a.parquet' WHERE width < 0").fetchall()
    assert rows == [(7,)]


def test_the_writer_is_named(tmp_path: Path) -> None:
    _write(tmp_path / "a.parquet", FULL)
    version = importlib.metadata.version("open-images-beam")
    created_by = pq.read_metadata(tmp_path / "a.parquet").created_by
    assert created_by == f"open-images-beam version {version}"


def test_other_types_are_refused(tmp_path: Path) -> None:
    schema = pa.schema({"day": pa.date32()})
    with pytest.raises(ValueError, match=r"day: values of type date32"):
        _write(tmp_path / "a.parquet", pa.table({"day": [None]}, schema), schema=schema)


def test_a_table_of_other_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="schema"):
        ParquetWriter(str(tmp_path / "a.parquet")).write(pa.table({"x": [1]}))


def test_pages_of_pictures_stay_small(tmp_path: Path) -> None:
    """A page has at most 2 GiB, so not all pictures of a row group may share one."""
    schema = pa.schema({"image": EXAMPLE.field("image").type})
    pictures = [{"bytes": bytes(100_000), "path": "a.jpg"}] * 100
    _write(tmp_path / "a.parquet", pa.table({"image": pictures}, schema), schema=schema)
    data = (tmp_path / "a.parquet").read_bytes()
    column = pq.read_metadata(tmp_path / "a.parquet").row_group(0).column(0)
    sizes = [page.stop - page.start for page in _data_pages(data, column)]
    assert sum(sizes) > 10_000_000
    assert max(sizes) < 3_000_000


def test_row_groups_are_bounded_in_rows_and_bytes(tmp_path: Path, monkeypatch) -> None:
    schema = pa.schema({"n": pa.int64()})
    _write(tmp_path / "a", pa.table({"n": range(65_537)}), pa.table({"n": [1]}), schema=schema)
    metadata = pq.read_metadata(tmp_path / "a")
    assert [metadata.row_group(n).num_rows for n in range(3)] == [65_536, 1, 1]
    monkeypatch.setattr(writer, "_GROUP_BYTES", 800)
    _write(tmp_path / "b", pa.table({"n": range(250)}), schema=schema)
    assert pq.read_metadata(tmp_path / "b").num_row_groups == 3


def test_the_file_grows_with_every_row_group(tmp_path: Path) -> None:
    writer = ParquetWriter(str(tmp_path / "a.parquet"))
    assert writer.bytes_written == 0
    writer.write(FULL)
    size = writer.bytes_written
    writer.write(FULL)
    assert 0 < size < writer.bytes_written < writer.close().bytes


def test_how_columns_are_encoded(tmp_path: Path) -> None:
    _write(tmp_path / "a.parquet", FULL)
    group = pq.read_metadata(tmp_path / "a.parquet").row_group(0)
    columns = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
    picture, label = columns["image.bytes"], columns["bboxes.list.element.label"]
    xmin = columns["bboxes.list.element.xmin"]
    assert (picture.compression, label.compression) == ("UNCOMPRESSED", "ZSTD")
    assert not picture.has_dictionary_page
    assert label.has_dictionary_page
    assert "BYTE_STREAM_SPLIT" in xmin.encodings
    assert not label.is_stats_set
    assert not picture.is_stats_set
    assert columns["image_id"].statistics.max == f"{4:016x}"


def test_duckdb(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    _write(path, FULL[:3], FULL[3:])
    query = f"""
        SELECT rotation, typeof(rotation), typeof(bboxes[1].is_occluded), bboxes[1].is_group_of,
               bboxes[1].label, octet_length(image.bytes), masks[1].size, narratives[1].traces
        FROM '{path}' WHERE image_id = '{3:016x}'"""
    size = len(_picture(3))
    (row,) = duckdb.sql(query).fetchall()
    assert row[:7] == (90, "SMALLINT", "TINYINT", -1, "/m/01yrx", size, [2, 3])
    assert [[point["t"] for point in trace] for trace in row[7]] == [[0.0, 0.5], []]
    nulls = f"SELECT count(*) FILTER (masks IS NULL), count(*) FILTER (bboxes = []) FROM '{path}'"
    assert duckdb.sql(nulls).fetchall() == [(3, 3)]


def test_pandas(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    _write(tmp_path / "a.parquet", FULL)
    frame = pandas.read_parquet(tmp_path / "a.parquet")
    assert frame["image_id"].tolist() == [f"{n:016x}" for n in range(5)]
    assert frame["rotation"].dtype == np.int16
    assert frame["bboxes"][1][0]["label"] == "/m/01yrx"
    assert frame["masks"][0] is None


def test_polars(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    _write(tmp_path / "a.parquet", FULL)
    frame = polars.read_parquet(tmp_path / "a.parquet")
    assert frame["rotation"].dtype == polars.Int16
    assert frame["bboxes"][1][0]["label"] == "/m/01yrx"
    assert frame["masks"].null_count() == 3


def test_hugging_face_decodes_the_pictures(tmp_path: Path) -> None:
    path = tmp_path / "train-00000-of-00001.parquet"
    _write(path, FULL)
    data = datasets.load_dataset(
        "parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert data[3]["image"].size == (5, 4)
    assert data[3]["image"].getpixel((0, 0)) == 3
    assert data[0]["image"] is None
    assert data[3]["bboxes"][0]["is_group_of"] == -1
    assert data.features["rotation"].dtype == "int16"
    assert data.features["bboxes"].feature["is_inside"].dtype == "int8"
