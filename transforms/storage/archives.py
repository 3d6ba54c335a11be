"""Opens files in a zip, a tar or a `.tar.gz`, and gzipped files, as streams.

A member is found by its name within the archive, which is never opened as a path. Links and devices
in an archive are never followed.
"""

import contextlib
import gzip
import io
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO, Literal, NamedTuple

from isal import igzip, igzip_lib

from transforms.storage import files
from transforms.storage.stores import ObjectOptions

_GZIP = b"\x1f\x8b"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_BUFFER_BYTES = 1 << 20
_ENCRYPTED = 1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Absolute, climbing, with a null byte, or not text (undecodable bytes are surrogates).
_UNSAFE = re.compile(r"^/|\x00|(?:^|/)\.\.(?:/|$)|[\ud800-\udfff]")

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
    """The kind of an archive, by its first 512 bytes without gzip; None for any other file."""
    if head.startswith(_ZIP):
        return "zip"
    with contextlib.suppress(tarfile.TarError, ValueError, OverflowError):
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
        return "tar"
    return None


@contextlib.contextmanager
def open_inflated(
    path: str, member: str = "", options: ObjectOptions = files.DEFAULTS
) -> Iterator["Inflated"]:
    """Opens a file, or a member of an archive, as a stream; gzip is unpacked.

    Reading raises `DAMAGE` where the data is cut or damaged.

    Raises:
        EOFError, OSError, zlib.error: The archive is damaged before the member.
        StorageError: The object store can't be read.
    """
    with contextlib.ExitStack() as stack, _translated():
        file = stack.enter_context(files.open_file(path, options))
        if member:
            found = (each for each in _members(file, stack) if each.name == member)
            first = next(found, None)
            if first is None:
                raise EOFError(f"there is no {member} in it any more")
            yield Inflated(first.open())
        else:
            yield Inflated(file)


@contextlib.contextmanager
def open_archive(path: str, options: ObjectOptions = files.DEFAULTS) -> Iterator[Iterator[Member]]:
    """Iterates over the members of an archive in its order; read each before the next one.

    Iterating raises `DAMAGE` where the archive is cut or damaged: a `MemberDamageError` if the
    damage is in the data of the last member, whose reader meets it too.

    Raises:
        StorageError: The object store can't be read.
    """
    with contextlib.ExitStack() as stack, _translated():
        yield _members(stack.enter_context(files.open_file(path, options)), stack)


def head_of(path: str, size: int, options: ObjectOptions = files.DEFAULTS) -> bytes:
    """The first bytes of a file, unpacked where it is gzipped; fewer where it is damaged."""
    try:
        with open_inflated(path, options=options) as stream:
            return stream.read(size)
    except DAMAGE:
        return b""


def _members(file: BinaryIO, stack: contextlib.ExitStack) -> Iterator[Member]:
    if file.read(4) in _ZIP:
        yield from _zip_members(stack.enter_context(zipfile.ZipFile(file)))
        return
    file.seek(0)
    if file.read(2) == _GZIP:
        file.seek(0)
        yield from _tar_members(_Careful(file))
    else:
        file.seek(0)
        yield from _tar_members(file)


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
        yield Member(info.filename, info.file_size, refusal, partial(archive.open, info))


def _tar_members(packed: "BinaryIO | _Careful") -> Iterator[Member]:
    # Buffered, since tarfile goes back by a byte now and then.
    file = io.BufferedReader(packed, _BUFFER_BYTES) if isinstance(packed, _Careful) else packed
    with tarfile.open(fileobj=file, mode="r:") as tar:
        while (info := tar.next()) is not None:
            tar.members = []  # pyrefly: ignore[missing-attribute]; tarfile would keep them all
            if tar.offset <= info.offset:  # of a forged size: tarfile would go in circles
                raise EOFError(f"a negative size at byte {info.offset}")
            if not info.isdir():
                refusal = _LINK if not info.isreg() or info.issparse() else _unsafe(info.name)
                yield Member(info.name, info.size, refusal, partial(tar.extractfile, info))
            file.seek(info.offset_data + max(info.size, 1) - 1)
            if info.size and not file.read(1):
                raise MemberDamageError(info.name)
        # tarfile takes a damaged header, and the end of the file, for the end of the archive.
        file.seek(tar.offset)
        block = file.read(tarfile.BLOCKSIZE)
        while file.read(_BUFFER_BYTES):  # so that gzip's checksum is compared
            pass
        if isinstance(packed, _Careful) and packed.damage:
            raise packed.damage
        if len(block) < tarfile.BLOCKSIZE or any(block):
            raise EOFError(f"neither a member nor the end of the archive at byte {tar.offset}")


def _unsafe(name: str) -> str:
    return "a name that leads out of the archive" if _UNSAFE.search(name) else ""


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turns the exceptions of `tarfile`, `zipfile` and `igzip` into `DAMAGE`."""
    try:
        yield
    except tarfile.TarError as error:
        raise EOFError(str(error)) from error
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
        gzipped = peek(2)[:2] == _GZIP
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

    def read_all(self) -> bytes:
        """Returns the rest of the stream."""
        pieces = []
        while piece := self.read1(_BUFFER_BYTES):
            pieces.append(piece)
        return b"".join(pieces)

    def read1(self, size: int) -> bytes:
        """Returns at most `size` bytes, after at most one read."""
        with _translated():
            return self._stream.read1(size)


class _Careful(io.RawIOBase):
    """A gzipped tar, unpacked by ISA-L, which is faster: all that precedes a member is unpacked.

    Where it is damaged it ends, and keeps the exception in `damage`: raised at once it would lose
    the data that `io.BufferedReader` has read before.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._stream = igzip.IGzipFile(fileobj=file)
        self._at = 0
        self.damage: Exception | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (self._at if whence == io.SEEK_CUR else 0)
        self._guarded(lambda: self._stream.seek(self._at), 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._guarded(lambda: self._stream.read1(len(buffer)), b"")
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _guarded(self, action: Callable[[], Any], otherwise: Any) -> Any:
        if self.damage:
            return otherwise
        try:
            with _translated():
                return action()
        except DAMAGE as error:
            self.damage = error
            return otherwise
