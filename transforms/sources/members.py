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
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple, Self

from transforms.dataset.elements import Source
from transforms.dataset.failures import PixelError, Reason
from transforms.sources.ranges import RangeFetcher
from transforms.storage.objects import is_remote
from transforms.storage.regular import open_regular
from transforms.storage.stamps import ChangedError, check_descriptor, number_of
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
        stamp: in a folder, what changes when the file is written or replaced: `number_of` the
            stamp of the file, or of its ETag.
    """

    name: str
    container: str
    offset: int
    size: int
    method: int = STORED
    crc32: int | None = None
    refusal: tuple[Reason, str] | None = None
    stamp: int | None = None


class Address(NamedTuple):
    """Where the bytes of a member are: fields of `Member`, as `MemberReader.read` takes them."""

    container: str
    offset: int
    size: int
    method: int = STORED
    crc32: int | None = None
    stamp: int | None = None


ADDRESS = Address._fields


def archive_stamps(sources: Iterable[Source]) -> dict[str, int]:
    """Returns, by path, `number_of` the stamp of each archive that isn't unpacked to be read."""
    return {
        source.path: number_of(source.stamp)
        for source in sources
        if source.stamp and source.medium in ("tar", "zip")
    }


class MemberReader:
    """Reads members by address and keeps the containers it used last open; one for each thread."""

    def __init__(
        self,
        limit: int = 160 << 20,
        max_open: int = 64,
        options: ObjectOptions = ObjectOptions(),  # noqa: B008 - it is frozen
        stamps: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Args:
        limit: the most bytes a member may have, stored or inflated: a guard against bombs.
        max_open: the most files kept open.
        options: how object stores are reached.
        stamps: of archives, by path; members of folders have their own.
        """
        self._stamps = stamps
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

    def expect(self, members: Iterable[Iterable[Any]]) -> None:
        """Says which members are to be read next: those in object stores are fetched ahead.

        Args:
            members: arguments of `read`, in order; some may be left out then.
        """
        self._ranges.expect(
            (at.container, at.offset, _span(at.size, at.crc32), self._stamp(at.container, at.stamp))
            for at in (Address(*member) for member in members)
            if is_remote(at.container) and at.size <= self._limit
        )

    def read(
        self,
        container: str,
        offset: int,
        size: int,
        method: int = STORED,
        crc32: int | None = None,
        stamp: int | None = None,
    ) -> bytes:
        """The inflated bytes of one member; the arguments are the fields of `Member`.

        Raises:
            ChangedError: The container was written or replaced since it was listed.
            PixelError: MISSING when the container can't be opened, TRUNCATED when it or deflated
                data ends early, TOO_LARGE above the limit, CORRUPT for all else that is wrong.
        """
        self._check_size(size)
        stamp = self._stamp(container, stamp)
        if is_remote(container):

            def fetch(offset: int, size: int) -> bytes:
                return self._ranges.fetch(container, offset, size, stamp)

            read = partial(_cut, fetch(offset, _span(size, crc32)), offset, fetch)
        else:
            read = partial(self._read_exactly, container, stamp)
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

    def read_into(
        self, room: memoryview, container: str, offset: int, stamp: int | None = None
    ) -> None:
        """Reads a member that is stored as it is in a local file.

        Args:
            room: as many bytes as the member has.
            container: the file.
            offset: where the member starts.
            stamp: of the file, if it was listed by itself.

        Raises:
            ChangedError, PixelError: as of `read`.
        """
        self._check_size(len(room))
        stamp = self._stamp(container, stamp)
        descriptor = self._open(container, stamp)
        found = os.preadv(descriptor, [room], offset)
        _check_read(descriptor, container, stamp, found, offset, len(room))

    def _stamp(self, container: str, stamp: int | None) -> int | None:
        return self._stamps.get(container) if stamp is None else stamp

    def _read_exactly(self, container: str, stamp: int | None, offset: int, size: int) -> bytes:
        descriptor = self._open(container, stamp)
        data = os.pread(descriptor, size, offset)
        _check_read(descriptor, container, stamp, len(data), offset, size)
        return data

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

    def _open(self, container: str, stamp: int | None) -> int:
        """A descriptor from the cache, which drops the file used longest ago."""
        descriptor = self._descriptors.pop(container, None)
        if descriptor is None:
            try:
                descriptor = open_regular(container)
            except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
                if stamp is not None and not isinstance(error, PermissionError):
                    raise ChangedError.of(container) from None
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


def _check_read(
    descriptor: int, container: str, stamp: int | None, found: int, offset: int, size: int
) -> None:
    """Checks what was read of a file: that the file is the one that was listed, and long enough."""
    if stamp is not None:
        check_descriptor(descriptor, container, stamp)
    if found < size:
        raise PixelError(Reason.TRUNCATED, f"{found} of {size} bytes at offset {offset}")


def address_of(member: Mapping[str, Any]) -> Address:
    """Where the bytes of a member are."""
    return Address(*(member[name] for name in ADDRESS))
