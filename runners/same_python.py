"""Starts Python again, so that it imports what this process does, wherever that was found.

A script or a notebook may have put the project on its path by itself, and lie beside a folder that
happens to be called `runners`.
"""

import os
import sys


def module_command(module: str, *arguments: str) -> list[str]:
    """Returns the command that runs a module, without the current folder on its path."""
    return [sys.executable, "-P", "-m", module, *arguments]


def import_path() -> dict[str, str]:
    """Returns the environment variable that has another Python import from where this one does."""
    return {"PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path)}
