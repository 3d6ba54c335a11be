"""Steps say when they begin, go on and end."""

import re
import sys

import pytest

from tools import step


def run(capfd: pytest.CaptureFixture[str], program: str, every: float = 30) -> tuple[int, str]:
    code = step.run("Prism", [sys.executable, "-c", program], every)
    return code, re.sub(r"\d+ s", "N s", capfd.readouterr().out)


def test_a_step_that_succeeds(capfd: pytest.CaptureFixture[str]):
    program = "import sys; print('go 1.26, /usr/bin/go'); print('a warning', file=sys.stderr)"
    code, said = run(capfd, program)
    assert code == 0
    assert [line.strip() for line in said.splitlines()] == [
        "Prism: begins",
        "Prism: done in N s",
        "Prism: go 1.26, /usr/bin/go",
    ]


def test_a_step_that_fails(capfd: pytest.CaptureFixture[str]):
    code, said = run(capfd, "import sys; print('one', flush=True); sys.exit('no space left')")
    lines = [line.strip() for line in said.splitlines()]
    assert code == 1
    assert lines[:3] == ["Prism: begins", "Prism: one", "Prism: no space left"]
    assert lines[3].startswith(f"Prism: FAILED after N s (exit code 1): {sys.executable} -c")


def test_a_long_step_is_not_silent(capfd: pytest.CaptureFixture[str]):
    _, said = run(capfd, "import time; time.sleep(1)", every=0.1)
    assert said.count("N s so far") >= 2


def test_a_program_that_is_not_there(capfd: pytest.CaptureFixture[str]):
    assert step.run("Go", ["/nowhere/go", "install"]) == 127
    assert (
        "Go: FAILED: [Errno 2] No such file or directory: '/nowhere/go'" in capfd.readouterr().out
    )
