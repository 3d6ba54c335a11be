"""Progress of builds and downloads, and the observers that receive it."""

import dataclasses
import logging
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far some work is.

    Attributes:
        label: the phase, such as `building`.
        done: amount of work done, in units; 0 where it isn't known.
        total: amount of work in all; None where it isn't known.
        unit: `B` for bytes, or a noun such as `images`.
        failed: units that failed; None where none can fail.
        stages: how many stages of a job on a cluster are done, as a text; or empty.
    """

    label: str
    done: float = 0
    total: float | None = None
    unit: str = "B"
    failed: int | None = None
    stages: str = ""


class Observer:
    """Receives messages and progress; this one ignores them. Calls come from several threads."""

    def log(self, line: str) -> None:
        """Shows a message, which holds no secrets of URLs."""

    def show(self, progress: Progress) -> None:
        """Shows how far it is."""

    def report(self, line: str) -> None:
        """Shows a line of the result."""


class Listener(Observer):
    """Logs messages, keeps the lines of the result, and calls a function with the progress.

    Args:
        logger: for messages.
        progress: the function; None for none.

    Attributes:
        reports: the lines of the result.
    """

    def __init__(self, logger: logging.Logger, progress: Callable[[Progress], None] | None) -> None:
        self.reports: list[str] = []
        self._logger = logger
        self._progress = progress

    def log(self, line: str) -> None:
        self._logger.info("%s", line)

    def show(self, progress: Progress) -> None:
        if self._progress:
            self._progress(progress)

    def report(self, line: str) -> None:
        self.reports.append(line)
