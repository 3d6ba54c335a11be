"""Builds that were stopped and go on: nothing is done twice, and the bytes are those of one go."""

import json
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builds import COMMAND, Version, latest_version, run_build, survivors

IMAGES = 60


@pytest.fixture(scope="module")
def inputs(
    make_corpus: Callable[[str, int], Path], tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    corpus = make_corpus("v7", IMAGES)
    pictures = tmp_path_factory.mktemp("pictures") / "pictures.tar.gz"
    with tarfile.open(pictures, "w:gz") as tar:  # which is unpacked into the work folder
        tar.add(corpus / "images", "images")
    parts = {"annotations": corpus / "annotations", "images": pictures, "masks": corpus / "masks"}
    flags = [text for name, path in parts.items() for text in (f"--{name}", str(path))]
    # Small chunks make many pieces.
    return [*flags, "--chunk_size", "4096", "--num_workers", "2"]


@pytest.fixture(scope="module")
def whole(inputs: list[str], tmp_path_factory: pytest.TempPathFactory) -> Version:
    """What is built in one go."""
    built = run_build(*inputs, "--output", tmp_path_factory.mktemp("whole"))
    assert built.returncode == 0, built.stderr
    return built.version


def stop(inputs: list[str], output: Path, number: int, entries: int) -> str:
    """Sends a signal to a build once so many pieces are done; what it says at its end."""
    command = [*COMMAND, *inputs, "--output", str(output)]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        while len(journal(output)) < entries:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.005)
        process.send_signal(number)
        said = process.stderr.read()
    # A worker may finish a piece after the driver was killed.
    assert survivors(process.pid) == set()
    return said


def journal(output: Path) -> list[Path]:
    """The entries of a stopped build."""
    return [path for path in output.glob(".work/*/journal/*") if "." not in path.name]


def go_on(inputs: list[str], output: Path, whole: Version) -> int:
    """Builds to the end; how many pieces it found done."""
    built = run_build(*inputs, "--output", output)
    assert built.returncode == 0, built.stderr
    assert built.version.digests() == whole.digests()
    counted = [version.manifest["sources"] for version in (built.version, whole)]
    assert counted[0] == counted[1]
    assert sorted(path.name for path in output.iterdir()) == ["README.md", "latest", "versions"]
    said = [line for line in built.stdout.splitlines() if line.startswith("going on from")]
    return int(said[0].split()[-4].replace(",", "")) if said else 0


@pytest.mark.parametrize("entries", [3, 40])
def test_killed(inputs: list[str], whole: Version, tmp_path: Path, entries: int):
    stop(inputs, tmp_path, signal.SIGKILL, entries)
    assert go_on(inputs, tmp_path, whole) >= entries


def test_told_to_end(inputs: list[str], whole: Version, tmp_path: Path):
    said = stop(inputs, tmp_path, signal.SIGTERM, 10)
    assert said.splitlines()[-1].endswith(
        "error: interrupted: nothing was published; the same command goes on where it was"
    )
    assert "Traceback" not in said
    assert go_on(inputs, tmp_path, whole) >= 10


def test_leftovers_of_attempts_are_not_used(inputs: list[str], whole: Version, tmp_path: Path):
    stop(inputs, tmp_path, signal.SIGKILL, 20)
    (work,) = tmp_path.glob(".work/*/")
    entries = journal(tmp_path)
    # An entry that was torn, one whose file was cut short, one whose file has gone; files and an
    # entry that attempts left unfinished.
    named = [path for path in entries if any(json.loads(path.read_bytes())[0])]
    named[0].write_bytes(named[0].read_bytes()[:-9])
    for path, damage in zip(named[1:3], (lambda p: os.truncate(p, 5), os.unlink), strict=True):
        (file, *_) = json.loads(path.read_bytes())[0]
        damage(work / file)
    (work / "exchange" / "unfinished.arrow").write_bytes(b"ARROW1")
    (work / "parts" / "unfinished").write_bytes(b"PAR1")
    (work / "journal" / f"{entries[0].name}.attempt").write_bytes(b"")
    assert go_on(inputs, tmp_path, whole) == len(entries) - 3


def test_stopped_when_all_was_built(inputs: list[str], whole: Version, tmp_path: Path):
    stop(inputs, tmp_path, signal.SIGKILL, 40)
    (work,) = tmp_path.glob(".work/*/")
    # As of a build that was sealing: its exchange is being removed.
    (work / "exchange").rename(work / "exchange.gone")
    (work / "exchange").mkdir()
    go_on(inputs, tmp_path, whole)


def test_what_was_stopped_was_another_build(inputs: list[str], tmp_path: Path):
    stop(inputs, tmp_path, signal.SIGKILL, 5)
    built = run_build(*inputs, "--format", "parquet", "--output", tmp_path)
    assert built.returncode == 0, built.stderr
    assert "going on" not in built.stdout
    assert not (tmp_path / ".work").exists()
    latest_version(tmp_path).assert_whole()


def test_from_the_beginning_if_wanted(inputs: list[str], tmp_path: Path):
    stop(inputs, tmp_path, signal.SIGKILL, 5)
    built = run_build(*inputs, "--rebuild", "--output", tmp_path)
    assert built.returncode == 0, built.stderr
    assert "going on" not in built.stdout
