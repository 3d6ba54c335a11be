"""What programs say: near misses, a full disk, counts of one, lines of code to be pasted."""

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from open_images.values import Choices
from pipelines import doctor, download, draw, synthesize, verify, versions
from pipelines.cli.build_flags import parse
from tests.builds import COMMAND, Build, run_build
from tests.test_shards import write_tables

BUILD = ("--annotations", "a", "--images", "none", "--output", "o")


def said(program: Callable, arguments: tuple[str, ...]) -> str:
    """The one line that a wrong command line gets."""
    stderr = io.StringIO()
    with contextlib.redirect_stderr(stderr), pytest.raises(SystemExit) as ended:
        program([*arguments])
    assert ended.value.code == 2
    (line,) = stderr.getvalue().splitlines()
    return line


@pytest.mark.parametrize(
    ("program", "arguments", "meant"),
    [
        (parse, ("--annotation", "a", "--images", "i", "--output", "o"), "--annotations"),
        (parse, ("--annotations=a", "--image", "i", "--output", "o"), "--images"),
        (parse, ("--annotations=a", "--images", "i", "--ouput=o"), "--output"),
        (parse, (*BUILD, "--split", "train"), "--splits"),
        (parse, (*BUILD, "--num-workers", "2"), "--num_workers"),
        (parse, (*BUILD, "--Masks", "m"), "--masks"),
        (parse, (*BUILD, "-masks", "m"), "--masks"),
        (parse, (*BUILD, "--max_failure_ratio=0.1"), "--max_failure_rate"),
        # Beam's, and those of its runners
        (parse, (*BUILD, "--temp_locatoin", "gs://b"), "--temp_location"),
        (parse, (*BUILD, "--runner", "flink", "--flink_mastr", "h:1"), "--flink_master"),
        # values
        (parse, (*BUILD, "--format", "tfrecords"), "tfrecord"),
        (parse, (*BUILD, "--format", "parquet,Parket"), "parquet"),
        (parse, (*BUILD, "--splits", "train,valid"), "validation"),
        (parse, (*BUILD, "--runner", "flinc"), "flink"),
        (parse, (*BUILD, "--mask_maps", "semantics"), "semantic"),
        (parse, (*BUILD, "--resize", "short"), "shortest"),
        (parse, (*BUILD, "--max_samples", "100"), "--max_images"),  # of FiftyOne
        (parse, (*BUILD, "--type_csv", "train"), "--splits"),  # of OIDv4_ToolKit
        # other programs
        (doctor.main, ("--runer", "flink"), "--runner"),
        (verify.main, ("o", "--samples", "all"), "--sample"),
        (versions.main, ("o", "lst"), "list"),
        (versions.main, ("o", "list", "--reports", "json"), "--report"),
        (versions.main, ("o", "gc", "--kep", "3"), "--keep"),
        (synthesize.main, ("--output", "o", "--image", "3"), "--images"),
        (synthesize.main, ("--output", "o", "--pixels", "zipp"), "zip"),
        (draw.main, ("o", "--output", "e.png", "--splits", "train"), "--split"),
        (download.parse, ("--output", "o", "--split", "train"), "--splits"),
        (download.parse, ("--output", "o", "--kinds", "box"), "boxes"),
    ],
)
def test_near_misses(program: Callable, arguments: tuple[str, ...], meant: str):
    assert said(program, arguments).endswith(f": did you mean {meant}?")


@pytest.mark.parametrize(
    "arguments",
    [
        (*BUILD, "--xyzzy"),
        (*BUILD, "--format", "csv"),
        ("--images", "none", "--output", "o"),  # without --annotations, or anything like it
    ],
)
def test_what_is_like_nothing_gets_no_guess(arguments: tuple[str, ...]):
    line = said(parse, arguments)
    assert "did you mean" not in line
    assert line.endswith(": see --help")


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        (parse, (*BUILD, "--shard_size", "inf")),
        (parse, (*BUILD, "--chunk_size", "1e400")),
        (parse, (*BUILD, "--shard_size", "1e30")),
        (parse, (*BUILD, "--num_workers", "9" * 5000)),
        (doctor.main, ("--free_space", "inf")),
        (doctor.main, ("--time_limit", "nan")),
        (doctor.main, ("--time_limit", "-1")),
        (verify.main, ("o", "--sample", "9" * 5000)),
        (versions.main, ("o", "gc", "--keep", "9" * 5000)),
        (synthesize.main, ("--output", "o", "--images", "9" * 5000)),
        (draw.main, ("o", "--output", "e.png", "--images", "9" * 5000)),
        (download.parse, ("--output", "o", "--timeout", "inf")),
    ],
)
def test_numbers_that_are_none_for_it(program: Callable, arguments: tuple[str, ...]):
    line = said(program, arguments)
    assert f"argument {arguments[-2]}: " in line
    assert re.search("is too large|is not a positive number", line)


def test_val_is_validation():
    flags, _ = parse([*BUILD, "--splits", "val,train,validation"])
    assert flags.splits == ("validation", "train")
    assert download.parse(["--output", "o", "--splits", "val"]).splits == ("validation",)
    assert Choices(("a", "b"))("b,a,b") == ("b", "a")


@pytest.mark.parametrize("size", ["300k", "700k", "1m"])
def test_a_full_disk_is_one_line(size: str, tmp_path: Path):
    """Of a build with two processes, whose messages Beam would hand on: early, midway, late."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        tables = write_tables(tmp_path / "tables", {"train": 40})
        (tmp_path / "images").mkdir()
        for i in range(40):
            noise = Image.frombytes("RGB", (200, 100), os.urandom(60_000))
            noise.save(tmp_path / "images" / f"{0:08x}{i:08x}.jpg")
        done = subprocess.run(
            [
                *(*COMMAND, "--annotations", tables, "--images", tmp_path / "images"),
                *("--num_workers", "2", "--output", disk / "output"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "the disk is full: free some space" in line
    assert line.endswith("nothing was published")


def test_one_is_one(tmp_path: Path):
    tables = write_tables(tmp_path / "tables", {"train": 1})
    output = tmp_path / "output"
    built = run_build("--annotations", tables, "--images", "none", "--output", output)
    assert re.search(r"^1 image in ", built.stdout, re.MULTILINE)
    write_tables(tables, {"train": 1}, title="another")
    again = run_build("--annotations", tables, "--images", "none", "--output", output)
    assert re.search(r": \d of 1 bucket$", again.stdout, re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.verify", output],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 example in 1 shard " not in done.stdout  # one in each of two formats
    assert "0 pictures decoded" in done.stdout
    for text in (built.stdout, again.stdout, done.stdout):
        assert not re.search(r"\b1 (images|examples|shards|buckets|pictures)\b", text)


def test_a_build_that_is_not_published_lists_no_shards(tmp_path: Path):
    tables = write_tables(tmp_path / "tables", {"train": 20})
    (tmp_path / "images").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "images" / f"{0:016x}.jpg")
    flags = ("--annotations", tables, "--images", tmp_path / "images", "--output", tmp_path / "o")
    failed = run_build(*flags)
    assert failed.returncode == 1
    assert "missing" in failed.stdout
    for word in ("shards", "MiB", "published", "load"):
        assert word not in failed.stdout
    passed = run_build(*flags, "--max_failure_rate", "1")
    assert passed.returncode == 0
    assert "shards" in passed.stdout


@pytest.fixture(
    params=["plain", "with [brackets]", 'it\'s "quoted"', "a*b?c", "ü {x} #1", "[[]]"],
)
def published(request: pytest.FixtureRequest, tmp_path: Path) -> Build:
    tables = write_tables(tmp_path / "tables", {"validation": 3, "test": 2})
    output = tmp_path / request.param / "output"
    built = run_build("--annotations", tables, "--images", "none", "--output", output)
    assert built.returncode == 0, built.stderr
    return built


def test_the_lines_that_load_it_can_be_pasted(
    published: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Whatever the path; from any folder."""
    monkeypatch.chdir("/")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    lines = [
        line.strip()
        for line in published.stdout.splitlines()
        if line.startswith(("  from ", "  import "))
    ]
    assert len(lines) == 2
    for line in lines:
        names: dict = {}
        exec(line, names)  # as it stands
        assert len(names["dataset"]) == 3
        assert {type(row["image_id"]) for row in names["dataset"]}


def test_they_can_be_pasted_where_the_output_was_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tables = write_tables(tmp_path / "tables", {"train": 3})
    monkeypatch.chdir(tmp_path)
    built = run_build("--annotations", tables, "--images", "none", "--output", "out")
    for line in built.stdout.splitlines():
        if "load" in line:
            assert str(tmp_path / "out" / "versions") in line
