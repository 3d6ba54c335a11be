"""Opens files in a zip, a tar or a `.tar.gz`, and gzipped files, as streams.

A member is found by its name within the archive, which is never opened as a path. Links and devices
in an archive are never followed.
"""

import contextlib
import gzip
import io
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO, Literal, NamedTuple

from isal import igzip, igzip_lib

from transforms.storage import files
from transforms.storage.claims import ArchiveError, describe_excess, leads_out
from transforms.storage.stores import ObjectOptions
from transforms.storage.tars import is_tar, read_members
from transforms.storage.zips import find_directory

#: The first bytes of gzipped files, and of zips with members and without.
GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")

_BUFFER_BYTES = 1 << 20
_ENCRYPTED = 1
# About a million members, of which zipfile keeps a kB each.
_MAX_DIRECTORY_BYTES = 64 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

#: Exceptions that this module raises when an archive or gzipped file is damaged.
DAMAGE = (EOFError, OSError, zlib.error)

_LINK = "a link or device in an archive: never followed"


class MemberDamageError(EOFError):
    """A member's data is cut or damaged; the message is its name."""


class Member(NamedTuple):
    """A member of an archive.

    Attributes:
        name: in the archive, with `/`.
        size: its bytes without compression, as the archive says.
        refusal: why it isn't read; empty for a plain file.
        open: opens its content as a stream.
    """

    name: str
    size: int
    refusal: str
    open: Callable[[], Any]


def archive_kind(head: bytes) -> Literal["zip", "tar"] | None:
    """Returns the kind of an archive by its first 512 bytes without gzip; else None."""
    if head.startswith(ZIP_MAGICS):
        return "zip"
    return "tar" if any(head) and is_tar(head) else None


@contextlib.contextmanager
def open_inflated(
    path: str, member: str = "", options: ObjectOptions = files.DEFAULTS, stamp: str = ""
) -> Iterator["Inflated"]:
    """Opens a file, or a member of an archive, as a stream; gzip is unpacked.

    Reading raises `DAMAGE` where the data is cut or damaged.

    Args:
        path: the file.
        member: the name in an archive; empty for a file by itself.
        options: how object stores are reached.
        stamp: of the file, if it must be as it was planned.

    Raises:
        ChangedError: The file has another stamp, as opening, reading or closing finds.
        EOFError, OSError, zlib.error: The archive is damaged before the member.
        StorageError: The object store can't be read.
    """
    with contextlib.ExitStack() as stack, _translated():
        file = stack.enter_context(files.open_file(path, options, stamp=stamp))
        if member:
            found = (each for each in _members(file, stack) if each.name == member)
            first = next(found, None)
            if first is None:
                raise EOFError(f"there is no {member} in it any more")
            file = first.open()
        yield Inflated(file)


@contextlib.contextmanager
def open_archive(
    path: str, options: ObjectOptions = files.DEFAULTS, stamp: str = ""
) -> Iterator[Iterator[Member]]:
    """Iterates over the members of an archive in its order; read each before the next one.

    Iterating raises `DAMAGE` where the archive is cut or damaged: a `MemberDamageError` if the
    damage is in the data of the last member, whose reader meets it too.

    Args:
        path: the archive.
        options: how object stores are reached.
        stamp: of the archive, if it must be as it was planned.

    Raises:
        ChangedError: The archive has another stamp, as opening, reading or closing finds.
        StorageError: The object store can't be read.
    """
    with contextlib.ExitStack() as stack, _translated():
        yield _members(stack.enter_context(files.open_file(path, options, stamp=stamp)), stack)


def head_of(path: str, size: int, options: ObjectOptions = files.DEFAULTS) -> bytes:
    """Returns the first bytes of a file, without gzip; fewer where it is damaged."""
    try:
        with open_inflated(path, options=options) as stream:
            return stream.read(size)
    except DAMAGE:
        return b""


def _members(file: BinaryIO, stack: contextlib.ExitStack) -> Iterator[Member]:
    head = file.read(4)
    file.seek(0)
    if head in ZIP_MAGICS:
        size = find_directory(file).size
        if size > _MAX_DIRECTORY_BYTES:  # which zipfile holds in memory
            limit = f"at most {_MAX_DIRECTORY_BYTES:,} bytes"
            raise zlib.error(f"a directory of {size:,} bytes; {limit} where tables are looked for")
        yield from _zip_members(stack.enter_context(zipfile.ZipFile(file)))
    elif head.startswith(GZIP_MAGIC):
        unpacker = _Unpacker(file)
        try:
            yield from _tar_members(unpacker.read_at)
            while unpacker.read(_BUFFER_BYTES):  # so that gzip's checksum is compared
                pass
        except EOFError as error:
            if isinstance(error, MemberDamageError) or not unpacker.damage:
                raise
        if unpacker.damage:
            raise unpacker.damage
    else:
        yield from _tar_members(partial(files.read_at, file))


def _zip_members(archive: zipfile.ZipFile) -> Iterator[Member]:
    for info in archive.infolist():
        if info.is_dir():
            continue
        refusal = _unsafe(info.orig_filename)
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            refusal = _LINK
        elif info.flag_bits & _ENCRYPTED:
            refusal = "encrypted: unpack it"
        elif info.compress_type not in _METHODS:
            refusal = "compressed in a way that isn't read: unpack it"
        elif excess := describe_excess(info.compress_size, info.file_size):
            refusal = excess
        yield Member(info.filename, info.file_size, refusal, partial(archive.open, info))


def _tar_members(read: Callable[[int, int], bytes]) -> Iterator[Member]:
    try:
        for name, start, size, refused, is_folder in read_members(read):
            if not is_folder:
                refusal = _LINK if refused else _unsafe(name)
                section = _Section(read, start, size)
                yield Member(name, size, refusal, partial(io.BufferedReader, section))
    except ArchiveError as error:
        raise (MemberDamageError(error.member) if error.member else EOFError(str(error))) from None


def _unsafe(name: str) -> str:
    return "a name that leads out of the archive" if leads_out(name) else ""


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turns the exceptions of `zipfile` and `igzip` into `DAMAGE`."""
    try:
        yield
    except ArchiveError as error:
        raise (EOFError if error.is_cut else zlib.error)(str(error)) from error
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        OverflowError,
        igzip_lib.error,  # pyrefly: ignore[not-a-type]
    ) as error:
        raise zlib.error(str(error)) from error


class Inflated:
    """A stream that returns all data before damage, and then raises one of `DAMAGE`."""

    def __init__(self, stream: BinaryIO) -> None:
        """Unpacks the stream if it is gzipped."""
        peek = getattr(stream, "peek")  # noqa: B009 - every stream that is opened here has it
        gzipped = peek(2)[:2] == GZIP_MAGIC
        self._stream: Any = gzip.GzipFile(fileobj=stream) if gzipped else stream

    def read(self, size: int) -> bytes:
        """Returns `size` bytes, or fewer at the end and before damage."""
        pieces, wanted = [], size
        try:
            while wanted and (piece := self.read1(wanted)):
                pieces.append(piece)
                wanted -= len(piece)
        except DAMAGE:
            if not pieces:
                raise
        return b"".join(pieces)

    def read1(self, size: int) -> bytes:
        """Returns at most `size` bytes, after at most one read."""
        with _translated():
            return self._stream.read1(size)


class _Section(io.RawIOBase):
    """A part of a file, which is read by place."""

    def __init__(self, read: Callable[[int, int], bytes], start: int, size: int) -> None:
        super().__init__()
        self._read = read
        self._at = start
        self._end = start + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._end - self._at)
        data = self._read(self._at, wanted)
        if wanted and not data:
            raise EOFError("unexpected end of data")
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class _Unpacker:
    """Unpacks a gzipped tar by ISA-L, which is faster: all that precedes a member is unpacked.

    Where it is damaged it ends, and keeps the exception in `damage`: what precedes that is read
    before. Raises zlib.error where far more comes of it than it has.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._stream = igzip.IGzipFile(fileobj=file)
        self._at = 0
        self._last = b""
        self.damage: Exception | None = None

    def read_at(self, place: int, size: int) -> bytes:
        """Returns bytes from a place on; the first may be the last one that was read before."""
        while self._at < place and self.read(min(_BUFFER_BYTES, place - self._at)):
            pass
        pieces = [self._last] if place < self._at else []
        while (wanted := place + size - self._at) > 0 and (piece := self.read(wanted)):
            pieces.append(piece)
        return b"".join(pieces)

    def read(self, size: int) -> bytes:
        """Returns at most the next `size` bytes; none at the end, and from damage on."""
        data = b""
        try:
            with _translated():
                data = b"" if self.damage else self._stream.read1(size)
        except DAMAGE as error:
            self.damage = error
        self._at += len(data)
        self._last = data[-1:] or self._last
        if excess := describe_excess(self._file.tell(), self._at):
            raise zlib.error(excess)
        return data
