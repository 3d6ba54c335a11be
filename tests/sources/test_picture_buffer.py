"""Pictures lie end to end in memory that is used again, wherever they come from."""

import random
from pathlib import Path

import pyarrow as pa
import pytest

from tests.examples.imaging.pictures import jpeg
from transforms.dataset.elements import Source
from transforms.examples.imaging.process import ImageSpec
from transforms.examples.pictures import fetch_pictures
from transforms.sources.buffer import PictureBuffer
from transforms.sources.limits import HttpOptions
from transforms.sources.sources import open_sources
from transforms.storage.stamps import number_of, stamp_of
from transforms.storage.stores import ObjectOptions


def test_what_was_read_into_its_room_is_not_copied() -> None:
    buffer = PictureBuffer(10)
    first, second = buffer.room(3), buffer.room(4)
    assert first is not None
    assert second is not None
    first[:] = b"abc"
    assert buffer.add(first) == b"abc"
    assert second == b"abc\0"  # nobody had added it
    assert buffer.add(b"defg") == b"defg"
    assert buffer.room(4) is None
    assert buffer.add(b"hijk") == b"hijk"
    assert buffer.column([b"abc", b"defg"]).to_pylist() == [b"abc", b"defg"]
    first[:] = b"xyz"
    assert buffer.column([b"abc", b"defg"]).to_pylist() == [b"xyz", b"defg"]


def test_a_picture_beyond_its_size_is_alone_and_not_copied() -> None:
    buffer = PictureBuffer(3)
    large = bytes(4)
    assert buffer.add(large) is large
    assert buffer.column([large]).to_pylist() == [large]
    assert buffer.column([large]).buffers()[2].address == pa.py_buffer(large).address
    assert buffer.column([]).to_pylist() == []


def test_it_is_used_again() -> None:
    buffer = PictureBuffer(4)
    buffer.add(b"abcd")
    buffer.clear()
    buffer.add(b"ef")
    assert buffer.column([b"ef"]).to_pylist() == [b"ef"]


@pytest.mark.parametrize("spec", [ImageSpec(), ImageSpec(image_encoding="png")])
@pytest.mark.parametrize("again", [False, True], ids=["one source", "two sources"])
def test_pieces_hold_the_bytes_of_files(tmp_path: Path, spec: ImageSpec, again: bool) -> None:
    """Of files of many sizes, with bad ones among them, read piece by piece into one buffer."""
    rng = random.Random(0)
    held = 20_000
    pictures = [jpeg() + rng.randbytes(rng.randrange(held)) for _ in range(40)]
    pictures[7] = b"no picture"
    pictures[20] = jpeg()[:-2]
    pictures[30] += bytes(3 * held)
    members = []
    for number, data in enumerate(pictures):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(data)
        member = {"container": str(path), "offset": 0, "size": len(data), "method": 0}
        stamp = number_of(stamp_of(path.stat()))
        members.append([member | {"crc32": None, "source": 0, "stamp": stamp}])
    address = pa.struct(
        {"container": pa.string(), "offset": pa.int64(), "size": pa.int64()}
        | {"method": pa.uint16(), "crc32": pa.int64(), "source": pa.int32()}
        | {"stamp": pa.int64()}
    )
    count = len(pictures)
    images = pa.table(
        {
            "image_id": [str(number) for number in range(count)],
            "split": ["train"] * count,
            "rotation": pa.nulls(count, pa.int16()),
            "pictures": pa.array(members, pa.list_(address)),
        }
    )
    sources = [Source(0, "pictures", str(tmp_path), 0, medium="folder")]
    if again:
        sources.append(Source(1, "pictures", "http://127.0.0.1:9/{image_id}", 0, medium="http"))
    buffer = PictureBuffer(held)
    opened = open_sources(sources, HttpOptions(), ObjectOptions(), buffer)[:1]
    found: dict[int, bytes] = {}
    for piece in fetch_pictures(images, opened, False, spec, held, buffer):
        numbers = map(int, piece.images["image_id"].to_pylist())
        values = piece.columns["image"].field("bytes").to_pylist()
        found |= dict(zip(numbers, values, strict=True))
        assert len(values) == 1 or sum(map(len, values)) <= held
    assert found.keys() == set(range(count)) - {7, 20}
    if spec == ImageSpec():
        assert all(found[number] == pictures[number] for number in found)
    else:
        assert len(set(found.values())) == 1  # what follows the end of a JPEG is dropped
