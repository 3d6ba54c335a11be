"""One build at a time on an output: a lease, held from a build's first file to its end.

On a file system it is a lock, which goes with its process, on a file whose time of change is a sign
of life: where machines don't see each other's locks, and for a build that is stopped or hangs. In
an object store it is an object that is written only as it was seen, and renewed; its age is told by
the store's clock. A lease that wasn't renewed for too long is taken over. Whoever had it may live
on, but can't publish (`transforms/releases/commit.py`).
"""

import contextlib
import datetime
import fcntl
import json
import os
import signal
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, Self

from transforms.releases import heartbeat, workspace
from transforms.releases.publication import Publication
from transforms.storage import conditional, files, objects, private
from transforms.storage.folders import FOLDER_FLAGS
from transforms.storage.objects import AbsentError, StorageError, is_remote
from transforms.storage.stores import ObjectOptions
from transforms.system.program import Cleanup, undisturbed

RENEWAL_SECONDS = 5.0
#: On a file system; in an object store both are those of `transforms/releases/heartbeat.py`.
EXPIRY_SECONDS = 60.0
_POLL_SECONDS = 1.0
_JOIN_SECONDS = 1.0
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


def check(config: Publication) -> None:
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


class Found(NamedTuple):
    """A lease that another build has.

    Attributes:
        holder: that build; None if its name is being written.
        mark: what changes whenever it is renewed.
        silent: for how many seconds it wasn't.
    """

    holder: Holder | None
    mark: object
    silent: float


class OutputLease(Protocol):
    """How a lease is had on some kind of storage."""

    #: Seconds between two renewals, after which it may be taken over, and for which it must
    #: have been watched by then without a renewal: a clock may have been set.
    renewal: float
    expiry: float
    watched: float

    def take(self) -> Found | None:
        """Takes it, unless another build has it."""

    def look(self) -> Found | None:
        """The lease that is there; None where `take` would have it at once."""

    def oust(self, found: Found) -> None:
        """Ends a lease that has expired, unless it was renewed just now."""

    def renew(self) -> bool:
        """Gives a sign of life; whether the lease is held still."""

    def release(self) -> None:
        """Gives it up."""


def lease_on(output: str, holder: Holder, options: ObjectOptions) -> OutputLease:
    """The lease on an output, for a build that has it or wants it."""
    return (_InStore if is_remote(output) else _InFolder)(output, holder, options.hasty())


class _InFolder:
    """A file that is locked, made by who holds the lease: others may only read it.

    It is removed rather than taken over: so nobody writes to a file that another user has made.
    """

    def __init__(self, output: str, holder: Holder, _: ObjectOptions) -> None:
        self.renewal = RENEWAL_SECONDS
        self.expiry = EXPIRY_SECONDS
        self.watched = 2 * RENEWAL_SECONDS
        self._path = lease_path(output)
        self._folder = os.path.dirname(self._path)
        self._holder = holder
        self._file: int | None = None

    def take(self) -> Found | None:
        private.make_shared_folder(self._folder)
        while True:
            try:
                self._file = self._make()
            except FileExistsError:
                with contextlib.suppress(FileNotFoundError), self._opened() as descriptor:
                    if found := self._look(descriptor):
                        return found
                    self._remove(_mark(descriptor))
            else:
                if self._file is not None:
                    return None

    def _make(self) -> int | None:
        """Makes and locks the file; None where one who looked at it was quicker."""
        descriptor = private.open_file(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._is_there(descriptor):
                os.pwrite(descriptor, self._holder.encode(), 0)
                return descriptor
        except BlockingIOError:
            pass
        os.close(descriptor)
        return None

    def look(self) -> Found | None:
        try:
            with self._opened() as descriptor:
                return self._look(descriptor)
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        descriptor = private.open_file(self._path, os.O_RDONLY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _look(self, descriptor: int) -> Found | None:
        """None where nobody else has the lease, and this process its lock."""
        with tempfile.TemporaryFile(dir=self._folder) as probe:  # by the file system's clock
            now = os.fstat(probe.fileno()).st_mtime
        holder = Holder.decode(os.pread(descriptor, MAX_BYTES, 0))
        # A clock that was set back makes signs of life come from the future.
        silent = abs(now - os.fstat(descriptor).st_mtime)
        found = Found(holder, _mark(descriptor), silent)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return found
        if not self._is_there(descriptor):
            return found  # it was removed before it was locked
        # Another machine's lock may not be seen here.
        return found if holder and holder.host != self._holder.host else None

    def _is_there(self, descriptor: int) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.lstat(self._path), os.fstat(descriptor))
        return False

    def oust(self, found: Found) -> None:
        self._remove(found.mark)

    def _remove(self, mark: object) -> None:
        """Removes the file, unless it has changed.

        Raises:
            ForeignError: It is another user's, and this one may not.
        """
        folder = os.open(self._folder, FOLDER_FLAGS)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)  # of those who would do the same
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(self._path)
                if (status.st_ino, status.st_mtime_ns) == mark:
                    os.unlink(self._path)
        except PermissionError:
            who = private.owner(os.lstat(self._path).st_uid)
            text = f"{self._path} belongs to {who}, and can't be removed"
            raise private.ForeignError(text, self._path) from None
        finally:
            os.close(folder)

    def renew(self) -> bool:
        if self._file is None or not self._is_there(self._file):
            return False
        os.utime(self._file)
        return True

    def release(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                if self._is_there(self._file):
                    os.unlink(self._path)
            os.close(self._file)
        with contextlib.suppress(OSError):
            os.rmdir(self._folder)


def _mark(descriptor: int) -> tuple[int, int]:
    """Returns inode and time of change, which differ once a lease is renewed or replaced."""
    status = os.fstat(descriptor)
    return status.st_ino, status.st_mtime_ns


class _InStore:
    """An object that nobody writes but as it was seen."""

    watched = 0.0  # nor over one that was renewed just now

    def __init__(self, output: str, holder: Holder, options: ObjectOptions) -> None:
        self.renewal = heartbeat.RENEWAL_SECONDS
        self.expiry = heartbeat.EXPIRY_SECONDS
        self._output = objects.normal(output)
        self._path = lease_path(self._output)
        self._holder = holder
        self._options = options
        self._renewals = 0

    def take(self) -> Found | None:
        found = self.look()
        if found is None:
            return None if self._write(None) else Found(None, None, 0)
        is_own = found.holder and found.holder.token == self._holder.token
        return None if is_own else found

    def look(self) -> Found | None:
        found = conditional.read(self._path, self._options)
        if found is None:
            return None
        holder, mark = Holder.decode(found[0]), found[1]
        return Found(holder, mark, heartbeat.time_in(self._output, self._options) - mark.modified)

    def oust(self, found: Found) -> None:
        assert isinstance(found.mark, conditional.Mark)
        self._write(found.mark)

    def _write(self, seen: conditional.Mark | None) -> bool:
        """Another content each time, since a store may know objects by content alone."""
        self._renewals += 1
        data = self._holder.encode() + b"\n" * self._renewals
        return conditional.write(self._path, data, seen, self._options)

    def _own(self) -> conditional.Mark | None:
        found = conditional.read(self._path, self._options)
        holder = Holder.decode(found[0]) if found else None
        return found[1] if found and holder and holder.token == self._holder.token else None

    def renew(self) -> bool:
        own = self._own()
        if own is not None and not self._write(own):
            own = self._own()  # if but the answer was lost, it is so still
        return own is not None

    def release(self) -> None:
        # One that can't be given up is taken over in time.
        with contextlib.suppress(StorageError):
            if self._own() is not None:
                files.delete_file(self._path, self._options)


class BusyError(Exception):
    """Another build holds the output; the message is one line that names it."""


class Held(NamedTuple):
    """A lease that is held.

    Attributes:
        token: of its holder.
        waited: whether another build had it at first.
    """

    token: str
    waited: bool


@contextlib.contextmanager
def held(
    output: str, wait: float, options: ObjectOptions, tell: Callable[[str], None]
) -> Iterator[Held]:
    """Holds the lease on an output.

    Once it is lost, this process gets a SIGTERM.

    Args:
        output: a folder, which is made, or a URI.
        wait: for how many seconds to wait while another build has it.
        options: how object stores are reached.
        tell: shows a line, which says what is waited for.

    Raises:
        BusyError: another build has it.
        LostLeaseError: in place of whatever went wrong, if the lease was lost meanwhile.
        OutputError: the output can't be used.
    """
    workspace.prepare(output, options)
    holder = Holder.this_process()
    own = lease_on(output, holder, options)
    ended = threading.Event()
    thread = threading.Thread(target=_keep, args=(own, ended), daemon=True)
    release = Cleanup(own.release)
    try:
        try:
            waited = _acquire(own, output, wait, tell)
        except (StorageError, OSError) as error:
            raise workspace.unusable(output, error) from None
        thread.start()
        try:
            yield Held(holder.token, waited)
        except BaseException as error:
            if loss := _loss(output, holder, options.hasty()):
                raise LostLeaseError(loss) from error
            raise
    finally:
        with undisturbed():
            ended.set()
            if thread.is_alive():
                thread.join(_JOIN_SECONDS)  # it may be waiting for a store
            release()


def is_left(output: str, options: ObjectOptions) -> bool:
    """Whether there is the lease of a build that lives no more, which `clear_away` would remove.

    Raises:
        OSError: the output can't be read.
        StorageError: the object store can't be read.
    """
    if holder_of(output, options) is None:
        return False
    own = lease_on(output, Holder.this_process(), options)
    found = own.look()
    if found is None:
        return True
    if found.silent <= own.expiry:
        return False
    time.sleep(own.watched)
    again = own.look()
    return again is not None and again.mark == found.mark


def clear_away(output: str, options: ObjectOptions) -> bool:
    """Removes the lease of a build that lives no more; whether there was one.

    Raises:
        OutputError: the output can't be used.
        StorageError: the object store can't be read.
    """
    if holder_of(output, options) is None:
        return False
    with contextlib.suppress(BusyError), held(output, 0, options, lambda _: None):
        return True
    return False


def _loss(output: str, holder: Holder, options: ObjectOptions) -> str | None:
    """A line if another build has taken over, else None, also where that can't be told."""
    with contextlib.suppress(StorageError, OSError):
        now = holder_of(output, options)
        return None if now and now.token == holder.token else lost(output, now)
    return None


def _acquire(own: OutputLease, output: str, wait: float, tell: Callable[[str], None]) -> bool:
    """Takes the lease; whether another build had it."""
    deadline = time.monotonic() + wait
    seen: object = None
    since, told = 0.0, False
    while found := own.take():
        now = time.monotonic()
        if found.mark != seen:
            seen, since = found.mark, now
        who = f" ({found.holder})" if found.holder else ""
        if found.silent > own.expiry:
            if now - since >= own.watched:
                tell(f"taking over from a build that gives no sign of life{who}")
                told = True
                own.oust(found)
                continue
        elif now >= deadline:
            raise BusyError(
                f"another build is at work on {output}{who}: let it end, or wait for it by --wait "
                f"SECONDS; should it be dead, its turn is over {_after(own.expiry - found.silent)}"
            )
        if not told:
            told = True
            tell(f"waiting for another build{who}")
        time.sleep(_POLL_SECONDS)
    return told


def _after(seconds: float) -> str:
    return f"within {max(seconds, 1):.0f} s"


def _keep(own: OutputLease, ended: threading.Event) -> None:
    while not ended.wait(own.renewal):
        with contextlib.suppress(StorageError, OSError):  # it may succeed the next time
            if not own.renew():
                os.kill(os.getpid(), signal.SIGTERM)
                return
