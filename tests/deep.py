"""Folders that are nested deeper than Python's limit of recursion."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from transforms.storage import folders

LEVELS = 1200


@contextlib.contextmanager
def dug(top: Path, file: str, name: str = "d") -> Iterator[str]:
    """Makes a deep folder with an empty file at its end, for as long as the context lasts.

    What is left of it is removed, as pytest couldn't.

    Args:
        top: the folder.
        file: the file's name.
        name: of each folder.

    Yields:
        The file's path below the top.
    """
    top.mkdir()
    before = os.open(".", os.O_RDONLY)
    try:
        os.chdir(top)
        for _ in range(LEVELS):
            os.mkdir(name)
            os.chdir(name)
        Path(file).touch()
    finally:
        os.fchdir(before)
        os.close(before)
    try:
        yield f"{name}/" * LEVELS + file
    finally:
        folders.remove(str(top))
