"""How far a build or a download is, and who hears of it."""

import dataclasses
import logging
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far some work is.

    Attributes:
        label: what is done.
        done: how much of it; 0 where nobody can tell.
        total: how much there is to do; None where that isn't known.
        unit: `B`, or what is counted, such as `images`.
        failed: how many of these failed; None where none can.
        stages: how many stages of a job on a cluster are done, as a text; or empty.
    """

    label: str
    done: float = 0
    total: float | None = None
    unit: str = "B"
    failed: int | None = None
    stages: str = ""


class Observer:
    """Hears of work while it goes on; this one ignores it. Calls come from several threads."""

    def say(self, line: str) -> None:
        """Shows a line of what happens, without the secrets of URLs in it."""

    def show(self, progress: Progress) -> None:
        """Shows how far it is."""

    def report(self, line: str) -> None:
        """Shows a line of the result."""


class Listener(Observer):
    """Logs what happens, keeps the lines of the result, and calls a function with how far it is.

    Args:
        logger: of the lines.
        progress: the function; None for none.
    """

    def __init__(self, logger: logging.Logger, progress: Callable[[Progress], None] | None) -> None:
        self.reports: list[str] = []
        self._logger = logger
        self._progress = progress

    def say(self, line: str) -> None:
        self._logger.info("%s", line)

    def show(self, progress: Progress) -> None:
        if self._progress:
            self._progress(progress)

    def report(self, line: str) -> None:
        self.reports.append(line)
