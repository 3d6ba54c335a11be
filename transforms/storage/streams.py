"""Objects as files to read and to write."""

import errno
import io
from typing import TYPE_CHECKING, Any, Self

import obstore

from transforms.storage.objects import (
    REQUEST_BYTES,
    UPLOADS,
    AbsentError,
    locate,
    read_range,
    status,
)
from transforms.storage.stamps import ChangedError, number_of
from transforms.storage.stores import ObjectOptions

if TYPE_CHECKING:
    from obstore import WritableFile


_COPY_BYTES = 1 << 20


class ObjectWriter:
    """A file to write; its content becomes an object when it is closed, and only then.

    Holds some 40 MiB in memory at most. One that is left without being closed leaves no object.
    """

    def __init__(self, uri: str, options: ObjectOptions) -> None:
        """Nothing is asked of the store before some MiB have been written."""
        self._bucket, self._key = locate(uri, options)
        self._writer: WritableFile = self._bucket.write(
            self._key,
            lambda store: obstore.open_writer(
                store, self._key, buffer_size=REQUEST_BYTES, max_concurrency=UPLOADS
            ),
        )
        self.closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()

    def write(self, data: Any) -> int:
        """Takes any contiguous bytes-like object; the number of its bytes."""
        view = memoryview(data).cast("B")
        with self._bucket.explained(self._key):
            for start in range(0, len(view), _COPY_BYTES):
                # A copy, since it is sent later, when the memory may be used for something else.
                self._writer.write(bytes(view[start : start + _COPY_BYTES]))
        return len(view)

    def flush(self) -> None:
        """Nothing: there is no object before all of it is there."""

    def close(self) -> None:
        """Makes the object."""
        if not self.closed:
            self.closed = True
            with self._bucket.explained(self._key):
                self._writer.close()


class _RangeReader(io.RawIOBase):
    """An object as a file that can be sought into; each read is one request."""

    def __init__(self, uri: str, size: int, options: ObjectOptions, stamp: str) -> None:
        super().__init__()
        self._number = number_of(stamp) if stamp else None
        self.name = uri
        self._size = size
        self._options = options
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError(errno.EINVAL, f"negative position {start + offset}")  # as a file does
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readall(self) -> bytes:
        # That of the base class asks for a few kB at a time.
        return b"".join(iter(lambda: self.read(REQUEST_BYTES), b""))

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), REQUEST_BYTES, max(self._size - self._at, 0))
        data = read_range(self.name, self._at, length, self._options, self._number)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def open_object(
    uri: str, options: ObjectOptions, buffer_size: int, size: int | None = None, stamp: str = ""
) -> io.BufferedReader:
    """Returns an object as a file that can be read and sought into.

    Args:
        uri: the object.
        options: how to connect.
        buffer_size: bytes that a request asks for at least; what lies between two places that are
            read isn't asked for, unless it is less.
        size: of the object, where it is known.
        stamp: that it must have; reading raises ChangedError for another. Empty: any.
    """
    if size is None:
        try:
            found = status(uri, options)
        except AbsentError:
            if not stamp:
                raise
            raise ChangedError.of(uri) from None
        if stamp and found.stamp != stamp:
            raise ChangedError.of(uri)
        size = found.size
    return io.BufferedReader(_RangeReader(uri, size, options, stamp), buffer_size)
