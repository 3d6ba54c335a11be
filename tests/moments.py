"""Doing something at an exact moment of a build that runs in this process."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_watchers: list["Moments"] = []


class Moments:
    """What is opened below a folder, in order; and something that is done before one of these.

    Attributes:
        opened: the paths that were opened.
    """

    def __init__(self, folder: Path, at: int, action: Callable[[], object]) -> None:
        self.opened: list[str] = []
        self._folder = os.path.join(folder, "")
        self._at = at
        self._action = action

    def tell(self, path: str) -> None:
        if path.startswith(self._folder):
            self.opened.append(path)
            if len(self.opened) == self._at + 1:
                self._action()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _watchers and isinstance(arguments[0], str):
        for watcher in list(_watchers):
            watcher.tell(arguments[0])


@contextlib.contextmanager
def watched(
    folder: Path, at: int = -1, action: Callable[[], object] = lambda: None
) -> Iterator[Moments]:
    """Runs an action just before a file below a folder is opened: by the `at`th opening, from 0."""
    moments = Moments(folder, at, action)
    _watchers.append(moments)
    try:
        yield moments
    finally:
        _watchers.remove(moments)


sys.addaudithook(_hook)  # it can't be taken away again
