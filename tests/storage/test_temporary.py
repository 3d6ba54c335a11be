"""Temporary files of a program go with it, and those of killed ones by the next."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from transforms.storage.temporary import program_folder

PROGRAM = """
import os, signal, subprocess, tempfile
from transforms.storage.temporary import program_folder
with program_folder():
    tempfile.mkdtemp(prefix="of a library")
    subprocess.run(["mktemp"], check=True)
    {}
"""


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def run(ending: str) -> int:
    program = PROGRAM.format(ending)
    return subprocess.run([sys.executable, "-c", program], capture_output=True).returncode


def test_nothing_stays(system: Path):
    assert run("pass") == 0
    assert run("raise SystemExit(3)") == 3
    assert list(system.iterdir()) == []


def test_the_next_clears_what_a_killed_one_left(system: Path):
    (system / "open-images-run-other").write_text("a file")
    (system / "open-images-run-link").symlink_to(system)
    others = set(system.iterdir())
    assert run("os.kill(os.getpid(), signal.SIGKILL)") == -signal.SIGKILL
    (left,) = set(system.iterdir()) - others
    assert len(list(left.iterdir())) == 2
    with program_folder() as folder:
        assert set(system.iterdir()) == {*others, Path(folder)}
        assert tempfile.gettempdir() == folder == os.environ["TMPDIR"]
        assert run("pass") == 0  # which leaves one alone whose process lives
        assert os.path.isdir(folder)
    assert set(system.iterdir()) == others
    assert (tempfile.gettempdir(), os.environ["TMPDIR"]) == (str(system), str(system))


def test_those_of_another_user_are_left_alone(system: Path):
    if os.geteuid():
        pytest.skip("only root can make another's folder")
    other = system / "open-images-run-another"
    other.mkdir(mode=0o777)
    os.chown(other, 65534, 65534)
    assert run("pass") == 0
    assert other.is_dir()
