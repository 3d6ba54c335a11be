"""Stamps of files: what changes when one is written, its size, times and inode."""

import io
import os
from typing import Self

import xxhash

from transforms.storage.regular import open_regular


class ChangedError(Exception):
    """An input isn't what it was when the work was planned; the message is one line.

    Not an OSError, which readers of archives take for damage of the archive.
    """

    @classmethod
    def of(cls, path: str) -> Self:
        """Returns the error for an input."""
        remedy = "start again once nothing writes to it any more"
        return cls(f"{path} changed while it was read: {remedy}")


def stamp_of(status: os.stat_result) -> str:
    """Returns what changes when a file is written or replaced.

    The time of change of the inode can't be set back, as that of its content can.
    """
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def number_of(stamp: str) -> int:
    """Returns a stamp as 63 bits, to travel with each of millions of files."""
    return xxhash.xxh3_64_intdigest(stamp.encode()) >> 1


def check_descriptor(descriptor: int, path: str, number: int) -> None:
    """Checks that an open file is still the one that was planned.

    Args:
        descriptor: of the open file. If another file has taken its place, its time of change tells.
        path: for the message.
        number: `number_of` its stamp.

    Raises:
        ChangedError: It isn't.
    """
    if number_of(stamp_of(os.fstat(descriptor))) != number:
        raise ChangedError.of(path)


class PlannedFile(io.FileIO):
    """A regular file whose stamp is checked when it is opened and closed.

    Opening and closing raise ChangedError.
    """

    def __init__(self, path: str, stamp: str) -> None:
        """Opens the file that had this stamp."""
        self._number = number_of(stamp)
        try:
            super().__init__(path, "rb", opener=open_regular)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise ChangedError.of(path) from None
        try:
            self._check()
        except ChangedError:
            super().close()
            raise

    def close(self) -> None:
        try:
            if not self.closed:
                self._check()
        finally:
            super().close()

    def _check(self) -> None:
        check_descriptor(self.fileno(), str(self.name), self._number)
