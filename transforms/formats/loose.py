"""Formats of loose files: files of each example, such as its picture, and files of a whole split.

A part is the files end to end, each after its path. Large ones, such as pictures, are in a folder
beside a local part instead, so that they are written once: their places in the version are links.
Its shard is a list of the files, in the
form of `sha256sum`, so that `sha256sum -c` checks them from the version's folder:

    # 0001eeaf4aed83f9
    <SHA-256>  yolo/images/train/0001eeaf4aed83f9.jpg

A line that begins with `#` names an example, of which the shard has as many as such lines. Files
that all examples of a split share are made of pieces, in parts of their own (`SharedWriter`).
"""

import abc
import contextlib
import hashlib
import math
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
from isal import isal_zlib

from transforms.formats.format import (
    Content,
    ExampleWriter,
    Format,
    FormatError,
    ListedFile,
    NewFiles,
    Picture,
    Schema,
)
from transforms.formats.part import HashingFile, Part, StoredPart
from transforms.journal import FILES_OF
from transforms.storage import files
from transforms.storage.objects import is_remote

#: Before a file in a part: the length of its path, which follows, the length of its content, and 0
#: where that follows too, or else the CRC-32 of the content, which is in a file of its own.
_HEAD = struct.Struct("<IQI")
#: Contents from this size on have files of their own.
_OWN_BYTES = 16 << 10
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


class OwnFile(NamedTuple):
    """The content of a file of a part that has a file of its own.

    Attributes:
        path: of that file.
        crc32: of its content, as it was written.
    """

    path: str
    crc32: int


class LooseWriter(ExampleWriter):
    """Writes the files of examples to a part."""

    #: Contents from so many bytes on have files of their own.
    _own_from: float = _OWN_BYTES
    #: How many files beside the part there are, and their bytes.
    _own_files = _own_bytes = 0

    @property
    def bytes_written(self) -> int:
        return super().bytes_written + self._own_bytes

    def close(self) -> Part:
        return super().close()._replace(bytes=self.bytes_written)

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
        is_large = data.nbytes >= self._own_from and not is_remote(self._path)
        crc32 = self._write_own(data) if is_large else 0
        self._file.write(_HEAD.pack(len(path), data.nbytes, crc32) + path)
        if not crc32:
            self._file.write(data)

    def _write_own(self, data: memoryview) -> int:
        """Writes a file beside the part; returns its CRC-32. One that is 0 has no such file."""
        crc32 = isal_zlib.crc32(data)
        if crc32:
            path = _own_file(self._path, self._own_files)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with files.create_lasting_file(path) as own:
                own.write(data)
            self._own_files += 1
            self._own_bytes += data.nbytes
        return crc32


class SharedWriter(LooseWriter):
    """Writes pieces of the files that all examples of a split share; see `format.SharedFiles`."""

    _own_from = math.inf

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


def _own_file(part: str, number: int) -> str:
    return os.path.join(part + FILES_OF, str(number))


def read_files(path: str) -> Iterator[LooseFile]:
    """Yields the files of a part that was verified; contents are buffers that stay on the disk, or
    `OwnFile`s, which aren't verified."""
    own_files = 0
    with pa.memory_map(path) as source:
        while head := source.read(_HEAD.size):
            path_bytes, data_bytes, crc32 = _HEAD.unpack(head)
            name = source.read(path_bytes).decode()
            if crc32:
                yield LooseFile(name, OwnFile(_own_file(path, own_files), crc32))
                own_files += 1
            else:
                yield LooseFile(name, source.read_buffer(data_bytes))


class FileList:
    """The list of files that is a shard.

    Args:
        destination: of the list; it is left open.
        new_files: makes the files.
    """

    def __init__(self, destination: HashingFile, new_files: NewFiles) -> None:
        self._destination = destination
        self._new_files = new_files

    def add_example(self, image_id: Any) -> None:
        """Lists an example.

        Args:
            image_id: bytes, or a buffer of them.
        """
        self._destination.write(b"# %b\n" % memoryview(image_id))

    def write(self, file: LooseFile) -> None:
        """Writes a file that is whole, or lists an example.

        Raises:
            DamagedPartError: The file isn't what was written to the part.
        """
        if file.path == _EXAMPLE:
            self.add_example(file.data)
        elif isinstance(file.data, OwnFile):
            digest = hashlib.sha256()
            StoredPart(file.data.path, f"{file.data.crc32:08x}").read(digest.update)
            self._new_files.place(file.path, file.data.path)
            self._add(file.path, digest.hexdigest())
        else:
            with self.open(file.path) as opened:
                opened.write(file.data)

    @contextlib.contextmanager
    def open(self, path: str) -> Iterator[HashingFile]:
        """Opens a file, to be listed when it is closed without an error.

        Args:
            path: below the folder of the version.
        """
        with self._new_files.create(path) as raw:
            file = HashingFile(raw, hashlib.sha256())
            yield file
            digest = file.digest
        self._add(path, digest)

    def _add(self, path: str, sha256: str) -> None:
        self._destination.write(f"{sha256}  {path}\n".encode())


class LooseFormat(Format):
    """A format whose shards are lists of loose files."""

    has_loose_files = True
    parts_are_shards = False
    is_partial = True
    media_type = "text/plain"

    def concatenate(
        self, parts: Iterable[StoredPart], destination: HashingFile, new_files: NewFiles
    ) -> None:
        """Writes the files of the parts, and to `destination` their list."""
        sound = verify_parts(parts)
        listed = FileList(destination, new_files)
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
