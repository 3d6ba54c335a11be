"""Formats of loose files: files of each example, such as its picture, and files of a whole split.

A part is the files end to end, each after its path. Its shard is a list of the files, in the
form of `sha256sum`, so that `sha256sum -c` checks them from the version's folder:

    # 0001eeaf4aed83f9
    <SHA-256>  yolo/images/train/0001eeaf4aed83f9.jpg

A line that begins with `#` names an example, of which the shard has as many as such lines. Files
that all examples of a split share are made of pieces, in parts of their own (`SharedWriter`).
"""

import abc
import contextlib
import hashlib
import os
import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.formats.format import (
    Content,
    CreateFile,
    ExampleWriter,
    Format,
    FormatError,
    ListedFile,
    Picture,
    Schema,
)
from transforms.formats.part import HashingFile, StoredPart

#: Before a file in a part: the lengths of its path and of its content, which follow.
_HEAD = struct.Struct("<IQ")
#: In place of a path, where `data` is an ImageID.
_EXAMPLE = ""
_LIST_ROWS = 65_536
#: A line of a list that names a file, which lies below the version's folder.
_LISTED = re.compile("([0-9a-f]{64})  ([^/].*)")


class LooseFile(NamedTuple):
    """A file, or a piece of one that all examples of a split share.

    Attributes:
        path: below the folder of the version, with slashes; or empty, and `data` is an ImageID.
        data: the content, bytes or a buffer of them.
    """

    path: str
    data: Any


class LooseWriter(ExampleWriter):
    """Writes the files of examples to a part."""

    @abc.abstractmethod
    def files(self, table: pa.Table) -> Iterator[LooseFile]:
        """Yields files, or pieces of them, in an order that is the same each time.

        Args:
            table: (n,) rows as of `ExampleWriter.write`.
        """

    def write(self, table: pa.Table) -> None:
        for image_id in table["image_id"].to_pylist():
            self._append(LooseFile(_EXAMPLE, image_id.encode()))
        self._append_files(table)
        self._rows += len(table)

    def _append_files(self, table: pa.Table) -> None:
        for file in self.files(table):
            self._append(file)

    def _append(self, file: LooseFile) -> None:
        path, data = file.path.encode(), memoryview(file.data)
        self._file.write(_HEAD.pack(len(path), data.nbytes) + path)
        self._file.write(data)


class SharedWriter(LooseWriter):
    """Writes pieces of the files that all examples of a split share; see `format.SharedFiles`."""

    def write(self, table: pa.Table) -> None:
        self._append_files(table)


def picture_files(table: pa.Table, folder: str) -> Iterator[LooseFile]:
    """Yields the pictures of examples that have one, as they are: `<ImageID>.jpg` and the like.

    Args:
        table: (n,) rows as of `ExampleWriter.write`.
        folder: of the files, below that of the version.
    """
    paths = pc.struct_field(table["image"], "path").to_pylist()
    pictures = pc.struct_field(table["image"], "bytes")
    for image_id, path, data in zip(table["image_id"].to_pylist(), paths, pictures, strict=True):
        if data.is_valid:
            suffix = os.path.splitext(path)[1]
            yield LooseFile(f"{folder}/{image_id}{suffix}", data.as_buffer())


def verify_parts(parts: Iterable[StoredPart]) -> list[StoredPart]:
    """Returns the parts once all are known to be sound, so that no file is written before.

    Raises:
        DamagedPartError: A part isn't what was written.
    """
    sound = []
    for part in parts:
        part.read()
        sound.append(part)
    return sound


def read_files(path: str) -> Iterator[LooseFile]:
    """Yields the files of a part that was verified; contents are buffers that stay on the disk."""
    with pa.memory_map(path) as source:
        while head := source.read(_HEAD.size):
            path_bytes, data_bytes = _HEAD.unpack(head)
            name = source.read(path_bytes).decode()
            yield LooseFile(name, source.read_buffer(data_bytes))


class FileList:
    """The list of files that is a shard; `create` opens them.

    Args:
        destination: of the list; it is left open.
        create: opens a file of the version.
    """

    def __init__(self, destination: HashingFile, create: CreateFile) -> None:
        self._destination = destination
        self._create = create

    def add_example(self, image_id: Any) -> None:
        """Lists an example.

        Args:
            image_id: bytes, or a buffer of them.
        """
        self._destination.write(b"# %b\n" % memoryview(image_id))

    def write(self, file: LooseFile) -> None:
        """Writes a file that is whole, or lists an example."""
        if file.path == _EXAMPLE:
            self.add_example(file.data)
            return
        with self.open(file.path) as opened:
            opened.write(file.data)

    @contextlib.contextmanager
    def open(self, path: str) -> Iterator[HashingFile]:
        """Opens a file, to be listed when it is closed without an error.

        Args:
            path: below the folder of the version.
        """
        with self._create(path) as raw:
            file = HashingFile(raw, hashlib.sha256())
            yield file
            digest = file.digest
        self._destination.write(f"{digest}  {path}\n".encode())


class LooseFormat(Format):
    """A format whose shards are lists of loose files."""

    has_loose_files = True
    parts_are_shards = False
    is_partial = True
    media_type = "text/plain"

    def concatenate(
        self, parts: Iterable[StoredPart], destination: HashingFile, create: CreateFile
    ) -> None:
        """Writes the files of the parts, and to `destination` their list."""
        sound = verify_parts(parts)
        listed = FileList(destination, create)
        for part in sound:
            for file in read_files(part.path):
                listed.write(file)

    def schema(self, content: Content) -> dict[str, str]:
        return {"image_id": "string"}

    def count(self, path: str) -> int:
        with open(path, "rb") as file:
            return sum(line.startswith(b"#") for line in file)

    def listed_files(self, path: str) -> Iterator[ListedFile]:
        with open(path, errors="replace") as file:
            yield from (line for line in _read_list(file) if isinstance(line, ListedFile))

    def read(
        self, path: str, columns: Sequence[str] | None = None, schema: Schema | None = None
    ) -> Iterator["ListedExamples"]:
        with open(path, errors="replace") as file:
            found = (line for line in _read_list(file) if isinstance(line, str))
            for ids in iter(lambda: [*islice(found, _LIST_ROWS)], []):
                yield ListedExamples(pa.array(ids, pa.string()))


def _read_list(lines: Iterable[str]) -> Iterator[str | ListedFile]:
    """Yields what a list of files consists of: ImageIDs, and files.

    Raises:
        FormatError: A line is neither.
    """
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\n")
        if line.startswith("# "):
            yield line[2:]
        elif (match := _LISTED.fullmatch(line)) and ".." not in match[2].split("/"):
            yield ListedFile(match[2], match[1])
        else:
            raise FormatError(f"line {number} names no file with its SHA-256")


class ListedExamples:
    """The ImageIDs of consecutive examples; see `format.Examples`.

    Annotations are in loose files, which are checked by their checksums.
    """

    def __init__(self, image_ids: pa.StringArray) -> None:
        self.image_ids = image_ids

    def count_in_split(self, split: str) -> int:
        """Counts all of them: their list is of one split."""
        return len(self.image_ids)

    def count_annotations(self) -> Counter[str]:
        return Counter()

    def picture(self, row: int) -> Picture:
        return Picture(self.image_ids[row].as_py(), None, (None, None))

    def checksums(self) -> np.ndarray:
        return np.zeros(len(self.image_ids), np.uint64)

    def column_checksums(self, columns: Sequence[str]) -> dict[str, np.ndarray]:
        return {}

    def features(self, row: int) -> dict[str, Any]:
        return {}
