"""Who holds an output: the one build that may publish there, known by a token.

The driver takes the lease (see `exclusive`); whoever commits, on whatever machine, looks
whether its build has it still.
"""

import datetime
import json
import os
import socket
import uuid
from typing import NamedTuple, Self

from transforms.config import BuildConfig
from transforms.storage import files, private
from transforms.storage.objects import AbsentError, is_remote
from transforms.storage.stores import ObjectOptions

#: A lease is shorter.
MAX_BYTES = 4096
_LONGEST = 300


class LostLeaseError(Exception):
    """Another build has taken over the output; the message is one line."""


class Holder(NamedTuple):
    """A build that holds an output.

    Attributes:
        token: its own, and of no other build.
        host: the machine of its driver.
        pid: the driver's process there.
        since: when it took the lease, in UTC by that machine's clock.
    """

    token: str
    host: str
    pid: int
    since: str

    @classmethod
    def this_process(cls) -> Self:
        """A new one."""
        now = datetime.datetime.now(datetime.UTC)
        return cls(uuid.uuid4().hex, socket.gethostname(), os.getpid(), f"{now:%F %T} UTC")

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """What `encode` made; None where it is torn, or something else.

        It may be another user's: what is printed of it is as short and plain as ours.
        """
        try:
            holder = cls(**json.loads(data))
            texts = (holder.token, holder.host, holder.since)
            is_plain = all(text.isprintable() and len(text) < _LONGEST for text in texts)
        except (ValueError, TypeError, AttributeError, RecursionError):
            return None
        return holder if is_plain and type(holder.pid) is int else None

    def encode(self) -> bytes:
        """The content of the lease."""
        return (json.dumps(self._asdict()) + "\n").encode()

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


def lease_path(output: str) -> str:
    """The lease on an output."""
    return os.path.join(output, ".work", "lease")


def holder_of(output: str, options: ObjectOptions) -> Holder | None:
    """Who holds an output; None where nobody does.

    Raises:
        StorageError: the object store can't be read.
    """
    path = lease_path(output)
    try:
        if is_remote(path):
            return Holder.decode(files.read_file(path, options))
        with open(private.open_file(path, os.O_RDONLY), "rb") as file:
            return Holder.decode(file.read(MAX_BYTES))
    except (FileNotFoundError, AbsentError):
        return None


def check(config: BuildConfig) -> None:
    """Makes sure that a build has its lease still; where it needs none, that is always so.

    Raises:
        LostLeaseError: it hasn't.
        StorageError: the object store can't be read.
    """
    if config.lease is None:
        return
    now = holder_of(config.output, config.object_options)
    if now is None or now.token != config.lease:
        raise LostLeaseError(lost(config.output, now))


def lost(output: str, now: Holder | None) -> str:
    """What is said of a lease that was lost: to another build, or one cannot tell how."""
    if now is None:
        return (
            "the work folder is gone: it was deleted, or another build, which has ended since, "
            f"has taken over {output}"
        )
    return (
        f"this build gave no sign of life for too long, and another one ({now}) has taken over "
        f"{output}"
    )
