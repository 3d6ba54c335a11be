"""Many downloads at once, which an interrupt ends at once."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from open_images.downloading.client import StoppedError

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
