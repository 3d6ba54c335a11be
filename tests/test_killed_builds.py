"""Builds that are killed or stopped: readers see a whole version, and the next build clears up."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.builds import (
    COMMAND,
    Build,
    latest_version,
    members_of_session,
    run_build,
    survivors,
)

IMAGES = 60
KILLS = 10
WORKERS = 2
#: Seconds that a build may take to end once it was told to.
PATIENCE = 10.0


@pytest.fixture(scope="module")
def inputs(make_corpus: Callable[[str, int], Path]) -> list[str]:
    """The flags of a build that takes most of its time for work, and not to start."""
    corpus = make_corpus("v7", IMAGES)
    parts = ("annotations", "images", "masks")
    flags = [text for part in parts for text in (f"--{part}", str(corpus / part))]
    return [*flags, "--format", "parquet", "--rebuild"]


@pytest.fixture(scope="module")
def published(inputs: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """An output folder with a version in it, and the seconds that a build has a work folder."""
    output = tmp_path_factory.mktemp("output")
    with running_build(inputs, output) as process:
        wait_for(output, "*.lock", process)
        started = time.monotonic()
        _, stderr = process.communicate()
        assert process.returncode == 0, stderr
    return output, time.monotonic() - started


@contextlib.contextmanager
def running_build(inputs: list[str], output: Path) -> Iterator[subprocess.Popen]:
    """A build in a session of its own, none of whose processes outlives the test."""
    flags = ["--output", str(output), "--num_workers", str(WORKERS)]
    process = subprocess.Popen(
        [*COMMAND, *inputs, *flags],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for pid in members_of_session(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.stderr.close()
        process.wait()


def wait_for(output: Path, file: str, process: subprocess.Popen) -> None:
    """Waits until a build has a file like this in its work folder."""
    old = {*(output / ".work").glob(file)}  # of a build that was killed
    while not {*(output / ".work").glob(file)} - old:
        assert process.poll() is None, "the build was over before it could be stopped"
        time.sleep(0.01)


def test_killed_at_any_moment(inputs: list[str], published: tuple[Path, float]):
    output, duration = published
    versions = {latest_version(output).folder}
    moments = random.Random(7)
    with_leftovers = 0
    for i in range(KILLS):
        # One moment in each of equal parts of a build, from its first file on.
        moment = duration * (i + moments.random()) / KILLS
        with running_build(inputs, output) as process:
            wait_for(output, "*.lock", process)
            started = time.monotonic()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(moment)
                # It was over before: the machine is less busy than when a build was timed.
                duration = min(duration, time.monotonic() - started)
            process.kill()
            assert survivors(process.pid) == set()
        version = latest_version(output)
        version.assert_whole()
        versions.add(version.folder)
        assert len(version.table) == IMAGES
        with_leftovers += (output / ".work").exists()
    assert with_leftovers >= KILLS // 2, "the kills came too late to show anything"
    built = run_build(*inputs, "--output", output)
    assert (built.returncode, built.stderr) == (0, "")
    built.version.assert_whole()
    assert built.version.folder not in versions
    assert sorted(path.name for path in output.iterdir()) == ["README.md", "latest", "versions"]
    assert {*(output / "versions").iterdir()} >= versions


def stop(inputs: list[str], output: Path, number: int, file: str) -> Build:
    """Sends a signal to a build once a file like this is in its work folder."""
    with running_build(inputs, output) as process:
        wait_for(output, file, process)
        process.send_signal(number)
        stderr = process.stderr.read()
        code = process.wait(PATIENCE)
        assert survivors(process.pid) == set()
    return Build(code, "", stderr, output)


@pytest.mark.parametrize(
    ("number", "file"),
    [
        pytest.param(signal.SIGTERM, "*.lock", id="terminated at its start"),
        pytest.param(signal.SIGTERM, "*/parts/*", id="terminated while it writes"),
        pytest.param(signal.SIGINT, "*/exchange/*", id="interrupted while it reads"),
    ],
)
def test_stopped(inputs: list[str], published: tuple[Path, float], number: int, file: str):
    output, _ = published
    before = latest_version(output).folder
    assert not (output / ".work").exists()
    built = stop(inputs, output, number, file)
    assert built.returncode == 1
    assert built.stderr.splitlines()[-1].endswith("error: interrupted: nothing was published")
    assert "Traceback" not in built.stderr
    assert not (output / ".work").exists()
    assert latest_version(output).folder == before
    latest_version(output).assert_whole()


def test_killed_and_then_unchanged(
    inputs: list[str],
    published: tuple[Path, float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """The next build clears up even if it has nothing to build."""
    output, _ = published
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with running_build(inputs, output) as process:
        wait_for(output, "*/exchange/*", process)
        process.kill()
        assert survivors(process.pid) == set()
    assert (output / ".work").exists()
    assert [*tmp_path.iterdir()]
    flags = [flag for flag in inputs if flag != "--rebuild"]
    again = subprocess.run(
        [*COMMAND, *flags, "--output", str(output)], capture_output=True, text=True, check=False
    )
    assert (again.returncode, again.stderr) == (0, "")
    assert "unchanged" in again.stdout
    assert not (output / ".work").exists()
    assert not [*tmp_path.iterdir()]


def test_a_killed_worker_of_another_program(tmp_path: Path):
    command = [sys.executable, "-m", "pipelines.synthesize", "--output", str(tmp_path / "corpus")]
    process = subprocess.Popen(
        [*command, "--images", "200", "--num_workers", "2"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    workers: set[int] = set()
    while not workers:
        assert process.poll() is None
        members = members_of_session(process.pid)
        workers = {pid for pid in members if "spawn_main" in command_line(pid)}
    os.kill(workers.pop(), signal.SIGKILL)
    _, said = process.communicate()
    assert said == (
        "python -m pipelines.synthesize: error: a process died: is memory short? "
        "Try --num_workers 1\n"
    )
    assert (process.returncode, survivors(process.pid)) == (1, set())


def command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""
