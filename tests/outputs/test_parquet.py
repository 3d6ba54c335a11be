"""Files of examples as their readers see them."""

import io
import zlib
from pathlib import Path
from typing import Any

import datasets
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from transforms.examples.schema import EXAMPLE
from transforms.outputs import parquet, thrift
from transforms.outputs.parquet import ParquetWriter
from transforms.outputs.part import Part

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
    start, sizes = column.data_page_offset, []
    while start < column.data_page_offset + column.total_compressed_size:
        header: list[thrift.Integer] = []
        start = thrift.find_integers(data, start, {3: "compressed_page_size"}, header.append)
        start += header[0].value
        sizes.append(header[0].value)
    assert sum(sizes) > 10_000_000
    assert max(sizes) < 3_000_000


def test_row_groups_are_bounded_in_rows_and_bytes(tmp_path: Path, monkeypatch) -> None:
    schema = pa.schema({"n": pa.int64()})
    _write(tmp_path / "a", pa.table({"n": range(65_537)}), pa.table({"n": [1]}), schema=schema)
    metadata = pq.read_metadata(tmp_path / "a")
    assert [metadata.row_group(n).num_rows for n in range(3)] == [65_536, 1, 1]
    monkeypatch.setattr(parquet, "_GROUP_BYTES", 800)
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
