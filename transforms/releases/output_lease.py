"""The lease on an output, on a file system and in an object store: see `exclusive`."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from transforms.releases import lease
from transforms.releases.holder import MAX_BYTES, Holder, lease_path
from transforms.storage import conditional, files, objects, private
from transforms.storage.folders import FOLDER_FLAGS
from transforms.storage.objects import StorageError, is_remote
from transforms.storage.stores import ObjectOptions

RENEWAL_SECONDS = 5.0
#: On a file system; in an object store both are those of `transforms/releases/lease.py`.
EXPIRY_SECONDS = 60.0


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
        self.renewal = lease.RENEWAL_SECONDS
        self.expiry = lease.EXPIRY_SECONDS
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
        return Found(holder, mark, lease.time_in(self._output, self._options) - mark.modified)

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
