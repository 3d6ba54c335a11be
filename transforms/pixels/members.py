"""Members: where the bytes of one picture or mask lie, and reading them by that address.

A listing carries addresses, so a worker reads just the members of its images, from any place in any
number of archives, without an index and without a path that came out of an archive.
"""

import os
import struct
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, Self

from transforms.failures import PixelError, Reason
from transforms.pixels.ranges import RangeFetcher
from transforms.storage.objects import is_remote
from transforms.storage.stores import ObjectOptions

STORED, DEFLATED = 0, 8

_LOCAL_HEADER = struct.Struct("<4s2xHH16xHH")  # signature, flags, method, name and extra lengths
_ENCRYPTED = 1
#: What a local header with its name and extra fields has, mostly.
_HEADER_BYTES = 512


class Member(NamedTuple):
    """One member of a folder, tar or zip.

    Attributes:
        name: path inside the source, with `/`; that of a directory ends in `/`.
        container: the file to open: in a folder the member itself, else the archive.
        offset: where its bytes start in `container`; in a zip where its local header starts.
        size: bytes stored, deflated or not.
        method: the zip's compression method; 0 where nothing is compressed.
        crc32: of the inflated bytes as the zip gives it; None for a folder or tar.
        refusal: reason and detail where the walk already knows that it mustn't be read.
        stamp: in a folder, what changes when the file is written anew: its time of change in
            nanoseconds, or a hash of its ETag.
    """

    name: str
    container: str
    offset: int
    size: int
    method: int = STORED
    crc32: int | None = None
    refusal: tuple[Reason, str] | None = None
    stamp: int | None = None


#: The fields of a member that say where its bytes are, in the order in which
#: `MemberReader.read` takes them.
ADDRESS = ("container", "offset", "size", "method", "crc32")


class MemberReader:
    """Reads members by address and keeps the containers it used last open; one for each thread."""

    def __init__(
        self,
        limit: int = 160 << 20,
        max_open: int = 64,
        options: ObjectOptions = ObjectOptions(),  # noqa: B008 - it is frozen
    ) -> None:
        """Args:
        limit: the most bytes a member may have, stored or inflated: a guard against bombs.
        max_open: the most files kept open.
        options: how object stores are reached.
        """
        self._limit = limit
        self._max_open = max_open
        self._descriptors: OrderedDict[str, int] = OrderedDict()
        self._ranges = RangeFetcher(options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes all files; the reader may be used again."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])
        self._ranges.close()

    def expect(self, members: Iterable[tuple[str, int, int, int, int | None]]) -> None:
        """Says which members are to be read next: those in object stores are fetched ahead.

        Args:
            members: arguments of `read`, in order; some may be left out then.
        """
        self._ranges.expect(
            (container, offset, _span(size, crc32))
            for container, offset, size, _, crc32 in members
            if is_remote(container) and size <= self._limit
        )

    def read(
        self, container: str, offset: int, size: int, method: int = STORED, crc32: int | None = None
    ) -> bytes:
        """The inflated bytes of one member; the arguments are the fields of `Member`.

        Raises:
            PixelError: MISSING when the container can't be opened, TRUNCATED when it or deflated
                data ends early, TOO_LARGE above the limit, CORRUPT for all else that is wrong.
        """
        self._check_size(size)
        if is_remote(container):
            data = self._ranges.fetch(container, offset, _span(size, crc32))
            read = partial(_cut, data, offset, partial(self._ranges.fetch, container))
        else:
            read = partial(_read_exactly, self._open(container))
        if crc32 is None:
            return read(offset, size)
        header = read(offset, _LOCAL_HEADER.size)
        signature, flags, local_method, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        if signature != b"PK\x03\x04" or local_method != method:
            raise PixelError(Reason.CORRUPT, f"no such zip member at offset {offset}")
        if flags & _ENCRYPTED:
            raise PixelError(Reason.CORRUPT, "the zip member is encrypted")
        start = offset + _LOCAL_HEADER.size + name_length + extra_length
        data = self._expand(read(start, size), method)
        if zlib.crc32(data) != crc32:
            raise PixelError(Reason.CORRUPT, "the zip member's CRC-32 doesn't match")
        return data

    def read_into(self, room: memoryview, container: str, offset: int) -> None:
        """Reads a member that is stored as it is in a local file.

        Args:
            room: as many bytes as the member has.
            container: the file.
            offset: where the member starts.

        Raises:
            PixelError: as of `read`.
        """
        self._check_size(len(room))
        _check_end(os.preadv(self._open(container), [room], offset), offset, len(room))

    def _expand(self, data: bytes, method: int) -> bytes:
        if method == STORED:
            return data
        if method != DEFLATED:
            raise PixelError(Reason.CORRUPT, f"zip compression method {method} isn't supported")
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            inflated = inflater.decompress(data, self._limit + 1)
        except zlib.error as error:
            raise PixelError(Reason.CORRUPT, f"deflated data: {error}") from None
        self._check_size(len(inflated))
        if not inflater.eof:
            raise PixelError(Reason.TRUNCATED, "the deflated data ends early")
        return inflated

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            raise PixelError(Reason.TOO_LARGE, f"more than {self._limit} bytes")

    def _open(self, container: str) -> int:
        """A descriptor from the cache, which drops the file used longest ago."""
        descriptor = self._descriptors.pop(container, None)
        if descriptor is None:
            try:
                descriptor = os.open(container, os.O_RDONLY | os.O_CLOEXEC)
            except (FileNotFoundError, PermissionError) as error:
                raise PixelError(Reason.MISSING, f"{container}: {error.strerror}") from None
            if len(self._descriptors) >= self._max_open:
                os.close(self._descriptors.popitem(last=False)[1])
        self._descriptors[container] = descriptor
        return descriptor


def _span(size: int, crc32: int | None) -> int:
    """Bytes from a member's offset that hold it, but for unusually long headers in a zip."""
    return size if crc32 is None else size + _HEADER_BYTES


def _cut(data: bytes, at: int, fetch: Callable[[int, int], bytes], offset: int, size: int) -> bytes:
    """Bytes of a container of which `data`, from `at` on, is there already."""
    start = offset - at
    if start + size > len(data):
        start, data = 0, fetch(offset, size)
    if len(data) < start + size:
        raise PixelError(Reason.TRUNCATED, f"{len(data)} of {size} bytes at offset {offset}")
    return data[start : start + size]


def _read_exactly(descriptor: int, offset: int, size: int) -> bytes:
    data = os.pread(descriptor, size, offset)
    _check_end(len(data), offset, size)
    return data


def _check_end(found: int, offset: int, size: int) -> None:
    if found < size:
        raise PixelError(Reason.TRUNCATED, f"{found} of {size} bytes at offset {offset}")


def address_of(member: Mapping[str, Any]) -> tuple[str, int, int, int, int | None]:
    """Where the bytes of a member are."""
    return tuple(member[name] for name in ADDRESS)
