"""Environments of other libraries, which benchmarks run programs in."""

import argparse
import functools
import glob
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence

#: What `make loaders` makes.
_LOADERS = ".venv-loaders/*/bin/python"


def add_environments(parser: argparse.ArgumentParser, packages: Iterable[str]) -> None:
    """Adds `--environments`, the interpreters of environments that have some packages."""
    parser.add_argument(
        "--environments",
        type=_interpreters,
        default=[sys.executable, *sorted(glob.glob(_LOADERS))],
        metavar="PYTHONS",
        help="interpreters, with commas between, of environments that have some of "
        f"{', '.join(packages)}; what none has is left out. Default: this one and those of `make "
        "loaders`",
    )


def _interpreters(text: str) -> list[str]:
    for python in text.split(","):
        if shutil.which(python) is None:
            raise argparse.ArgumentTypeError(
                f"{python!r} is no program: name a virtual environment's bin/python"
            )
    return text.split(",")


def find_environment(pythons: Iterable[str], packages: Sequence[str]) -> str | None:
    """Returns the first interpreter that has all packages, if any has."""
    return next((each for each in pythons if _has(each, tuple(packages))), None)


@functools.cache
def _has(python: str, packages: tuple[str, ...]) -> bool:
    code = (
        "import importlib.util, sys\n"
        "sys.exit(not all(importlib.util.find_spec(each) for each in sys.argv[1:]))"
    )
    return not subprocess.run([python, "-c", code, *packages], check=False).returncode
