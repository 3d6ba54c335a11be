"""TFRecord files against TensorFlow's reader and writer."""

import zlib
from pathlib import Path

import pyarrow as pa
import pytest
import tensorflow as tf

from tests.formats.reference import encoded, example_of, in_key_order
from transforms.dataset.schema import MAP_COLUMNS
from transforms.formats.format import Content
from transforms.formats.tfrecord import wire, writer
from transforms.formats.tfrecord.encoder import encode_examples
from transforms.formats.tfrecord.writer import TFRecordWriter, count_records, frame
from transforms.kinds.registry import EXAMPLE, example_columns

COLUMNS = example_columns()
RECORDS = [b"first", b"", b"third" * 1000]


def _table(rows: int, picture_bytes: int = 10) -> pa.Table:
    pictures = [{"bytes": bytes([n % 256]) * picture_bytes} for n in range(rows)]
    return pa.Table.from_pylist(
        [{"image_id": f"{n:016x}", "image": picture} for n, picture in enumerate(pictures)],
        schema=EXAMPLE,
    )


def _write(path: Path, *given: pa.Table):
    writer = TFRecordWriter(str(path), Content(COLUMNS))
    for table in given:
        writer.write(table)
    return writer.close()


def _read(*paths: Path) -> list[bytes]:
    return [r.numpy() for r in tf.data.TFRecordDataset([str(path) for path in paths])]


def _frame(records: pa.LargeBinaryArray) -> bytes:
    return b"".join(frame(wire.raw(records)))


@pytest.fixture
def framed(tmp_path: Path) -> Path:
    path = tmp_path / "framed"
    path.write_bytes(_frame(pa.array(RECORDS, pa.large_binary())))
    return path


def test_frames_as_tensorflow_does(framed, tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for record in RECORDS:
            writer.write(record)
    assert framed.read_bytes() == (tmp_path / "theirs").read_bytes()


def test_frames_a_slice(tmp_path):
    array = pa.array([b"not this", *RECORDS], pa.large_binary())
    (tmp_path / "sliced").write_bytes(_frame(array.slice(1)))
    assert _read(tmp_path / "sliced") == RECORDS


def test_writes_tables_and_tells_what_it_wrote(tmp_path):
    path = tmp_path / "part"
    table = _table(2500)
    part = _write(path, table[:1], table[1:1], table[1:])
    content = path.read_bytes()
    assert _read(path) == encoded(table, COLUMNS)
    assert part == (str(path), 2500, len(content), *2 * [f"{zlib.crc32(content):08x}"], ())


def test_tells_its_size_while_writing(tmp_path):
    writer = TFRecordWriter(str(tmp_path / "part"), Content(COLUMNS))
    assert writer.bytes_written == 0
    writer.write(_table(3))
    so_far = writer.bytes_written
    assert so_far == sum(len(record) + 16 for record in encoded(_table(3), COLUMNS))
    assert writer.close().bytes == so_far


def test_an_empty_file_is_one_of_no_records(tmp_path):
    part = _write(tmp_path / "part", _table(0))
    assert part[1:] == (0, 0, "00000000", "00000000", ())
    assert count_records(part.path) == 0


def test_encodes_few_rows_at_a_time(tmp_path, monkeypatch):
    table = pa.concat_tables([_table(1000), _table(5, 20_000)])
    whole = _write(tmp_path / "whole", table)
    slices = []

    def encode(rows: pa.Table, names: list[str]) -> wire.Messages:
        slices.append(len(rows))
        return encode_examples(rows, names)

    monkeypatch.setattr(writer, "encode_examples", encode)
    monkeypatch.setattr(writer, "_SLICE_ROWS", 300)
    assert _write(tmp_path / "sliced", table)[1:] == whole[1:]
    assert slices == [300, 300, 300, 105]
    assert _read(tmp_path / "sliced") == encoded(table, COLUMNS)


@pytest.mark.parametrize("picture_bytes", [0, 10, wire.LARGE, 100_000])
def test_pictures_of_any_size_are_written_as_tensorflow_does(tmp_path, picture_bytes):
    names = example_columns(maps=MAP_COLUMNS)
    table = _table(5, picture_bytes)
    image = table["image"]
    table = table.set_column(EXAMPLE.get_field_index("semantic_map"), "semantic_map", image)[1:]
    writer = TFRecordWriter(str(tmp_path / "ours"), Content(names))
    writer.write(table)
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as theirs:
        for row in table.to_pylist():
            theirs.write(in_key_order(example_of(row, names)))
    ours = writer.close()
    content = (tmp_path / "ours").read_bytes()
    assert content == (tmp_path / "theirs").read_bytes()
    assert ours[1:] == (4, len(content), *2 * [f"{zlib.crc32(content):08x}"], ())
    assert count_records(ours.path) == 4


def test_counts_records_and_notices_a_cut_at_any_byte(framed):
    content = framed.read_bytes()
    borders = [0, 21, 37, len(content)]  # 16 bytes of framing around each record
    for size in [*range(60), len(content) - 1, len(content)]:
        framed.write_bytes(content[:size])
        if size in borders:
            assert count_records(str(framed)) == borders.index(size)
        else:
            start = max(border for border in borders if border < size)
            with pytest.raises(ValueError, match=f"framed: .* at offset {start}$"):
                count_records(str(framed))


def test_notices_what_is_no_length(framed):
    content = bytearray(framed.read_bytes())
    content[21] ^= 1
    framed.write_bytes(content)
    with pytest.raises(ValueError, match="framed: no TFRecord at offset 21"):
        count_records(str(framed))
