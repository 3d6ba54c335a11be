"""Pictures of folders and archives, read by the addresses that travelled to their images."""

from collections.abc import Iterator, Sequence
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from transforms.elements import Source
from transforms.failures import PixelError
from transforms.pixels.buffer import PictureBuffer
from transforms.pixels.fetch import Answer
from transforms.pixels.members import ADDRESS, MemberReader
from transforms.storage.objects import is_remote
from transforms.storage.stores import ObjectOptions


class MemberSource:
    """Folders and archives, whose members were listed.

    Args:
        sources: all sources of the build, by index.
        indices: those that are meant.
        options: how object stores are reached.
        buffer: that of `fetch_pictures`, if all pictures come from here: where they are read to.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        indices: Sequence[int],
        options: ObjectOptions,
        buffer: PictureBuffer | None = None,
    ) -> None:
        self._sources = {index: sources[index] for index in indices}
        self._reader = MemberReader(options=options)
        self._buffer = buffer

    def ask(self, images: pa.Table) -> Iterator[Iterator[Answer]]:
        of_image = [
            [member for member in members if member[0] in self._sources]
            for members in _members(images["pictures"])
        ]
        self._reader.expect(members[0][1:] for members in of_image if members)
        for members in of_image:
            yield map(self._read, members)

    def close(self) -> None:
        self._reader.close()

    def _read(self, member: tuple) -> Answer:
        index, *address = member
        source = self._sources[index]
        # An unpacked archive is in a temporary file, whose name would tell nobody anything.
        path = source.path if source.medium == "tar.gz" else address[0]
        try:
            return Answer(path, self._picture(*address))
        except PixelError as error:
            return Answer(path, error)

    def _picture(
        self, container: str, offset: int, size: int, method: int, crc32: int | None
    ) -> bytes | memoryview:
        if self._buffer and crc32 is None and not is_remote(container):
            room = self._buffer.room(size)
            if room is not None:
                self._reader.read_into(room, container, offset)
                return room
        return self._reader.read(container, offset, size, method, crc32)


def _members(pictures: pa.ChunkedArray) -> Iterator[list[tuple]]:
    """Of each image the source and address of each of its members."""
    counts = pc.fill_null(pc.list_value_length(pictures), 0).to_pylist()
    members = pc.list_flatten(pictures)
    columns = [pc.struct_field(members, name).to_pylist() for name in ("source", *ADDRESS)]
    rows = zip(*columns, strict=True)
    for count in counts:
        yield list(islice(rows, count))
