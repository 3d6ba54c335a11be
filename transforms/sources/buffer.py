"""Memory for pictures that are held together, used again for the next ones."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


class PictureBuffer:
    """Pictures end to end in memory that stays: new memory costs more than reading into it.

    Who adds pictures, and who reads them into `room`, share it.

    Attributes:
        capacity: bytes that it has room for when it is empty.
    """

    def __init__(self, capacity: int, is_recycled: bool = True) -> None:
        """Nothing is taken of the system before it is used.

        Args:
            capacity: in bytes.
            is_recycled: whether all that was taken from it is overwritten once it has been cleared;
                otherwise it has new memory then.
        """
        self.capacity = capacity
        self._is_recycled = is_recycled
        self._allocate()

    def _allocate(self) -> None:
        self._bytes = np.zeros(self.capacity, np.uint8)
        self._memory = self._bytes.data
        self._used = 0

    def room(self, size: int) -> memoryview | None:
        """Returns room to read a picture into, which may then be added; None if it is full."""
        end = self._used + size
        return self._memory[self._used : end] if end <= len(self._memory) else None

    def add(self, picture: bytes | memoryview) -> bytes | memoryview:
        """Keeps a picture behind those that were added before; one that lies there isn't copied.

        Returns:
            It in its place, or as it was given where there is no room.
        """
        room = self.room(len(picture))
        if room is None:
            return picture
        if not (isinstance(picture, memoryview) and picture.obj is self._bytes):
            room[:] = picture
        self._used += len(picture)
        return room

    def column(self, pictures: Sequence[bytes | memoryview]) -> pa.BinaryArray:
        """(n,) binary: all pictures that were added, or a single one that wasn't; not copied."""
        data = self._memory[: self._used] if self._used else b"".join(pictures[:1])
        offsets = np.zeros(len(pictures) + 1, np.int32)
        np.cumsum([len(picture) for picture in pictures], out=offsets[1:])
        assert offsets[-1] == len(data), "pictures of another buffer"
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
        return pa.BinaryArray.from_buffers(pa.binary(), len(pictures), buffers)

    def clear(self) -> None:
        """Forgets all pictures."""
        if self._is_recycled:
            self._used = 0
        else:
            self._allocate()
