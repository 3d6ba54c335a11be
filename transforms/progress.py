"""Progress of a build: counters of its workers in a folder, which the waiting program adds up.

Each process keeps a small file of its own, which it touches every few seconds as long as it lives.
A retried bundle counts twice: this is for people to watch, not for the manifest.
"""

import collections
import contextlib
import functools
import os
import socket
import struct
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from transforms.storage import private


class WorkFolderError(Exception):
    """This machine doesn't see the work folder, or may not use it; the message is one line with the
    remedy."""


class Counters(NamedTuple):
    """Work that is done."""

    bytes_read: int = 0
    image_rows: int = 0
    buckets: int = 0
    images: int = 0
    failed: int = 0


_LAYOUT = struct.Struct(f"<{len(Counters._fields)}q")
_SIGN_SECONDS = 5
_lock = threading.Lock()
_recording = threading.local()


class _CounterFile:
    """The counters of this process, in a file of a folder, whose parent must exist.

    Raises:
        WorkFolderError: It doesn't, or this user may not write there.
    """

    def __init__(self, folder: str) -> None:
        try:
            os.mkdir(folder)
        except FileExistsError:
            pass
        except FileNotFoundError:
            raise WorkFolderError(
                f"the work folder {os.path.dirname(folder)} isn't seen by a worker on "
                f"{socket.gethostname()}: name an --output, or for one in an object store a "
                "--work_folder, on a file system that all machines have at the same path, or use "
                "an object store and --exchange engine"
            ) from None
        except PermissionError:
            raise WorkFolderError(
                f"the work folder {os.path.dirname(folder)} is closed to "
                f"{private.owner(os.geteuid())}, as whom a worker on {socket.gethostname()} runs: "
                "let workers run as the user who builds, or share a group with a umask of 002"
            ) from None
        self.counters = Counters()
        self.descriptor = os.open(os.path.join(folder, uuid.uuid4().hex), os.O_WRONLY | os.O_CREAT)
        threading.Thread(target=self._sign, daemon=True).start()

    def _sign(self) -> None:
        """Touches the file until it is removed."""
        while os.fstat(self.descriptor).st_nlink:
            os.utime(self.descriptor)
            time.sleep(_SIGN_SECONDS)


@functools.cache
def _own_file(folder: str) -> _CounterFile:
    return _CounterFile(folder)


def sign_on(folder: str | None) -> None:
    """Has this process touch its file in a folder from now on; does nothing without a folder."""
    if folder is not None:
        with _lock:
            _own_file(folder)


def last_sign(folder: str | None) -> int | None:
    """Returns when a process touched its file last; 0 if there is none, None without a folder.

    Returns:
        Nanoseconds by the clock of the folder's file system.

    Raises:
        FileNotFoundError: The folder is gone.
    """
    if folder is None:
        return None
    with os.scandir(folder) as entries:
        return max((entry.stat().st_mtime_ns for entry in entries), default=0)


def add(folder: str | None, **amounts: int) -> None:
    """Adds to this process's counters; does nothing without a folder."""
    if folder is None:
        return
    if hasattr(_recording, "counted"):
        _recording.counted.update(amounts)
    with _lock:
        file = _own_file(folder)
        changed = {name: getattr(file.counters, name) + amount for name, amount in amounts.items()}
        file.counters = file.counters._replace(**changed)
        os.pwrite(file.descriptor, _LAYOUT.pack(*file.counters), 0)


@contextlib.contextmanager
def recorded() -> Iterator[collections.Counter[str]]:
    """Returns a counter of what this thread adds within the context."""
    _recording.counted = collections.Counter()
    try:
        yield _recording.counted
    finally:
        del _recording.counted


def total(folder: str | None) -> Counters:
    """Returns the sum over all processes."""
    if folder is None:
        return Counters()
    counters = []
    for path in Path(folder).glob("*"):
        # The work folder may vanish, and a file may still be empty.
        with contextlib.suppress(FileNotFoundError, struct.error):
            counters.append(_LAYOUT.unpack(path.read_bytes()))
    return Counters(*(sum(column) for column in zip(*counters, strict=True)))
