"""A COCO JSON file, written as its images and annotations come; memory holds a few MiB of it."""

import contextlib
import tempfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.texts import end_to_end, join
from transforms.formats.loose import FileList
from transforms.formats.part import HashingFile

#: Sections of a file, of which parts have pieces.
HEAD, IMAGES, ANNOTATIONS, CATEGORIES = "head", "images", "annotations", "categories"
_READ_BYTES = 4 << 20
_NEWLINE = 10


class Piece(NamedTuple):
    """A piece of a file.

    `HEAD` are the members before `images`, and `CATEGORIES`, compressed by zlib, are those after
    `annotations`; of both, one piece is written. Others are lines: images are JSON objects with
    commas between them, and annotations the members of JSON objects without their `id`.

    Attributes:
        path: of the file, below the folder of the version.
        section: of the file.
    """

    path: str
    section: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Returns the piece that was encoded so."""
        path, _, section = text.partition("#")
        return cls(path, section)

    def encode(self) -> str:
        """Returns it as the path of a `LooseFile`."""
        return f"{self.path}#{self.section}"


class Document:
    """Writes one file; annotations wait in `waiting`, as images come first.

    Args:
        file: is left open.
        waiting: an empty file.
    """

    def __init__(self, file: HashingFile, waiting: BinaryIO) -> None:
        self._file = file
        self._waiting = waiting
        self._head = self._categories = b""
        self._has_images = False

    def add(self, section: str, data: pa.Buffer) -> None:
        """Adds a piece; see `Piece`."""
        if section == HEAD:
            self._head = self._head or data.to_pybytes()
        elif section == CATEGORIES:
            self._categories = self._categories or data.to_pybytes()
        elif section == ANNOTATIONS:
            self._waiting.write(data)
        else:
            separator = b",\n" if self._has_images else b'{%b,"images":[\n' % self._head
            self._file.write(separator)
            self._file.write(data)
            self._has_images = True

    def close(self) -> None:
        """Writes what follows the images."""
        self._file.write(b'\n],"annotations":[')
        self._waiting.seek(0)
        _write_annotations(self._waiting, self._file)
        categories = zlib.decompress(self._categories) if self._categories else b""
        self._file.write(b"\n]%b}\n" % categories)


@contextlib.contextmanager
def open_document(listed: FileList, path: str, scratch: str) -> Iterator[Document]:
    """Opens a file, which is listed in the end.

    Args:
        listed: the files of the shard.
        path: of the file, below the folder of the version.
        scratch: a local folder for what has to wait.
    """
    with listed.open(path) as file, tempfile.TemporaryFile(dir=scratch) as waiting:
        document = Document(file, waiting)
        yield document
        document.close()


def _write_annotations(lines: BinaryIO, file: HashingFile) -> None:
    """Writes annotations, numbered from 1.

    Args:
        lines: the members of each but `id`, a line each.
        file: where to.
    """
    number = 1
    for text in _read_lines(lines):
        ends = np.flatnonzero(np.frombuffer(text, np.uint8) == _NEWLINE) + 1
        offsets = pa.py_buffer(np.append(0, ends).astype(np.int32))
        members = pa.BinaryArray.from_buffers(
            pa.binary(), len(ends), [None, offsets, pa.py_buffer(text)]
        )
        members = pc.binary_slice(members, 0, -1).cast(pa.string())
        numbers = pa.array(np.arange(number, number + len(ends))).cast(pa.string())
        objects = join(',\n{"id":', numbers, ",", members, "}")
        data = end_to_end(objects)
        # There is no comma before the first.
        file.write(data.slice(1) if number == 1 else data)
        number += len(ends)


def _read_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yields some MiB of whole lines at a time."""
    rest = b""
    while data := file.read(_READ_BYTES):
        whole, newline, cut = data.rpartition(b"\n")
        if newline:
            yield rest + whole + newline
            rest = b""
        rest += cut
