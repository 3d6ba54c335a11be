"""Mistakes of users: one line that names the flag or file and the remedy, and exit code 2."""

import gzip
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builds import Build, run_build

BOXES = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n"
BOX = "000000000000000a,xclick,/m/01,1,0,1,0,1\n"
IMAGES = "ImageID,Subset\n000000000000000a,train\n"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sound inputs, and one of each that is not."""
    folder = tmp_path_factory.mktemp("inputs")
    files: dict[str, str | bytes] = {
        "sound/train-boxes.csv": BOXES + BOX,
        "sound/images.csv": IMAGES,
        "sound/classes.csv": "/m/01,Cat\n",
        "unknown/train-fruit.csv": "apples,pears\n1,2\n",
        "lacking/train-boxes.csv": BOXES.replace(",YMax", "") + BOX,
        "twice/train-boxes.csv": BOXES.replace("XMax", "XMin,XMax,XMin") + BOX,
        "empty/train-boxes.csv": "",
        "utf16/train-boxes.csv": (BOXES + BOX).encode("utf-16"),
        "returns/train-boxes.csv": (BOXES + BOX).replace("\n", "\r"),
        "gzip/train-boxes.csv.gz": gzip.compress((BOXES + BOX * 99).encode())[:-30],
        "nosplit/boxes.csv": BOXES + BOX,
        "nothing/readme.md": "",
        "classes/classes.csv": "/m/01,Cat\n",
        "hierarchy/hierarchy.json": '{"LabelName": "/m/01", "Subcategory": [}',
        "hierarchy/train-boxes.csv": BOXES + BOX,
        "text.zip": "no zip",
        "pictures.tar.bz2": b"BZh9" + bytes(100),
        "other/file.txt": "of the user's",
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


#: Flags, in place of those of a sound build or beside them, and what the line must hold.
MISTAKES: dict[str, tuple[dict[str, str | list[str]], list[str]]] = {
    "a path that isn't there": (
        {"--annotations": "{}/none.csv"},
        ["--annotations", "/none.csv", "check the path"],
    ),
    "a glob that matches nothing": (
        {"--annotations": "{}/*.none"},
        ["--annotations", "*.none", "check the path"],
    ),
    "an unknown kind": (
        {"--annotations": "fruit={}/sound"},
        ["--annotations", "fruit is no kind", "boxes"],
    ),
    "a kind that the file is not": (
        {"--annotations": "masks={}/sound/train-boxes.csv"},
        ["--annotations", "train-boxes.csv", "header of masks lacks MaskPath"],
    ),
    "a scheme that can't be read": (
        {"--annotations": "ftp://openimages/a.csv"},
        ["--annotations ftp://openimages/a.csv", "s3://… or gs://…"],
    ),
    "an output that can't be written": (
        {"--output": "http://user:secret@host/?a=b"},
        ["--output http://***@host/?***", "use a local path, s3://… or gs://…"],
    ),
    "an output whose name isn't UTF-8": (
        {"--output": "{}/out\udcff\x1b"},
        ["out\\udcff\\x1b: its name isn't UTF-8: name another folder"],
    ),
    "an endpoint without a scheme": (
        {"--s3_endpoint_url": "user:secret@127.0.0.1:1"},
        ["--s3_endpoint_url: '***@127.0.0.1:1' is no URL", "http://"],
    ),
    "a work folder beside a local output": (
        {"--work_folder": "{}/work"},
        ["--work_folder", "drop it"],
    ),
    "an unknown header": (
        {"--annotations": "{}/unknown"},
        ["--annotations", "train-fruit.csv", "'apples,pears'", "KIND=PATH"],
    ),
    "a header that lacks a column": (
        {"--annotations": "{}/lacking"},
        ["--annotations", "train-boxes.csv", "lacks YMax", "save it with"],
    ),
    "a header that has a column twice": (
        {"--annotations": "{}/twice"},
        ["--annotations", "train-boxes.csv", "names a column twice"],
    ),
    "an empty file": (
        {"--annotations": "{}/empty"},
        ["--annotations", "train-boxes.csv", "is empty", "download it again"],
    ),
    "a file of UTF-16": (
        {"--annotations": "{}/utf16"},
        ["--annotations", "train-boxes.csv", "is UTF-16", "save it as UTF-8"],
    ),
    "a file of bare carriage returns": (
        {"--annotations": "{}/returns"},
        ["--annotations", "train-boxes.csv", "carriage return"],
    ),
    "a small file of truncated gzip": (
        {"--annotations": "{}/gzip"},
        ["--annotations", "train-boxes.csv.gz", "broken gzip", "download it again"],
    ),
    "a broken hierarchy": (
        {"--annotations": "{}/hierarchy"},
        ["--annotations", "hierarchy.json"],
    ),
    "no split to be told": (
        {"--annotations": "{}/nosplit"},
        ["--annotations", "boxes.csv", "which split?", "image table"],
    ),
    "a folder without annotations": (
        {"--annotations": "{}/nothing"},
        ["--annotations", "no table of annotations"],
    ),
    "class names alone": (
        {"--annotations": "{}/classes"},
        ["--annotations", "no table of annotations"],
    ),
    "no pictures among others": (
        {"--images": ["none", "{}/other"]},
        ["--images none", "drop one"],
    ),
    "pictures that aren't there": (
        {"--images": "{}/none"},
        ["--images", "/none", "check the path"],
    ),
    "a zip that is none": (
        {"--images": "{}/text.zip"},
        ["--images", "text.zip", "neither a folder, a tar nor a zip"],
    ),
    "a tar compressed otherwise": (
        {"--images": "{}/pictures.tar.bz2"},
        ["--images", "pictures.tar.bz2", "unpack it"],
    ),
    "a folder that is said to be a zip": (
        {"--images": "zip={}/other"},
        ["--images", "it is a folder, not a zip"],
    ),
    "masks that are a text file": (
        {"--masks": "{}/text.zip"},
        ["--masks", "text.zip", "neither a folder, a tar nor a zip"],
    ),
    "masks that aren't there": (
        {"--masks": "{}/none"},
        ["--masks", "/none", "check the path"],
    ),
    "an unknown flag": ({"--colour": "red"}, ["unknown flag --colour", "--help"]),
    "a flag cut short": ({"--annot": "x"}, ["unknown flag --annot"]),
    "an unknown format": ({"--format": "tfrecord,avro"}, ["--format", "'avro'", "parquet"]),
    "an unknown split": ({"--splits": "train,dev"}, ["--splits", "'dev'", "validation"]),
    "maps of no masks": ({"--mask_maps": "instance"}, ["--mask_maps", "--masks"]),
    "an unknown map": ({"--mask_maps": "panoptic"}, ["--mask_maps", "'panoptic'", "instance"]),
    "a shard of no size": ({"--shard_size": "big"}, ["--shard_size", "'big'", "256MiB"]),
    "a shard of size 0": ({"--shard_size": "0"}, ["--shard_size", "positive"]),
    "a rate above 1": ({"--max_failure_rate": "2"}, ["--max_failure_rate", "between 0 and 1"]),
    "no workers": ({"--num_workers": "0"}, ["--num_workers", "'0'", "positive"]),
    "an unknown runner": ({"--runner": "spark"}, ["--runner", "spark", "direct"]),
    "a number of Beam's that is none": (
        {"--direct_num_workers": "many"},
        ["--direct_num_workers", "many"],
    ),
    "a release that is no name": ({"--release": "v 7"}, ["--release", "'v 7'"]),
    "an output that is a file": (
        {"--output": "{}/other/file.txt"},
        ["--output", "file.txt", "name another folder"],
    ),
    "an output below a file": (
        {"--output": "{}/other/file.txt/below"},
        ["--output", "file.txt/below", "name another folder"],
    ),
    "an output that holds other files": (
        {"--output": "{}/other"},
        ["--output", "other files (file.txt)", "name an empty folder"],
    ),
    "an output where nothing can be made": (
        {"--output": "/proc/open-images"},
        ["--output /proc/open-images", "can't be written", "name another folder"],
    ),
}


def build_with(inputs: Path, output: Path, changes: dict[str, str | list[str]]) -> Build:
    flags: dict[str, str | list[str]] = {
        "--annotations": "{}/sound",
        "--images": "none",
        "--output": str(output),
    }
    arguments = []
    for flag, values in (flags | changes).items():
        for value in [values] if isinstance(values, str) else values:
            arguments += [flag, value.replace("{}", str(inputs))]
    return run_build(*arguments)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_in_one_line(inputs: Path, tmp_path: Path, name: str):
    changes, wanted = MISTAKES[name]
    before = {path: path.stat().st_mtime_ns for path in sorted(inputs.rglob("*"))}
    built = build_with(inputs, tmp_path / "out", changes)
    assert built.returncode == 2
    assert built.stdout == ""
    (line,) = built.stderr.splitlines()
    assert line.startswith("python -m pipelines.build: error: ")
    for part in wanted:
        assert part in line
    assert not (tmp_path / "out").exists() or [*(tmp_path / "out").iterdir()] == []
    assert {path: path.stat().st_mtime_ns for path in sorted(inputs.rglob("*"))} == before


@pytest.mark.parametrize("flag", ["--annotations", "--images", "--output"])
def test_a_flag_that_is_missing(inputs: Path, flag: str):
    flags = {"--annotations": inputs / "sound", "--images": "none", "--output": inputs / "out"}
    del flags[flag]
    built = run_build(*(part for pair in flags.items() for part in pair))
    assert built.returncode == 2
    (line,) = built.stderr.splitlines()
    assert flag in line


def test_a_mistake_is_told_in_one_line_by_the_program_too(inputs: Path, tmp_path: Path):
    flags = ["--annotations", inputs / "lacking", "--images", "none", "--output", tmp_path / "out"]
    for arguments in (flags, [*flags, "--colour", "red"]):
        built = run_build(*arguments, own_process=True)
        assert (built.returncode, built.stdout) == (2, "")
        assert len(built.stderr.splitlines()) == 1


def test_no_images_of_a_split_is_a_failure_with_a_remedy(inputs: Path, tmp_path: Path):
    built = build_with(inputs, tmp_path / "out", {"--splits": "test"})
    assert built.returncode == 1
    (line,) = built.stderr.splitlines()
    assert "no images to publish" in line
    assert "--splits" in line
    assert [*(tmp_path / "out").iterdir()] == []


def test_an_output_of_earlier_builds_takes_another_version(inputs: Path, tmp_path: Path):
    first = build_with(inputs, tmp_path / "out", {})
    assert (first.returncode, first.stderr) == (0, "")
    before = first.version
    again = build_with(inputs, tmp_path / "out", {"--format": "parquet"})
    assert (again.returncode, again.stderr) == (0, "")
    assert again.version.folder != before.folder
    before.assert_whole()
    again.version.assert_whole()
    left = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert left == ["README.md", "latest", "versions"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize("published", [False, True], ids=["the first", "a later"])
def test_a_full_disk_fails_the_build_alone(
    inputs: Path, tmp_path: Path, small_disk: Path, published: bool
):
    narratives = tmp_path / "train-narratives.jsonl"
    # Every caption another, so that no compression makes them fit.
    captions = ({"image_id": f"{i:016x}", "caption": os.urandom(500).hex()} for i in range(1000))
    narratives.write_text("\n".join(map(json.dumps, captions)))
    output = small_disk / "out"
    if published:
        first = build_with(inputs, output, {})
        assert first.returncode == 0, first.stderr
    built = build_with(inputs, output, {"--annotations": str(narratives)})
    assert built.returncode == 1
    (line,) = built.stderr.splitlines()
    assert "the disk is full" in line
    assert "--output" in line
    assert "nothing was published" in line
    left = ["README.md", "latest", "versions"] if published else []
    assert sorted(path.name for path in output.iterdir()) == left
    if published:
        assert built.version.folder == first.version.folder
        built.version.assert_whole()
