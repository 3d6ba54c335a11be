"""Local files that go to the disk while others are written.

Else they would stay in memory until it is full of them, or until `fsync`, which then takes as long
as the disk needs for all of them, while nothing else is done.
"""

import io
import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from transforms.storage.objects import is_remote

_BYTES = 8 << 20


class EagerFile(io.FileIO):
    """A file to write whose bytes are on their way to the disk soon after they were written."""

    def __init__(self, path: str) -> None:
        """Opens the file, replacing any that is there."""
        super().__init__(path, "wb")
        self._written = self._started = 0

    def write(self, data: Any, /) -> int:
        """Writes bytes; how many of them."""
        view = memoryview(data).cast("B")
        written = 0
        while written < len(view):  # a disk that gets full takes some of it before it complains
            written += super().write(view[written:])
        self._written += written
        if self._written - self._started >= _BYTES:
            self._start()
        return written

    def close(self) -> None:
        if not self.closed:
            self._start()
        super().close()

    def _start(self) -> None:
        if hasattr(os, "posix_fadvise"):  # Linux and the BSDs
            # Linux starts writing out what is said not to be needed, and keeps it meanwhile.
            size = self._written - self._started
            os.posix_fadvise(self.fileno(), self._started, size, os.POSIX_FADV_DONTNEED)
        self._started = self._written


class Syncing:
    """Makes finished files last, in a thread.

    The thread starts when it is needed, and doesn't survive a fork.
    """

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._under_way: list[Future[None]] = []

    def start(self, path: str) -> None:
        """Begins with a file, unless it is in an object store, where all that is there lasts."""
        if is_remote(path):
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "syncing")
        self._under_way.append(self._thread.submit(_sync, path))

    def wait(self) -> None:
        """Waits until all files last.

        Raises:
            OSError: The disk failed.
        """
        while self._under_way:
            self._under_way.pop().result()

    def close(self) -> None:
        """Ends the thread; it may be used again."""
        if self._thread:
            self._thread.shutdown(cancel_futures=True)
            self._thread = None


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
