"""MDS: shards as its published layout has them, against the same build's Parquet."""

import hashlib
import itertools
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.builds import Version, run_build
from tests.formats.sealed import (
    ROWS,
    as_json,
    content,
    expected_numbers,
    seal,
    slices,
    write_part,
)
from transforms.dataset.elements import BuiltPart
from transforms.formats.format import FormatError, ShardSize
from transforms.formats.mds import FORMAT
from transforms.formats.part import Crc32
from transforms.formats.settings import DEFAULT_SETTINGS
from transforms.kinds.registry import EXAMPLE
from transforms.releases.shards import plan_shards
from transforms.storage import files

TABLE = pa.Table.from_pylist(ROWS, EXAMPLE)
DECODERS: dict[str, Callable[[bytes], Any]] = {
    "json": json.loads,
    "str": bytes.decode,
    "jpeg": bytes,
    "png": bytes,
}


def read_samples(shard: Path, described: dict[str, Any]) -> list[dict[str, Any]]:
    """Reads the samples of a shard by what the index says of its columns.

    The layout is that of `streaming/base/format/mds/reader.py`.
    """
    data = shard.read_bytes()
    (count,) = struct.unpack_from("<I", data)
    offsets = struct.unpack_from(f"<{count + 1}I", data, 4)
    assert json.loads(data[4 * (count + 2) : offsets[0]]) == {
        key: described[key] for key in described if key not in ("raw_data", "samples", "zip_data")
    }
    assert (count, offsets[-1]) == (described["samples"], len(data))
    names, encodings = described["column_names"], described["column_encodings"]
    assert (names, described["column_sizes"]) == (sorted(names), [None] * len(names))
    samples = []
    for start, stop in itertools.pairwise(offsets):
        sizes = struct.unpack_from(f"<{len(names)}I", data, start)
        place = start + 4 * len(names)
        sample = {}
        for name, encoding, size in zip(names, encodings, sizes, strict=True):
            sample[name] = DECODERS[encoding](data[place : place + size])
            place += size
        assert place == stop
        samples.append(sample)
    return samples


def test_samples_are_those_of_parquet(build_of_samples: Version):
    version = build_of_samples
    classes = json.loads((version.folder / "classes.json").read_text())
    numbers = {each["label"]: each["index"] for each in classes}
    for split in version.manifest["splits"]:
        index = json.loads((version.folder / f"mds/{split}/index.json").read_text())
        assert index["version"] == 2
        shards = version.shards(split, "mds")
        samples = []
        for shard, described in zip(shards, index["shards"], strict=True):
            data = shard.read_bytes()
            assert described["raw_data"] == {
                "basename": shard.name,
                "bytes": len(data),
                "hashes": {"sha256": hashlib.sha256(data).hexdigest()},
            }
            assert (described["version"], described["format"]) == (2, "mds")
            assert (described["compression"], described["zip_data"]) == (None, None)
            samples += read_samples(shard, described)
        expected = [each for each in version.examples.values() if each["split"] == split]
        assert [each["image_id"] for each in samples] == [each["image_id"] for each in expected]
        for sample, example in zip(samples, expected, strict=True):
            assert sample.pop("label_numbers") == expected_numbers(example, numbers)
            assert sample.pop("image_path") == example["image"]["path"]
            pictures = ("image", "instance_map", "semantic_map")
            assert [sample.pop(name) for name in pictures] == [
                example[name]["bytes"] for name in pictures
            ]
            plain = {name: value for name, value in example.items() if name not in pictures}
            assert sample == as_json(plain)


def test_an_index_of_other_shards_is_told():
    shards = {"train": [ShardSize(5, 1024, "ab")]}
    (document,) = FORMAT.documents(content(), shards).values()
    (test,) = FORMAT.document_tests(DEFAULT_SETTINGS, FORMAT.schema(content()), shards).values()
    assert test(document)
    assert not test(document | {"shards": []})
    assert not test("text")


def test_bytes_do_not_depend_on_how_rows_come(tmp_path: Path):
    write_part(FORMAT, tmp_path / "once", TABLE)
    write_part(FORMAT, tmp_path / "often", *slices(TABLE, 7))
    assert (tmp_path / "once").read_bytes() == (tmp_path / "often").read_bytes()


def test_parts_are_taken_out_again(tmp_path: Path):
    sealed = seal(FORMAT, tmp_path / "three", TABLE[:10], TABLE[10:11], TABLE[11:])
    assert sealed.path.read_bytes() == seal(FORMAT, tmp_path / "one", TABLE).path.read_bytes()
    for part, written in zip(sealed.parts, sealed.written, strict=True):
        crc = Crc32()
        for data in FORMAT.read_body(part):
            crc.update(data)
        assert crc.hexdigest() == part.body
        with open(tmp_path / "again", "wb") as again:
            FORMAT.extract(part, again, files.DEFAULTS)
        assert (tmp_path / "again").read_bytes() == written


def test_what_is_written_is_read_back(tmp_path: Path):
    shard = seal(FORMAT, tmp_path / "it", TABLE[:10], TABLE[10:]).path
    found = [some.table for some in FORMAT.read(str(shard), schema=FORMAT.schema(content()))]
    expected = TABLE.select(content().columns).replace_schema_metadata(None)
    assert pa.concat_tables(found).equals(expected)
    assert FORMAT.count(str(shard)) == len(ROWS)


def spoil_number(place: int, number: int) -> Callable[[bytes], bytes]:
    """Changes one of the numbers that a shard begins with."""

    def spoil(data: bytes) -> bytes:
        numbers = np.frombuffer(data[: 4 * (place + 1)], "<u4").copy()
        numbers[place] = number
        return numbers.tobytes() + data[4 * (place + 1) :]

    return spoil


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda data: data[:-1], "is an MDS shard that is cut or damaged"),
        (lambda data: data[:3], "is no MDS shard"),
        (lambda data: b"", "is no MDS shard"),
        (spoil_number(0, 1 << 30), "is no MDS shard"),
        (spoil_number(1, 5), "is no MDS shard"),
        (spoil_number(3, 5), "is an MDS shard that is cut or damaged"),
        (lambda data: data.replace(b'"title"', b'"Title"'), "unexpected field"),
        (lambda data: data.replace(b'"column_names"', b'"column_nameS"'), "column_names"),
        (lambda data: data.replace(b'"column_names": [', b'"column_names": ["a","b",', 1), "."),
    ],
)
def test_damage_is_told(tmp_path: Path, spoil: Callable[[bytes], bytes], expected: str):
    path = seal(FORMAT, tmp_path / "it", TABLE).path
    spoilt = tmp_path / "spoilt"
    spoilt.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(FormatError, match=expected):
        list(FORMAT.read(str(spoilt), schema=FORMAT.schema(content())))


def test_a_part_of_a_changed_shard_is_not_taken_over(tmp_path: Path):
    sealed = seal(FORMAT, tmp_path / "it", TABLE[:10], TABLE[10:])
    copy = tmp_path / "copy"
    copy.write_bytes(sealed.path.read_bytes().replace(b'"size_limit": null', b'"size_limit": 1234'))
    with pytest.raises(ValueError, match="its header has changed"):
        list(FORMAT.read_body(sealed.parts[0]._replace(path=str(copy))))


def test_shards_stay_below_4_gib():
    """Whatever is asked for: offsets have 32 bits."""

    def plan(size: int, parts: int, *asked: int) -> list[int]:
        built = [BuiltPart("mds", "train", n, 0, "", 1, size, "") for n in range(parts)]
        return [sum(part.bytes for part in each.parts) for each in plan_shards(built, *asked)]

    gib = 1 << 30
    assert plan(gib // 10, 90, 100 * gib) == [gib // 10 * 37, gib // 10 * 37, gib // 10 * 16]
    assert plan(gib // 10, 30, gib, 1) == [gib // 10 * 30]  # as many as are asked for
    assert len(plan(gib // 10, 100, gib, 1)) > 1  # if they can hold it
    assert max(plan(gib // 10, 100, gib, 1)) < 4 * gib


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--format", "MDS"], "did you mean mds?"),
        (["--format", "mds", "--num_shards", "0"], "--num_shards"),
    ],
)
def test_wrong_use_is_one_line(tmp_path: Path, flags: list[str], expected: str):
    inputs = ["--annotations", tmp_path, "--images", "none", "--output", tmp_path / "out"]
    built = run_build(*inputs, *flags)
    assert built.returncode == 2
    (line,) = built.stderr.splitlines()
    assert expected in line
