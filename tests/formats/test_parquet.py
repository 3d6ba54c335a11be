"""Files of examples as their readers see them."""

import io
import zlib
from pathlib import Path
from random import Random
from typing import Any

import datasets
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.formats.page_index import data_pages
from tests.formats.strategies import rows_and_columns, tables
from transforms.formats.format import Content
from transforms.formats.parquet.concatenate import footer_checksum
from transforms.formats.parquet.writer import ParquetWriter
from transforms.formats.part import Part
from transforms.kinds.registry import ANNOTATIONS, EXAMPLE

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
    writer = ParquetWriter(str(path), Content(schema.names))
    writer.schema = schema
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
    assert part[:4] == (str(path), 10, len(data), f"{zlib.crc32(data):08x}")


def test_row_groups_and_what_follows_have_a_checksum_each(tmp_path: Path) -> None:
    """Page indexes belong to what follows."""
    path = tmp_path / "a.parquet"
    part = _write(path, FULL, FULL)
    data = path.read_bytes()
    pages = [page for group in data_pages(path) for column in group.values() for page in column]
    end = max(page.start + page.size for page in pages)
    checksums = [f"{zlib.crc32(some):08x}" for some in (data[:end], data[end:])]
    assert [part.body, footer_checksum(str(path))] == checksums


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


def _coded(table: pa.Table, random: Random) -> pa.Table:
    """The table with texts coded by dictionaries in another order, and with entries too many."""
    for name, fields in {name: kind.coded for name, kind in ANNOTATIONS.items()}.items():
        if not fields:
            continue
        struct = EXAMPLE.field(name).type.value_type
        texts = pa.dictionary(pa.int16(), pa.string())
        coded = pa.struct(
            [field.with_type(texts) if field.name in fields else field for field in struct]
        )
        rows = table[name].to_pylist()
        others = [row for row in rows if row]
        random.shuffle(others)
        others.append([dict.fromkeys(fields, "never")])
        column = pa.array([*others, *rows], pa.list_(coded))[len(others) :]
        table = table.set_column(table.column_names.index(name), name, column)
    return table


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), drawn=rows_and_columns())
def test_any_table_coded_or_not(tmp_path_factory, data: st.DataObject, drawn) -> None:
    rows, _ = drawn
    table = data.draw(tables(rows))
    folder = tmp_path_factory.mktemp("any")
    plain = _write(folder / "plain", table)
    assert pq.read_table(folder / "plain").equals(pa.Table.from_pylist(rows, EXAMPLE))
    coded = _coded(table, data.draw(st.randoms(use_true_random=False)))
    assert _write(folder / "coded", coded).crc32 == plain.crc32


def test_a_large_dictionary_coded_or_not(tmp_path: Path) -> None:
    texts = [f"{n % 22_000:060}" for n in range(30_000)]
    lists = pa.array([[{"label": text}] for text in texts], EXAMPLE.field("image_labels").type)
    columns = {field.name: pa.nulls(len(texts), field.type) for field in EXAMPLE}
    table = pa.table({**columns, "image_labels": lists}, EXAMPLE)
    plain = _write(tmp_path / "plain", table)
    assert _write(tmp_path / "coded", _coded(table, Random(0))).crc32 == plain.crc32
    assert pq.read_table(tmp_path / "coded").equals(table)


@pytest.fixture(scope="module")
def many_pages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pa.Table]:
    """A file whose row groups have many pages of some columns, with nulls and empty lists at
    other places of each column."""
    random, rows = Random(0), []
    for n in range(80):
        trace = [{"x": n, "y": n / 7, "t": None}] * (2400 + n)
        narrative = {"caption": "ä" * n, "traces": [trace, []] if n % 5 else None}
        picture = {"bytes": random.randbytes(random.randrange(100_000)), "path": f"{n}.jpg"}
        rows.append(
            _example(
                n,
                image=picture,
                title=None if n % 5 == 0 else f"title {n}",
                width=None if n % 3 else n - 20,
                original_size=2**33 + n,
                bboxes=None if n % 7 == 0 else [{**BOX, "is_inside": None}, BOX] * (n % 3),
                narratives=[narrative] * (n % 4 > 0),
                masks=[{**MASK, "size": [n, None], "counts": random.randbytes(n * 50)}] * (n % 4),
            )
        )
    table = pa.Table.from_pylist(rows, EXAMPLE)
    path = tmp_path_factory.mktemp("pages") / "a.parquet"
    _write(path, table[:40], table[40:])
    return path, table


def test_every_reader_puts_many_pages_together(many_pages: tuple[Path, pa.Table]) -> None:
    polars = pytest.importorskip("polars")
    path, table = many_pages
    assert pq.read_table(path).equals(table)
    rows = table.to_pylist()
    assert duckdb.sql(f"FROM '{path}'").fetchall() == [tuple(row.values()) for row in rows]
    assert polars.read_parquet(path).to_dicts() == rows


def test_a_row_is_found_by_its_page(many_pages) -> None:
    path, table = many_pages
    for group, rows in zip(data_pages(path), (table[:40], table[40:]), strict=True):
        values = [
            np.array(
                [point["y"] for each in row for trace in each["traces"] or [] for point in trace]
            )
            for row in rows["narratives"].to_pylist()
        ]
        pages = group["narratives.list.element.traces.list.element.list.element.y"]
        assert len(pages) > 1
        starts = [page.first_row for page in pages]
        for page, start, stop in zip(pages, starts, [*starts[1:], len(rows)], strict=True):
            expected = np.concatenate(values[start:stop]).astype(np.float32)
            # All first bytes of the floats, then all second ones, and so on: after the levels.
            encoded = np.frombuffer(page.content, np.uint8)[-expected.nbytes :]
            assert encoded.reshape(4, -1).T.tobytes() == expected.tobytes()


def test_a_picture_is_fetched_by_its_page(many_pages) -> None:
    path, table = many_pages
    for group, rows in zip(data_pages(path), (table[:40], table[40:]), strict=True):
        pictures = rows["image"].combine_chunks().field("bytes").to_pylist()
        pages = group["image.bytes"]
        starts = [page.first_row for page in pages]
        for page, start, stop in zip(pages, starts, [*starts[1:], len(pictures)], strict=True):
            some = pictures[start:stop]
            assert page.content.endswith(
                b"".join(len(each).to_bytes(4, "little") + each for each in some)
            )
            # 128 KiB, and what is in it by then; two pictures at least, if there are so many.
            assert page.size < (128 << 10) + 200_100
            assert len(some) <= 2 or sum(map(len, some[:-2])) < 128 << 10


def test_which_pages_have_statistics(many_pages) -> None:
    path, _ = many_pages
    group = pq.read_metadata(path).row_group(0)
    columns = [group.column(n) for n in range(group.num_columns)]
    assert all(column.has_offset_index for column in columns)
    assert {column.path_in_schema for column in columns if column.has_column_index} == {
        *("image_id", "split", "width", "height", "rotation", "published_rotation")
    }


def test_what_readers_skip_row_groups_by(tmp_path: Path) -> None:
    rows = [_example(n, width=None if n % 3 else n - 20) for n in range(64)]
    _write(tmp_path / "a.parquet", pa.Table.from_pylist(rows, EXAMPLE), _table(range(2)))
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


def test_a_table_of_other_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="schema"):
        ParquetWriter(str(tmp_path / "a.parquet"), Content(EXAMPLE.names)).write(
            pa.table({"x": [1]})
        )


def test_row_groups_are_bounded_in_rows_and_bytes(tmp_path: Path) -> None:
    schema = pa.schema({"n": pa.int64()})
    _write(tmp_path / "a", pa.table({"n": range(65_537)}), pa.table({"n": [1]}), schema=schema)
    metadata = pq.read_metadata(tmp_path / "a")
    assert [metadata.row_group(n).num_rows for n in range(3)] == [65_536, 1, 1]
    texts = pa.array([bytes(600_000)] * 100, pa.binary())
    table = pa.table({f"c{n}": texts for n in range(5)})  # 300 MB
    _write(tmp_path / "b", table, schema=table.schema)
    metadata = pq.read_metadata(tmp_path / "b")
    assert [metadata.row_group(n).num_rows for n in range(2)] == [89, 11]


def test_the_file_grows_with_every_row_group(tmp_path: Path) -> None:
    writer = ParquetWriter(str(tmp_path / "a.parquet"), Content(EXAMPLE.names))
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
