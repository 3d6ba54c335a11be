"""Pictures of folders and archives, read by the addresses that travelled to their images."""

from collections.abc import Iterable, Iterator
from itertools import islice, repeat
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import Source
from transforms.dataset.failures import PixelError
from transforms.sources.answers import Answer
from transforms.sources.buffer import PictureBuffer
from transforms.sources.contents import path_of
from transforms.sources.members import ADDRESS, Address, MemberReader, check_alike, group_by_place
from transforms.storage.objects import is_remote
from transforms.storage.stores import ObjectOptions


class _Stored(NamedTuple):
    """A member as it was listed; its name is empty where no image has several, as nearly always."""

    source: int
    address: Address
    name: str


class MemberSource:
    """Folders and archives, whose members were listed.

    Args:
        sources: the folders and archives.
        options: how object stores are reached.
        buffer: that of `fetch_pictures`, if all pictures come from here: where they are read to.
    """

    def __init__(
        self, sources: Iterable[Source], options: ObjectOptions, buffer: PictureBuffer | None = None
    ) -> None:
        self._sources = {source.index: source for source in sources}
        self._reader = MemberReader(options=options, sources=self._sources.values())
        self._buffer = buffer

    def ask(self, images: pa.Table) -> Iterator[Iterator[Answer]]:
        of_image = [
            [member for member in members if member.source in self._sources]
            for members in _members(images["pictures"])
        ]
        self._reader.expect(members[0].address for members in of_image if members)
        for members in of_image:
            if len(members) > 1:
                groups = group_by_place(members, lambda each: (each.address.container, each.name))
                yield map(self._read_alike, groups)
            else:
                yield map(self._read, members)

    def close(self) -> None:
        self._reader.close()

    def _read_alike(self, members: list[_Stored]) -> Answer:
        """Reads the picture of members of the same name in an archive."""
        first = members[0]
        if len(members) > 1:
            contents = (self._reader.read(member.address) for member in members)
            try:
                check_alike(contents, first.name, (member.address.offset for member in members))
            except PixelError as error:
                return Answer(self._path_of(first), error)
        return self._read(first)

    def _read(self, member: _Stored) -> Answer:
        path = self._path_of(member)
        try:
            return Answer(path, self._picture(member.address))
        except PixelError as error:
            return Answer(path, error)

    def _path_of(self, member: _Stored) -> str:
        return path_of(self._sources[member.source], member.address.container)

    def _picture(self, at: Address) -> bytes | memoryview:
        if self._buffer and at.crc32 is None and not is_remote(at.container):
            room = self._buffer.room(at.size)
            if room is not None:
                self._reader.read_into(room, at)
                return room
        return self._reader.read(at)


def _members(pictures: pa.ChunkedArray) -> Iterator[list[_Stored]]:
    """Yields the members of each image."""
    counts = pc.fill_null(pc.list_value_length(pictures), 0).to_pylist()
    members = pc.list_flatten(pictures)

    def column(name: str) -> list:
        return pc.struct_field(members, name).to_pylist()

    addresses = map(Address, *map(column, ADDRESS))
    names = column("name") if max(counts, default=0) > 1 else repeat("")
    rows = map(_Stored, column("source"), addresses, names)
    for count in counts:
        yield list(islice(rows, count))
