"""The lease on an output: one build at a time may publish there, from its first file to its end.

On a file system it is a locked file. The lock goes with its process. The file's time of change is a
sign of life, for builds on machines that don't see each other's locks, and for a build that is
stopped or hangs. In an object store the lease is an object that is written only as it was seen, and
renewed; the store's clock tells its age.

A lease that wasn't renewed for too long is taken over. Its owner may come back, but can't publish:
whoever commits, on whatever machine, first checks that its build still has the lease.
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
from typing import BinaryIO, NamedTuple, Self, TypeAlias

from transforms.releases import heartbeat, workspace
from transforms.storage import conditional, files, objects, private
from transforms.storage.folders import FOLDER_FLAGS
from transforms.storage.objects import AbsentError, StorageError, is_remote
from transforms.storage.regular import is_at
from transforms.storage.stores import ObjectOptions
from transforms.system.program import Cleanup, undisturbed

#: Of a lease on a file system; in an object store they are those of `heartbeat`.
RENEWAL_SECONDS = 5.0
EXPIRY_SECONDS = 60.0
#: How often a build that waits looks at the lease.
POLL_SECONDS = 1.0

_JOIN_SECONDS = 1.0
#: A lease is shorter.
_MAX_BYTES = 4096
_MAX_TEXT = 300


class BusyError(Exception):
    """Another build has the lease; the message is one line that names it."""


class LostLeaseError(Exception):
    """Another build has taken over the output; the message is one line."""


class Owner(NamedTuple):
    """A build that has a lease.

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
        """Returns an owner with a new token."""
        now = datetime.datetime.now(datetime.UTC)
        return cls(uuid.uuid4().hex, socket.gethostname(), os.getpid(), f"{now:%F %T} UTC")

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Reads the content of a lease; None where it is torn, or something else.

        Another user may have written it, so its texts are only taken if they are short and plain.
        """
        try:
            owner = cls(**json.loads(data))
            texts = (owner.token, owner.host, owner.since)
            is_plain = all(text.isprintable() and len(text) < _MAX_TEXT for text in texts)
        except (ValueError, TypeError, AttributeError, RecursionError):
            return None
        return owner if is_plain and type(owner.pid) is int else None

    def encode(self) -> bytes:
        """Returns the content of the lease."""
        return (json.dumps(self._asdict()) + "\n").encode()

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


class Lease(NamedTuple):
    """A lease that this process has.

    Attributes:
        token: of its owner.
        waited: whether another build had it at first.
    """

    token: str
    waited: bool


def terminate() -> None:
    """Sends this process a SIGTERM."""
    os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def hold(
    output: str,
    wait: float,
    options: ObjectOptions,
    log: Callable[[str], None],
    on_loss: Callable[[], None] = terminate,
) -> Iterator[Lease]:
    """Has the lease on an output for as long as it is open.

    Args:
        output: a folder, which is made, or a URI.
        wait: for how many seconds to wait while another build has it.
        options: how object stores are reached.
        log: is called with a line that says what is waited for.
        on_loss: called in another thread once the lease is lost; nothing can be published then.

    Raises:
        BusyError: Another build has it.
        LostLeaseError: In place of whatever went wrong, if the lease was lost meanwhile.
        KeyboardInterrupt: Likewise, if it was given back since the program is being ended.
        OutputError: The output can't be used.
    """
    workspace.prepare(output, options)
    owner = Owner.this_process()
    stored = _stored(output, owner, options)
    ended = threading.Event()
    thread = threading.Thread(target=_renew_until, args=(stored, ended, on_loss), daemon=True)
    release = Cleanup(stored.release)
    try:
        try:
            waited = _acquire(stored, output, wait, log)
        except (StorageError, OSError) as error:
            raise workspace.unusable(output, error) from None
        thread.start()
        try:
            yield Lease(owner.token, waited)
        except BaseException as error:
            try:
                with contextlib.suppress(StorageError, OSError):  # the first error is worth more
                    check(output, owner.token, options.hasty(), error)
            except LostLeaseError:
                if not release.is_called:
                    raise
            if release.is_called:  # by the thread that ends a program which takes too long to end
                raise KeyboardInterrupt from None
            raise
    finally:
        with undisturbed():
            ended.set()
            if thread.is_alive():
                thread.join(_JOIN_SECONDS)  # it may be waiting for a store
            release()


def check(
    output: str, token: str | None, options: ObjectOptions, cause: BaseException | None = None
) -> None:
    """Makes sure that a build still has its lease.

    Args:
        output: where it publishes.
        token: of its lease; None for a build that needs none.
        options: how object stores are reached.
        cause: an error that the loss may have caused; becomes `__cause__`.

    Raises:
        LostLeaseError: It hasn't.
        StorageError: The object store can't be read.
    """
    owner = read_owner(output, options) if token is not None else None
    if token is None or (owner and owner.token == token):
        return
    cause_of_loss = (
        f"this build gave no sign of life for too long, and another one ({owner})"
        if owner
        else "the work folder is gone: it was deleted, or another build, which has ended since,"
    )
    raise LostLeaseError(f"{cause_of_loss} has taken over {output}") from cause


def is_abandoned(output: str, options: ObjectOptions) -> bool:
    """Returns whether `remove_abandoned` would remove the lease of a build that is dead.

    Raises:
        OSError: The output can't be read.
        StorageError: The object store can't be read.
    """
    if read_owner(output, options) is None:
        return False
    stored = _stored(output, Owner.this_process(), options)
    found = stored.look()
    if found is None:
        return True
    if found.silent <= stored.expiry:
        return False
    time.sleep(stored.watched)
    again = stored.look()
    return again is not None and again.mark == found.mark


def remove_abandoned(output: str, options: ObjectOptions) -> bool:
    """Removes the lease of a build that is dead; returns whether there was one.

    Raises:
        OutputError: The output can't be used.
        StorageError: The object store can't be read.
    """
    if read_owner(output, options) is None:
        return False
    with contextlib.suppress(BusyError), hold(output, 0, options, lambda _: None):
        return True
    return False


def path_of(output: str) -> str:
    """Returns the path of the lease on an output."""
    return os.path.join(output, ".work", "lease")


def read_owner(output: str, options: ObjectOptions) -> Owner | None:
    """Returns who has the lease on an output; None where nobody has.

    Raises:
        StorageError: The object store can't be read.
    """
    path = path_of(output)
    try:
        if is_remote(path):
            return Owner.decode(files.read_file(path, options))
        with _open(path) as file:
            return Owner.decode(file.read(_MAX_BYTES))
    except (FileNotFoundError, AbsentError):
        return None


def _open(path: str) -> BinaryIO:
    return open(private.open_file(path, os.O_RDONLY), "rb")


class _Found(NamedTuple):
    """A lease that another build has.

    Attributes:
        owner: that build; None if its name is being written.
        mark: a value that changes whenever the lease is renewed.
        silent: seconds since the last renewal.
    """

    owner: Owner | None
    mark: object
    silent: float


_StoredLease: TypeAlias = "_LeaseFile | _LeaseObject"


def _stored(output: str, owner: Owner, options: ObjectOptions) -> _StoredLease:
    return (_LeaseObject if is_remote(output) else _LeaseFile)(output, owner, options.hasty())


def _acquire(stored: _StoredLease, output: str, wait: float, log: Callable[[str], None]) -> bool:
    """Takes the lease; returns whether another build had it."""
    deadline = time.monotonic() + wait
    seen: object = None
    since, waited = 0.0, False
    while found := stored.take():
        now = time.monotonic()
        if found.mark != seen:
            seen, since = found.mark, now
        who = f" ({found.owner})" if found.owner else ""
        if found.silent > stored.expiry:
            if now - since >= stored.watched:
                log(f"taking over from a build that gives no sign of life{who}")
                waited = True
                stored.oust(found.mark)
                continue
        elif now >= deadline:
            left = max(stored.expiry - found.silent, 1)
            raise BusyError(
                f"another build is at work on {output}{who}: let it end, or wait for it by --wait "
                f"SECONDS; should it be dead, its turn is over within {left:.0f} s"
            )
        if not waited:
            waited = True
            log(f"waiting for another build{who}")
        time.sleep(POLL_SECONDS)
    return waited


def _renew_until(stored: _StoredLease, ended: threading.Event, on_loss: Callable[[], None]) -> None:
    while not ended.wait(stored.renewal):
        with contextlib.suppress(StorageError, OSError):  # it may succeed the next time
            if not stored.renew():
                on_loss()
                return


class _LeaseFile:
    """A file that its owner has made and locked; others may only read it.

    It is removed rather than taken over: so nobody writes to a file that another user has made.

    Attributes, here and of `_LeaseObject`:
        renewal: seconds between two renewals.
        expiry: seconds without a renewal after which it may be taken over.
        watched: for how many of them it must have been watched, since a clock may have been set.
    """

    def __init__(self, output: str, owner: Owner, _: ObjectOptions) -> None:
        self.renewal = RENEWAL_SECONDS
        self.expiry = EXPIRY_SECONDS
        self.watched = 2 * RENEWAL_SECONDS
        self._path = path_of(output)
        self._folder = os.path.dirname(self._path)
        self._owner = owner
        self._file: int | None = None

    def take(self) -> _Found | None:
        """Takes it, unless another build has it."""
        private.make_shared_folder(self._folder)
        while True:
            try:
                self._file = self._make()
            except FileExistsError:
                with contextlib.suppress(FileNotFoundError), _open(self._path) as file:
                    if found := self._look(file.fileno()):
                        return found
                    self.oust(_mark(file.fileno()))
            else:
                if self._file is not None:
                    return None

    def _make(self) -> int | None:
        """Makes and locks the file; None where one who looked at it was quicker."""
        descriptor = private.open_file(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_at(self._path, descriptor):
                os.pwrite(descriptor, self._owner.encode(), 0)
                return descriptor
        except BlockingIOError:
            pass
        os.close(descriptor)
        return None

    def look(self) -> _Found | None:
        """Returns the lease that is there; None where `take` would have it at once."""
        try:
            with _open(self._path) as file:
                return self._look(file.fileno())
        except FileNotFoundError:
            return None

    def _look(self, descriptor: int) -> _Found | None:
        """Locks the file and returns None, unless another build has the lease."""
        with tempfile.TemporaryFile(dir=self._folder) as probe:  # by the file system's clock
            now = os.fstat(probe.fileno()).st_mtime
        owner = Owner.decode(os.pread(descriptor, _MAX_BYTES, 0))
        # A clock that was set back makes signs of life come from the future.
        silent = abs(now - os.fstat(descriptor).st_mtime)
        found = _Found(owner, _mark(descriptor), silent)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return found
        if not is_at(self._path, descriptor):
            return found  # it was removed before it was locked
        # Another machine's lock may not be seen here.
        return found if owner and owner.host != self._owner.host else None

    def oust(self, mark: object) -> None:
        """Ends a lease that has expired, unless it was renewed just now and has another mark.

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
        """Gives a sign of life; returns whether this process still has the lease."""
        if self._file is None or not is_at(self._path, self._file):
            return False
        os.utime(self._file)
        return True

    def release(self) -> None:
        """Gives it up."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                if is_at(self._path, self._file):
                    os.unlink(self._path)
            os.close(self._file)
        with contextlib.suppress(OSError):
            os.rmdir(self._folder)


def _mark(descriptor: int) -> tuple[int, int]:
    """Returns inode and time of change, which differ once a lease is renewed or replaced."""
    status = os.fstat(descriptor)
    return status.st_ino, status.st_mtime_ns


class _LeaseObject:
    """An object that is only written if it is as it was read."""

    watched = 0.0  # a conditional put fails for one that was renewed just now

    def __init__(self, output: str, owner: Owner, options: ObjectOptions) -> None:
        self.renewal = heartbeat.RENEWAL_SECONDS
        self.expiry = heartbeat.EXPIRY_SECONDS
        self._output = objects.normal(output)
        self._path = path_of(self._output)
        self._owner = owner
        self._options = options
        self._renewals = 0

    def take(self) -> _Found | None:
        found = self.look()
        if found is None:
            return None if self._write(None) else _Found(None, None, 0)
        is_own = found.owner and found.owner.token == self._owner.token
        return None if is_own else found

    def look(self) -> _Found | None:
        found = conditional.read(self._path, self._options)
        if found is None:
            return None
        owner, mark = Owner.decode(found[0]), found[1]
        silent = heartbeat.time_in(self._output, self._options) - mark.modified
        return _Found(owner, mark, silent)

    def oust(self, mark: object) -> None:
        assert isinstance(mark, conditional.Mark)
        self._write(mark)

    def _write(self, seen: conditional.Mark | None) -> bool:
        """Writes another content each time, since a store may know objects by content alone."""
        self._renewals += 1
        data = self._owner.encode() + b"\n" * self._renewals
        return conditional.write(self._path, data, seen, self._options)

    def _own(self) -> conditional.Mark | None:
        found = conditional.read(self._path, self._options)
        owner = Owner.decode(found[0]) if found else None
        return found[1] if found and owner and owner.token == self._owner.token else None

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
