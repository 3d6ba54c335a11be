"""Counts what the threads of a download have done, and tells an observer."""

import dataclasses
import threading

from open_images.progress import Observer, Progress
from transforms.redaction import redact


class Meter:
    """How far a download is; any thread may count.

    Args:
        observer: is told of it.
        label: what is done.
        total: how much there is to do; it may grow.
        unit: `B`, or what is counted.
    """

    def __init__(self, observer: Observer, label: str, total: int, unit: str) -> None:
        self._observer = observer
        self._progress = Progress(label, 0, total, unit)
        self._lock = threading.Lock()
        observer.show(self._progress)

    def add(self, done: int) -> None:
        """Counts; less than nothing where work has to be done again."""
        self._change(done, 0)

    def expect(self, more: int) -> None:
        """Raises the total by what turns out to be to do."""
        self._change(0, more)

    def say(self, line: str) -> None:
        """Shows a line."""
        self._observer.say(redact(line))

    def _change(self, done: int, more: int) -> None:
        with self._lock:
            before = self._progress
            total = (before.total or 0) + more
            self._progress = dataclasses.replace(before, done=before.done + done, total=total)
            progress = self._progress
        self._observer.show(progress)
