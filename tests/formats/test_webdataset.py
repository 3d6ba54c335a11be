"""WebDataset: archives as tarfile and GNU tar read them, against the same build's Parquet."""

import json
import subprocess
import tarfile
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

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
from transforms.formats.format import FormatError, ShardSize
from transforms.formats.part import Crc32
from transforms.formats.settings import DEFAULT_SETTINGS
from transforms.formats.webdataset import FORMAT
from transforms.kinds.registry import EXAMPLE
from transforms.storage import files

TABLE = pa.Table.from_pylist(ROWS, EXAMPLE)
PICTURES = ("image", "instance_map", "semantic_map")


def read_samples(shard: Path) -> dict[str, dict[str, bytes]]:
    """The content of each file by what follows the key in its name; by key."""
    with tarfile.open(shard, "r:") as archive:
        members = [(each.name.split(".", 1), archive.extractfile(each)) for each in archive]
        neighbours = groupby(members, lambda member: member[0][0])
        samples = [
            (key, {name: file.read() for (_, name), file in some}) for key, some in neighbours
        ]
    assert len(dict(samples)) == len(samples)
    return dict(samples)


def test_samples_are_those_of_parquet(build_of_samples: Version):
    version = build_of_samples
    classes = json.loads((version.folder / "classes.json").read_text())
    index = {each["label"]: each["index"] for each in classes}
    for split in version.manifest["splits"]:
        shards = version.shards(split, "webdataset")
        samples = {key: each for shard in shards for key, each in read_samples(shard).items()}
        expected = [each for each in version.examples.values() if each["split"] == split]
        assert list(samples) == [each["image_id"] for each in expected]
        for example in expected:
            sample = samples[example["image_id"]]
            _, extension = example["image"]["path"].split(".")
            assert sample.pop(extension) == example["image"]["bytes"]
            for name in PICTURES[1:]:
                assert sample.pop(f"{name}.png") == example[name]["bytes"]
            assert json.loads(sample.pop("labels.json")) == expected_numbers(example, index)
            plain = {name: example[name] for name in EXAMPLE.names if name not in PICTURES}
            assert json.loads(sample.pop("json")) == as_json(plain)
            assert sample == {}


def test_headers_say_nothing_of_time_and_place(build_of_samples: Version):
    for shard in build_of_samples.shards("train", "webdataset"):
        data = shard.read_bytes()
        assert data.endswith(bytes(1024))
        assert data[-1536:-1024].strip(b"\0")
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)
                assert (member.uname, member.gname, member.type) == ("", "", tarfile.REGTYPE)
                header = data[member.offset : member.offset + 512]
                assert header[257:265] == b"ustar\x0000"


def test_gnu_tar_extracts_them(build_of_samples: Version, tmp_path: Path):
    (first, *_) = build_of_samples.shards("train", "webdataset")
    done = subprocess.run(
        ["tar", "--extract", "--file", first, "--directory", tmp_path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    expected = {
        f"{key}.{name}": content
        for key, sample in read_samples(first).items()
        for name, content in sample.items()
    }
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == expected


def test_the_index_names_shards_beside_it(build_of_samples: Version):
    version = build_of_samples
    for split, described in version.manifest["splits"].items():
        index = json.loads((version.folder / f"webdataset/{split}.json").read_text())
        assert (index["__kind__"], index["wids_version"]) == ("wids-shard-index-v1", 1)
        of_split = [each for each in described["shards"] if each["format"] == "webdataset"]
        assert [
            (f"webdataset/{each['url']}", each["nsamples"], each["filesize"], each["sha256"])
            for each in index["shardlist"]
        ] == [
            (each["path"], each["num_examples"], each["bytes"], each["sha256"]) for each in of_split
        ]


def test_an_index_of_other_shards_is_told():
    shards = {"train": [ShardSize(5, 1024, "ab")]}
    (document,) = FORMAT.documents(content(), shards).values()
    (test,) = FORMAT.document_tests(DEFAULT_SETTINGS, FORMAT.schema(content()), shards).values()
    assert test(document)
    assert not test(document | {"shardlist": []})
    assert not test("text")


def test_bytes_do_not_depend_on_how_rows_come(tmp_path: Path):
    write_part(FORMAT, tmp_path / "once", TABLE)
    write_part(FORMAT, tmp_path / "often", *slices(TABLE, 7))
    assert (tmp_path / "once").read_bytes() == (tmp_path / "often").read_bytes()


def test_parts_are_archives_and_are_taken_out_again(tmp_path: Path):
    sealed = seal(FORMAT, tmp_path / "three", TABLE[:10], TABLE[10:11], TABLE[11:])
    assert sealed.path.read_bytes() == seal(FORMAT, tmp_path / "one", TABLE).path.read_bytes()
    assert list(read_samples(tmp_path / "three" / "part1")) == [ROWS[10]["image_id"]]
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


def test_without_pictures(tmp_path: Path):
    write_part(FORMAT, tmp_path / "part", TABLE, with_image=False)
    samples = read_samples(tmp_path / "part")
    assert {tuple(sample) for sample in samples.values()} == {("json", "labels.json")}
    assert json.loads(samples[ROWS[5]["image_id"]]["json"])["bboxes"] == as_json(
        TABLE["bboxes"][5].as_py()
    )


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda data: data[:-1], "isn't ended by two blocks of zeros alone"),
        (lambda data: data[:-1024], "has no header of a tar archive"),
        (lambda data: data + bytes(512), "isn't ended by two blocks of zeros alone"),
        (lambda data: data[100:], "has no header of a tar archive at byte 0"),
        (lambda data: data.replace(b".labels.json", b".labels.jsom"), "has no .json or no .labels"),
        (lambda data: data.replace(b'"title"', b'"Title"'), "unexpected field"),
        (lambda data: data.replace(b".png" + bytes(5), b".map2.png"), "has the column map2, which"),
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
    copy.write_bytes(sealed.path.read_bytes() + b"more")
    with pytest.raises(ValueError, match="its footer has changed"):
        list(FORMAT.read_body(sealed.parts[0]._replace(path=str(copy))))
    with pytest.raises(ValueError, match=str(copy)):
        FORMAT.count(str(copy))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--format", "wedbataset"], "did you mean webdataset?"),
        (["--format", "webdataset", "--shard_size", "big"], "--shard_size"),
    ],
)
def test_wrong_use_is_one_line(tmp_path: Path, flags: list[str], expected: str):
    inputs = ["--annotations", tmp_path, "--images", "none", "--output", tmp_path / "out"]
    built = run_build(*inputs, *flags)
    assert built.returncode == 2
    (line,) = built.stderr.splitlines()
    assert expected in line
