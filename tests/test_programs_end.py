"""What a build says where stdout can't be written, and what limits it is given."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builds import COMMAND, latest_version, run_build


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A table with one row: a build takes its time to start."""
    table = tmp_path_factory.mktemp("inputs") / "train-annotations-human-imagelabels.csv"
    table.write_text(f"ImageID,Source,LabelName,Confidence\n{'0' * 16},verification,/m/01,1\n")
    return ["--annotations", str(table), "--images", "none", "--num_workers", "1"]


def run(inputs: list[str], output: Path, **options: object) -> subprocess.CompletedProcess:
    command = [*COMMAND, *inputs, "--output", str(output)]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, **options)


def close_stdout() -> None:
    os.close(1)


def test_a_report_that_cannot_be_printed(inputs: list[str], tmp_path: Path):
    said = "python -m pipelines.build: {}; the report can't be printed to stdout: {}\n"
    with open("/dev/full", "w") as full:
        built = run(inputs, tmp_path, stdout=full)
    published = f"published {latest_version(tmp_path).folder}"
    assert (built.returncode, built.stderr) == (
        0,
        said.format(published, "No space left on device"),
    )

    built = run([*inputs, "--report", "json"], tmp_path, preexec_fn=close_stdout)
    unchanged = f"unchanged: {latest_version(tmp_path).folder}"
    assert (built.returncode, built.stderr) == (0, said.format(unchanged, "Bad file descriptor"))

    read, written = os.pipe()
    os.close(read)
    built = run([*inputs, "--rebuild"], tmp_path, stdout=written)
    os.close(written)
    published = f"published {latest_version(tmp_path).folder}"
    assert (built.returncode, built.stderr) == (0, said.format(published, "Broken pipe"))
    latest_version(tmp_path).assert_whole()


def close_all() -> None:
    for descriptor in range(3):
        os.close(descriptor)


def test_what_programs_have_done_is_done_whatever_becomes_of_stdout(
    inputs: list[str], tmp_path: Path
):
    assert run(inputs, tmp_path, stdout=subprocess.DEVNULL).returncode == 0
    first = latest_version(tmp_path).folder.name
    assert run([*inputs, "--rebuild"], tmp_path, stdout=subprocess.DEVNULL).returncode == 0
    program = [sys.executable, "-m", "pipelines.versions", str(tmp_path)]

    def call(*arguments: str, **options: object) -> tuple[int, str]:
        done = subprocess.run(
            [*program, *arguments], stderr=subprocess.PIPE, text=True, check=False, **options
        )
        return done.returncode, done.stderr.removeprefix("python -m pipelines.versions: ")

    not_said = "; the report can't be printed to stdout: {}\n"
    full_disk = not_said.format("No space left on device")
    with open("/dev/full", "w") as full:
        assert call("rollback", first, stdout=full) == (0, f"{first} is the latest now{full_disk}")
        assert call("list", stdout=full) == (1, "error: stdout: No space left on device\n")
    assert call("list", preexec_fn=close_stdout) == (1, "error: stdout: Bad file descriptor\n")
    assert call("list", preexec_fn=close_all) == (1, "")
    read, written = os.pipe()
    os.close(read)
    code, said = call("gc", "--keep", "0", stdout=written)
    os.close(written)
    assert (code, said.endswith(not_said.format("Broken pipe")), said.count("\n")) == (0, True, 1)
    assert [path.name for path in (tmp_path / "versions").iterdir()] == [first]

    program[2:] = ["pipelines.verify", str(tmp_path)]
    assert call("--num_workers", "2", preexec_fn=limit(20, 2048)) == (0, "")


def test_what_is_said_in_another_encoding(inputs: list[str], tmp_path: Path):
    output = tmp_path / "äö"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    built = run(inputs, output, env=environment, stdout=subprocess.PIPE)
    assert (built.returncode, built.stderr) == (0, "")
    assert f"published {tmp_path}/\\xe4\\xf6/versions/" in built.stdout


def test_an_error_stream_that_is_full(inputs: list[str], tmp_path: Path):
    command = [*COMMAND, *inputs, "--output", str(tmp_path), "--report", "json"]
    with open("/dev/full", "w") as full:
        built = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, text=True)
    assert (built.returncode, json.loads(built.stdout)["outcome"]) == (0, "published")


def test_a_failure_without_a_report(inputs: list[str], tmp_path: Path):
    (tmp_path / "foreign").touch()
    built = run(inputs, tmp_path, preexec_fn=close_stdout)
    assert built.returncode == 2
    assert "holds other files" in built.stderr


def limit(soft: int, hard: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_limit_of_open_files(make_corpus: Callable[[str, int], Path], tmp_path: Path):
    corpus = make_corpus("v7", 60)
    flags = [text for part in ("annotations", "images") for text in (f"--{part}", corpus / part)]
    flags = [*map(str, flags), "--masks", str(corpus / "masks"), "--num_workers", "1"]
    raised = run(flags, tmp_path, preexec_fn=limit(24, 2048), stdout=subprocess.DEVNULL)
    assert (raised.returncode, raised.stderr) == (0, "")

    told = run([*flags, "--rebuild"], tmp_path, preexec_fn=limit(24, 24), stdout=subprocess.DEVNULL)
    assert told.returncode == 1
    first, *_, last = told.stderr.splitlines()
    assert "only 24 files may be open at once" in first
    assert "error: raise the limit of files that may be open at once (ulimit -Hn)" in last


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (("--num_workers", "100000"), "for a machine of"),
        (("--num_workers", "100000", "--runner", "prism"), "for a machine of"),
        (("--num_workers", "100000", "--runner", "flink"), "for a machine of"),
        (("--num_workers", "100000", "--runner", "flink", "--flink_master=a:1"), "for a cluster"),
        (("--num_workers", "9" * 30, "--runner", "dataflow"), "for a cluster"),
    ],
)
def test_too_many_workers(inputs: list[str], tmp_path: Path, flags: tuple[str, ...], code: str):
    built = run_build(*inputs, *flags, "--output", tmp_path / "out")
    assert (built.returncode, built.stdout) == (2, "")
    (line,) = built.stderr.splitlines()
    assert "--num_workers" in line
    assert code in line
    assert not (tmp_path / "out").exists()
