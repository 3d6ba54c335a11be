"""How far the workers are: counters in the work folder, which whoever waits for the build adds up.

Each process keeps a small file of its own, so nothing is locked. A retried bundle counts twice:
this is for people to watch, not for the manifest.
"""

import os
import struct
import uuid
from pathlib import Path
from typing import NamedTuple


class Counters(NamedTuple):
    """Work done so far."""

    bytes_read: int = 0
    image_rows: int = 0
    buckets: int = 0
    images: int = 0
    failed: int = 0


_LAYOUT = struct.Struct(f"<{len(Counters._fields)}q")
_open: dict[str, "_CounterFile"] = {}


class _CounterFile:
    def __init__(self, folder: str) -> None:
        os.makedirs(folder, exist_ok=True)
        self.counters = Counters()
        self.descriptor = os.open(os.path.join(folder, uuid.uuid4().hex), os.O_WRONLY | os.O_CREAT)


def add(folder: str, **amounts: int) -> None:
    """Adds to this process's counters."""
    file = _open.get(folder)
    if file is None:
        file = _open[folder] = _CounterFile(folder)
    changed = {name: getattr(file.counters, name) + amount for name, amount in amounts.items()}
    file.counters = file.counters._replace(**changed)
    os.pwrite(file.descriptor, _LAYOUT.pack(*file.counters), 0)


def total(folder: str) -> Counters:
    """The sum over all processes."""
    files = [path.read_bytes() for path in Path(folder).glob("*")]
    counters = [_LAYOUT.unpack(data) for data in files if len(data) == _LAYOUT.size]
    return Counters(*(sum(column) for column in zip(*counters, strict=True)))
