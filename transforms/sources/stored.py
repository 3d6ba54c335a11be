"""Pictures of folders and archives, read by the addresses that travelled to their images."""

from collections.abc import Iterator, Sequence
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import Source
from transforms.dataset.failures import PixelError
from transforms.sources.answers import Answer
from transforms.sources.buffer import PictureBuffer
from transforms.sources.contents import path_of
from transforms.sources.members import ADDRESS, MemberReader, archive_stamps
from transforms.sources.repeats import check_alike, group_by_place
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
        stamps = archive_stamps(self._sources.values())
        self._reader = MemberReader(options=options, stamps=stamps)
        self._buffer = buffer

    def ask(self, images: pa.Table) -> Iterator[Iterator[Answer]]:
        of_image = [
            [member for member in members if member[0] in self._sources]
            for members in _members(images["pictures"])
        ]
        self._reader.expect(members[0][1:-1] for members in of_image if members)
        for members in of_image:
            if len(members) > 1:
                yield map(self._read_alike, group_by_place(members, _container_of, _name_of))
            else:
                yield map(self._read, members)

    def close(self) -> None:
        self._reader.close()

    def _read_alike(self, members: list[tuple]) -> Answer:
        """Reads the picture of members of the same name in an archive."""
        first = members[0]
        if len(members) > 1:
            contents = (self._reader.read(*address) for _, *address, _ in members)
            try:
                check_alike(contents, _name_of(first), (member[2] for member in members))
            except PixelError as error:
                return Answer(self._path_of(first), error)
        return self._read(first)

    def _read(self, member: tuple) -> Answer:
        _, *address, _ = member
        path = self._path_of(member)
        try:
            return Answer(path, self._picture(*address))
        except PixelError as error:
            return Answer(path, error)

    def _path_of(self, member: tuple) -> str:
        return path_of(self._sources[member[0]], _container_of(member))

    def _picture(
        self,
        container: str,
        offset: int,
        size: int,
        method: int,
        crc32: int | None,
        stamp: int | None,
    ) -> bytes | memoryview:
        if self._buffer and crc32 is None and not is_remote(container):
            room = self._buffer.room(size)
            if room is not None:
                self._reader.read_into(room, container, offset, stamp)
                return room
        return self._reader.read(container, offset, size, method, crc32, stamp)


def _name_of(member: tuple) -> str:
    return member[-1]


def _container_of(member: tuple) -> str:
    return member[1]


def _members(pictures: pa.ChunkedArray) -> Iterator[list[tuple]]:
    """Of each image the source, address and name of each of its members.

    Names are None where no image has several members, as nearly always.
    """
    counts = pc.fill_null(pc.list_value_length(pictures), 0).to_pylist()
    members = pc.list_flatten(pictures)
    columns = [pc.struct_field(members, name).to_pylist() for name in ("source", *ADDRESS)]
    names = [None] * len(members)
    if max(counts, default=0) > 1:
        names = pc.struct_field(members, "name").to_pylist()
    rows = zip(*columns, names, strict=True)
    for count in counts:
        yield list(islice(rows, count))
