"""Local files that go to the disk while others are written.

Else they would stay in memory until it is full of them, or until `fsync`, which then takes as long
as the disk needs for all of them, while nothing else is done.
"""

import io
import os
from typing import Any

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
