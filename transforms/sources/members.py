"""Members: where the bytes of one picture or mask lie, and reading them by that address.

A listing carries addresses, so a worker reads just the members of its images, from any place in any
number of archives, without an index and without a path that came out of an archive.
"""

import hashlib
import os
import posixpath
import struct
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar

from transforms.dataset.elements import Source
from transforms.dataset.failures import PixelError, Reason
from transforms.sources.ranges import Range, RangeFetcher
from transforms.storage.objects import is_remote
from transforms.storage.regular import open_regular
from transforms.storage.stamps import ChangedError, check_descriptor, number_of
from transforms.storage.stores import ObjectOptions

_T = TypeVar("_T")

STORED, DEFLATED = 0, 8

_LOCAL_HEADER = struct.Struct("<4s2xHH16xHH")  # signature, flags, method, name and extra lengths
_ENCRYPTED = 1
#: Files that a reader keeps open.
MAX_OPEN = 64
#: What a local header with its name and extra fields has, mostly.
_HEADER_BYTES = 512


class Address(NamedTuple):
    """Where the bytes of a member are.

    Attributes:
        container: the file to open: in a folder the member itself, else the archive.
        offset: where its bytes start in `container`; in a zip where its local header starts.
        size: bytes stored, deflated or not.
        method: the zip's compression method; 0 where nothing is compressed.
        crc32: of the inflated bytes as the zip gives it; None for a folder or tar.
        stamp: in a folder, what changes when the file is written or replaced: `number_of` the
            stamp of the file, or of its ETag.
    """

    container: str
    offset: int
    size: int
    method: int = STORED
    crc32: int | None = None
    stamp: int | None = None


class Member(NamedTuple):
    """One member of a folder, tar or zip.

    Attributes:
        name: path inside the source, with `/`; that of a directory ends in `/`.
        address: where its bytes are.
        refusal: reason and detail where the walk already knows that it mustn't be read.
    """

    name: str
    address: Address
    refusal: tuple[Reason, str] | None = None


ADDRESS = Address._fields


class MemberReader:
    """Reads members by address and keeps the containers it used last open; one for each thread."""

    def __init__(
        self,
        limit: int = 160 << 20,
        options: ObjectOptions = ObjectOptions(),  # noqa: B008 - it is frozen
        sources: Iterable[Source] = (),
    ) -> None:
        """Args:
        limit: the most bytes a member may have, stored or inflated: a guard against bombs.
        options: how object stores are reached.
        sources: whose members are read; those of archives must have the archive's stamp.
        """
        # Of archives, by path; members of folders have their own, and a `.tar.gz` is unpacked.
        self._stamps = {
            source.path: number_of(source.stamp)
            for source in sources
            if source.stamp and source.medium in ("tar", "zip")
        }
        self._limit = limit
        self._descriptors: OrderedDict[str, int] = OrderedDict()
        self._ranges = RangeFetcher(options)

    def close(self) -> None:
        """Closes all files; the reader may be used again."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])
        self._ranges.close()

    def expect(self, members: Iterable[Address]) -> None:
        """Says which members are read next, in order: those in object stores are fetched ahead.

        Some of them may be left out then.
        """
        self._ranges.expect(
            Range(at.container, at.offset, _span(at), self._stamp(at))
            for at in members
            if is_remote(at.container) and at.size <= self._limit
        )

    def read(self, at: Address) -> bytes:
        """Returns the inflated bytes of one member.

        Raises:
            ChangedError: The container was written or replaced since it was listed.
            PixelError: MISSING when the container can't be opened, TRUNCATED when it or deflated
                data ends early, TOO_LARGE above the limit, CORRUPT for all else that is wrong.
        """
        self._check_size(at.size)
        if is_remote(at.container):

            def fetch(offset: int, size: int) -> bytes:
                return self._ranges.fetch(Range(at.container, offset, size, self._stamp(at)))

            read = partial(_cut, fetch(at.offset, _span(at)), at.offset, fetch)
        else:
            read = partial(self._read_exactly, at)
        if at.crc32 is None:
            return read(at.offset, at.size)
        header = read(at.offset, _LOCAL_HEADER.size)
        signature, flags, method, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        if signature != b"PK\x03\x04" or method != at.method:
            raise PixelError(Reason.CORRUPT, f"no such zip member at offset {at.offset}")
        if flags & _ENCRYPTED:
            raise PixelError(Reason.CORRUPT, "the zip member is encrypted")
        start = at.offset + _LOCAL_HEADER.size + name_length + extra_length
        data = self._expand(read(start, at.size), method)
        if zlib.crc32(data) != at.crc32:
            raise PixelError(Reason.CORRUPT, "the zip member's CRC-32 doesn't match")
        return data

    def read_into(self, room: memoryview, at: Address) -> None:
        """Reads a member that is stored as it is in a local file into as many bytes as it has.

        Raises:
            ChangedError, PixelError: as of `read`.
        """
        self._check_size(at.size)
        descriptor = self._open(at)
        found = os.preadv(descriptor, [room], at.offset)
        self._check_read(descriptor, at, found, at.offset, at.size)

    def _stamp(self, at: Address) -> int | None:
        return self._stamps.get(at.container) if at.stamp is None else at.stamp

    def _read_exactly(self, at: Address, offset: int, size: int) -> bytes:
        descriptor = self._open(at)
        data = os.pread(descriptor, size, offset)
        self._check_read(descriptor, at, len(data), offset, size)
        return data

    def _check_read(self, descriptor: int, at: Address, found: int, offset: int, size: int) -> None:
        """Checks that a file is the one that was listed, and had all bytes that were read."""
        if (stamp := self._stamp(at)) is not None:
            check_descriptor(descriptor, at.container, stamp)
        _check_whole(found, offset, size)

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

    def _open(self, at: Address) -> int:
        """Returns a descriptor from the cache, which drops the file used longest ago."""
        descriptor = self._descriptors.pop(at.container, None)
        if descriptor is None:
            try:
                descriptor = open_regular(at.container)
            except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
                if self._stamp(at) is not None and not isinstance(error, PermissionError):
                    raise ChangedError.of(at.container) from None
                raise PixelError(Reason.MISSING, f"{at.container}: {error.strerror}") from None
            if len(self._descriptors) >= MAX_OPEN:
                os.close(self._descriptors.popitem(last=False)[1])
        self._descriptors[at.container] = descriptor
        return descriptor


def _span(at: Address) -> int:
    """Bytes from a member's offset that hold it, but for unusually long headers in a zip."""
    return at.size if at.crc32 is None else at.size + _HEADER_BYTES


def _cut(data: bytes, at: int, fetch: Callable[[int, int], bytes], offset: int, size: int) -> bytes:
    """Bytes of a container of which `data`, from `at` on, is there already."""
    start = offset - at
    if start + size > len(data):
        start, data = 0, fetch(offset, size)
    _check_whole(len(data) - start, offset, size)
    return data[start : start + size]


def _check_whole(found: int, offset: int, size: int) -> None:
    if found < size:
        raise PixelError(Reason.TRUNCATED, f"{found} of {size} bytes at offset {offset}")


def address_of(member: Mapping[str, Any]) -> Address:
    """Returns where the bytes of a member are."""
    return Address(*(member[name] for name in ADDRESS))


def group_by_place(members: Iterable[_T], place: Callable[[_T], tuple[str, str]]) -> list[list[_T]]:
    """Groups members that would be unpacked to the same file, in the order of the first ones.

    Args:
        members: some members.
        place: returns the archive of one and its name; `./a.jpg` is `a.jpg`.
    """
    groups: dict[tuple[str, str], list[_T]] = {}
    for member in members:
        container, name = place(member)
        groups.setdefault((container, posixpath.normpath(name)), []).append(member)
    return list(groups.values())


def check_alike(contents: Iterable[bytes], name: str, offsets: Iterable[int]) -> None:
    """Checks that all members of one name have the same content.

    Args:
        contents: of each; one at a time is in memory.
        name: theirs.
        offsets: where each is in the archive.

    Raises:
        PixelError: CONFLICT.
    """
    if len({hashlib.blake2b(content).digest() for content in contents}) > 1:
        places = " and ".join(map(str, offsets))
        detail = f"{name!a} is there more than once, with other content: at bytes {places}"
        raise PixelError(Reason.CONFLICT, detail)
