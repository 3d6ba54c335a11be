"""Python environments beside the project's own, whose libraries they see but not the project."""

import email
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Sequence
from pathlib import Path

from tests.emulators import made_once

#: The libraries of the running Python.
OWN = Path(sysconfig.get_path("purelib"))
#: Google's libraries: in the project's own environment they would cost each worker half a second.
_GOOGLE = ("apache-beam[gcp]>=2.77,<3", "build>=1.2,<2", "setuptools>=69")


def make_environment(folder: Path, *above: Path) -> Path:
    """Makes an environment that also sees the libraries of others.

    A path in a `.pth` file brings packages, but not what their own `.pth` files name: the project
    itself, which is installed as editable, stays out.

    Args:
        folder: is made.
        above: folders of libraries.

    Returns:
        Its Python.
    """
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True)
    libraries = sysconfig.get_path("purelib", vars={"base": str(folder)})
    (Path(libraries) / "above.pth").write_text("".join(f"{path}\n" for path in above))
    return folder / "bin" / "python"


def google() -> Path:
    """The Python of an environment with Google's libraries; made once, in a minute."""

    def make(folder: Path, requirements: Sequence[str]) -> None:
        install(make_environment(folder, OWN), requirements)

    return made_once("google", _GOOGLE, make) / "python"


def installed(sdist: Path, folder: Path) -> Path:
    """The Python of an environment where a package was installed, and nothing beside it.

    What it says it needs is installed into another empty environment, which is made once, in half a
    minute.

    Args:
        sdist: the package.
        folder: is made.
    """

    def make(folder: Path, requirements: Sequence[str]) -> None:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install(folder / "bin" / "python", requirements)

    with tarfile.open(sdist) as archive:
        (name,) = [name for name in archive.getnames() if re.fullmatch("[^/]+/PKG-INFO", name)]
        information = archive.extractfile(name)
        assert information is not None
        needed = email.message_from_bytes(information.read()).get_all("Requires-Dist", [])
    needed = tuple(text for text in needed if "extra ==" not in text)
    pip = made_once("needed", needed, make) / "python"
    python = make_environment(folder, libraries_of(pip))
    # Not --no-deps: it sees for itself that nothing is missing.
    command = [str(pip), "-m", "pip", "--python", str(python), "install", "--quiet", str(sdist)]
    subprocess.run(command, check=True)
    return python


def libraries_of(python: Path) -> Path:
    """Where an environment has its own libraries."""
    return Path(sysconfig.get_path("purelib", vars={"base": str(python.parents[1])}))


def install(python: Path, arguments: Sequence[str]) -> None:
    """Runs `pip install` in an environment."""
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *arguments], check=True)
