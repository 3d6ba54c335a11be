"""Many downloads at once, which an interrupt ends at once, and how far they are."""

import dataclasses
import threading
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from open_images.downloading.client import StoppedError
from open_images.progress import Observer, Progress
from transforms.redaction import redact

_T = TypeVar("_T")
_JOIN_SECONDS = 2.0


def for_each(
    work: Callable[[_T], None], items: Iterable[_T], num_threads: int, stop: threading.Event
) -> None:
    """Calls `work` with each item, in threads; returns when all are done, or `stop` is set.

    Items are taken as threads get to them, so there may be more than memory holds.

    A thread that waits for a server when `stop` is set is left behind: it ends with the program, as
    threads of an executor wouldn't.

    Raises:
        KeyboardInterrupt: The user wants no more.
        Exception: What `work` or `items` raises, of the first that does; the others stop.
    """
    waiting = iter(items)
    lock = threading.Lock()
    errors: list[BaseException] = []

    def run() -> None:
        while not stop.is_set():
            try:
                with lock:
                    try:
                        item = next(waiting)
                    except StopIteration:
                        return
                work(item)
            except StoppedError:
                return
            except BaseException as error:
                errors.append(error)
                stop.set()

    threads = [threading.Thread(target=run, daemon=True) for _ in range(num_threads)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive() and not stop.is_set():
                thread.join(0.2)
    finally:
        if any(thread.is_alive() for thread in threads):
            stop.set()
            deadline = time.monotonic() + _JOIN_SECONDS
            for thread in threads:
                thread.join(max(deadline - time.monotonic(), 0))
    if errors:
        raise errors[0]


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

    def add(self, done: int, to_do: int = 0) -> None:
        """Counts what was done, negative where it has to be done again, and raises the total."""
        with self._lock:
            before = self._progress
            total = (before.total or 0) + to_do
            progress = dataclasses.replace(before, done=before.done + done, total=total)
            self._progress = progress
        self._observer.show(progress)

    def log(self, line: str) -> None:
        """Shows a line."""
        self._observer.log(redact(line))
