"""Python environments beside the project's own, whose libraries they see but not the project."""

import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from tests.emulators import made_once

#: Google's libraries: in the project's own environment they would cost each worker half a second.
_GOOGLE = ("apache-beam[gcp]>=2.77,<2.78", "build>=1.2,<2", "setuptools>=69")


def make_environment(folder: Path, *above: Path) -> Path:
    """Makes an environment that also sees the libraries of others.

    A path in a `.pth` file brings packages, but not what their own `.pth` files name: the project
    itself, which is installed as editable, stays out.

    Args:
        folder: is made.
        above: folders of libraries; the running Python's come last.

    Returns:
        Its Python.
    """
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True)
    libraries = sysconfig.get_path("purelib", vars={"base": str(folder)})
    lines = [*map(str, above), sysconfig.get_path("purelib")]
    (Path(libraries) / "above.pth").write_text("\n".join(lines) + "\n")
    return folder / "bin" / "python"


def google() -> Path:
    """The Python of an environment with Google's libraries; made once, in a minute."""

    def make(folder: Path, requirements: Sequence[str]) -> None:
        install(make_environment(folder), requirements)

    return made_once("google", _GOOGLE, make) / "python"


def libraries_of(python: Path) -> Path:
    """Where an environment has its own libraries."""
    return Path(sysconfig.get_path("purelib", vars={"base": str(python.parents[1])}))


def install(python: Path, arguments: Sequence[str]) -> None:
    """Runs `pip install` in an environment."""
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *arguments], check=True)
