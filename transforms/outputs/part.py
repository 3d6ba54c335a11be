"""A finished file of examples, and the file object that keeps its account while it is written."""

import hashlib
from typing import Any, BinaryIO, NamedTuple


class Part(NamedTuple):
    """What the writer of a file of examples hands back."""

    path: str
    num_examples: int
    bytes: int
    sha256: str


class HashingFile:
    """Writes through to a binary file and knows the size and SHA-256 of all that went by.

    It has what `pyarrow` asks of a Python sink (`write`, `tell`, `flush`, `close`, `closed`), so
    that every format is hashed on its way out and no file is read a second time.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
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
    def sha256(self) -> str:
        """Hex digest of the bytes written so far."""
        return self._digest.hexdigest()
