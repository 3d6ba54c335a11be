"""Parts: files of examples before they become shards; checksums are taken while they are written
and read."""

from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple, Protocol

from isal import isal_zlib

from transforms.storage.streams import ObjectWriter

_READ_BYTES = 256 << 10  # which stay in the cache while they are checked, hashed and written


class DamagedPartError(Exception):
    """What was read back isn't what was written."""


class Part(NamedTuple):
    """What the writer of a part returns.

    Attributes:
        path: of the file.
        num_examples: in it.
        bytes: its size.
        crc32: of all of its bytes.
        body: CRC-32 of the bytes before its footer, which for Parquet begins with page indexes; of
            all where the format has no footer.
        dropped: what of the examples the format can't hold, and how many of that.
    """

    path: str
    num_examples: int
    bytes: int
    crc32: str
    body: str
    dropped: tuple[tuple[str, int], ...] = ()


class StoredPart(NamedTuple):
    """A part in a local file, about to become a shard or a piece of one.

    Attributes:
        path: of the file.
        crc32: of its bytes, as its writer reported it.
    """

    path: str
    crc32: str

    def read(self, take: Callable[[memoryview], object] | None = None) -> None:
        """Reads the part to its end and verifies it; passes its bytes to `take` on the way.

        Raises:
            DamagedPartError: The bytes aren't those that were written.
        """
        crc = Crc32()
        room = memoryview(bytearray(_READ_BYTES))
        with open(self.path, "rb", buffering=0) as file:
            while count := file.readinto(room):
                crc.update(room[:count])
                if take:
                    take(room[:count])
        if crc.hexdigest() != self.crc32:
            raise DamagedPartError(
                f"{self.path}: was not read back as it was written; is the disk sound?"
            )


def take_first(size: int, take: Callable[[memoryview], object]) -> Callable[[memoryview], object]:
    """Returns a function that passes the first `size` bytes of all that it is given to `take`."""

    def take_some(data: memoryview) -> None:
        nonlocal size
        take(data[:size])
        size -= len(data[:size])

    return take_some


class Digest(Protocol):
    """What `hashlib`'s hashes have in common with `Crc32`."""

    def update(self, data: Any, /) -> None:
        """Takes in more bytes."""

    def hexdigest(self) -> str:
        """Hex digest of the bytes so far."""


class Crc32:
    """CRC-32 of a part, by ISA-L: it takes a fiftieth of the time of SHA-256."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: Any, /) -> None:
        self._value = isal_zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


class HashingFile:
    """Writes through to a binary file, and takes the size and a digest of all bytes written.

    It has the methods that `pyarrow` needs of a Python sink: `write`, `tell`, `flush`, `close`,
    `closed`.
    """

    def __init__(self, file: BinaryIO | ObjectWriter, digest: Digest) -> None:
        self._file = file
        self._digest = digest
        self._bytes = 0

    def write(self, data: Any) -> int:
        """Writes any contiguous bytes-like object; the number of bytes written."""
        view = memoryview(data)
        if not view.nbytes:
            return 0  # and no cast: memoryview refuses to cast the empty
        view = view.cast("B")
        self._file.write(view)
        self._digest.update(view)
        self._bytes += len(view)
        return len(view)

    def tell(self) -> int:
        """Bytes written so far."""
        return self._bytes

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    @property
    def closed(self) -> bool:
        return self._file.closed

    @property
    def digest(self) -> str:
        """Hex digest of the bytes written so far."""
        return self._digest.hexdigest()
