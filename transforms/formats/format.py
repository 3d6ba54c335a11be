"""The protocol of output formats, by which all programs use them.

A build writes the examples of a bucket and split to parts (`open_part`), and puts neighbouring
parts together to shards (`concatenate`, `count`, `footer_checksum`, `shard_path`). Publishing adds
the files that readers need beside the shards (`documents`, `data_files`, `media_type`,
`record_columns`), and the report prints how to load them (`loading_code`). The next build looks at
the parts inside of the shards, and takes them out again (`read_body`, `extract`). `verify` and
`versions diff` read shards back (`read`).

Files that all examples of a split share, such as a table of annotations, are parts of their own
(`Format.shared`), beside those of examples: these become shards by size, on all workers, and those
one shard, the last of the split, which has no examples.

A format is one module with an instance of its class, `FORMAT`, and one line in `registry`.
"""

import abc
import contextlib
import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, ClassVar, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from transforms.dataset.classes import NO_CLASSES, ClassTable
from transforms.dataset.elements import BuiltPart
from transforms.formats.part import Crc32, HashingFile, Part, StoredPart
from transforms.formats.settings import DEFAULT_SETTINGS, FormatSettings
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

_READ_BYTES = 256 << 10
_REMOTE_BYTES = 8 << 20


class NewFiles(Protocol):
    """Makes files of a version, by their path below its folder."""

    def create(self, path: str) -> contextlib.AbstractContextManager[BinaryIO]:
        """Opens a new file, which is there once the context ends."""

    def place(self, path: str, file: str) -> None:
        """Puts a local file there; it stays where it is, too, and is never written again."""


class FormatError(ValueError):
    """A shard isn't what its format says; the message is one line without the path."""


@dataclasses.dataclass(frozen=True)
class Content:
    """What the examples of a dataset hold, and how they are written.

    Attributes:
        columns: of `EXAMPLE` that the dataset fills; see `schema.example_columns`. The others are
            null in all tables.
        settings: of all formats.
        classes: of the dataset; none for formats that don't need them (`Format.needs_classes`).
    """

    columns: Sequence[str]
    settings: FormatSettings = DEFAULT_SETTINGS
    classes: ClassTable = NO_CLASSES


class ListedFile(NamedTuple):
    """A file of a version that a shard lists.

    Attributes:
        path: below the folder of the version, with slashes.
        sha256: of its content, in hex.
    """

    path: str
    sha256: str


class ExampleWriter(abc.ABC):
    """Writes the examples of one part. Equal calls make equal bytes."""

    def __init__(
        self, path: str, content: Content, options: ObjectOptions = files.DEFAULTS
    ) -> None:
        """Opens the file; arguments as of `Format.open_part`."""
        self._path = path
        self._content = content
        #: How much of the examples the format can't hold, by what it is: a few words, in plural.
        self._dropped: Counter[str] = Counter()
        self._file = HashingFile(files.create_lasting_file(path, options), Crc32())
        self._rows = 0

    @property
    def bytes_written(self) -> int:
        """Size of the file so far, by which parts are ended."""
        return self._file.tell()

    @abc.abstractmethod
    def write(self, table: pa.Table) -> None:
        """Appends examples: (n,) rows with the columns of `EXAMPLE`.

        Texts inside of lists may be dictionaries (see `dataset.codes`).
        """

    def close(self) -> Part:
        """Ends the file."""
        self._file.close()
        checksum = self._file.digest
        dropped = tuple(sorted((+self._dropped).items()))
        return Part(self._path, self._rows, self._file.tell(), checksum, checksum, dropped)


class Picture(NamedTuple):
    """The picture of an example as it was read back.

    Attributes:
        image_id: of the example.
        data: the encoded picture; None where the example has none.
        size: width and height by the example's columns.
    """

    image_id: str
    data: bytes | None
    size: tuple[int | None, int | None]


class Examples(Protocol):
    """Consecutive examples of a shard, read back: some MiB of them.

    Checksums have 64 bits and are the same in all formats: they are taken of the tf.train.Example
    that `tfrecord.encoder` makes of an example, or of a column's features in it.

    Methods raise `FormatError` for an example that isn't one.
    """

    @property
    def image_ids(self) -> pa.StringArray:
        """The ImageIDs: (n,)."""

    def count_in_split(self, split: str) -> int:
        """Counts the examples of this split by the column `split`; all if there is no column."""

    def count_annotations(self) -> Counter[str]:
        """Counts annotations by column of `ANNOTATION_COLUMNS`."""

    def picture(self, row: int) -> Picture:
        """Returns the picture of an example."""

    def checksums(self) -> np.ndarray:
        """Returns the checksums of the examples: (n,) uint64."""

    def column_checksums(self, columns: Sequence[str]) -> dict[str, np.ndarray]:
        """Returns checksums, (n,) uint64 each, of those of the columns that the shard has."""

    def features(self, row: int) -> dict[str, Any]:
        """Returns the values of each feature, in a form whose equality is that of all bits."""


class ShardSize(NamedTuple):
    """How much a shard holds."""

    num_examples: int
    bytes: int
    sha256: str


#: The shards of each split, in order.
Shards = Mapping[str, Sequence[ShardSize]]
#: Columns or features in their order, and their types as text: what a manifest records.
Schema = Mapping[str, str]


class FileKind(abc.ABC):
    """A kind of file that a build writes in parts, which it then puts together.

    As it stands, the bytes of parts make up a shard end to end, and no footer follows them.
    """

    name: ClassVar[str]
    #: Whether its shards list files, of which examples consist; see `loose`. A build doesn't take
    #: their parts over from the version before.
    has_loose_files: ClassVar[bool] = False
    #: Patterns of files that its readers write beside its own, by their path in the version.
    caches: ClassVar[tuple[str, ...]] = ()
    #: Whether a part is a shard as it stands; else each is put together by `concatenate`.
    parts_are_shards: ClassVar[bool] = True
    #: The largest size that shards may aim at; they may exceed it by a quarter, as parts may.
    most_target_bytes: ClassVar[float] = math.inf

    @abc.abstractmethod
    def shard_path(self, settings: FormatSettings, split: str, index: int, shards: int) -> str:
        """Returns a shard's path below the folder of its version.

        Args:
            settings: of all formats.
            split: of the shard.
            index: its number, from 0.
            shards: how many the split has.
        """

    @abc.abstractmethod
    def count(self, path: str) -> int:
        """Counts the examples of a local file, by its footer or its records.

        Raises:
            ValueError: The file isn't of this kind, or it is cut; the message names it.
        """

    def concatenate(
        self, parts: Iterable[StoredPart], destination: HashingFile, new_files: NewFiles
    ) -> None:
        """Makes a shard of parts; `destination` is left open.

        Each part must be read to its end by `StoredPart.read`, which verifies it.

        Args:
            parts: in order.
            destination: the shard.
            new_files: makes further files of the version, for formats whose shards list these; see
                `transforms.formats.loose`.

        Raises:
            DamagedPartError: A part isn't what was written.
        """
        for part in parts:
            part.read(destination.write)

    def footer_checksum(self, path: str) -> str:
        """Returns the CRC-32 of what a local shard has beside its examples, such as a footer; empty
        where that is nothing."""
        return ""


class SharedFiles(abc.ABC):
    """Files that all examples of a split share, beside a format's shards of examples.

    A bucket and split has one part, whatever its size. All parts of a split make one shard, which
    lists the files.
    """

    #: Writes its parts, which count no examples.
    writer: ClassVar[type[ExampleWriter]]

    def open_part(
        self, path: str, content: Content, options: ObjectOptions = files.DEFAULTS
    ) -> ExampleWriter:
        """As of `Format`."""
        return self.writer(path, content, options)

    @abc.abstractmethod
    def concatenate(
        self, parts: Iterable[StoredPart], destination: HashingFile, new_files: NewFiles
    ) -> None:
        """As of `FileKind`."""


class Format(FileKind):
    """An output format: what `--format` chooses among."""

    #: Whether pictures and masks of single rows can be read without reading others, as
    #: `reuse.finished` does.
    has_row_access: ClassVar[bool] = False
    #: Whether it holds only some of the columns of an example, or some of their fields. Then it is
    #: compared with other formats by its ImageIDs alone, and comes last in the registry.
    is_partial: ClassVar[bool] = False
    #: Whether its writers need the dataset's classes: their indices, names and parents.
    needs_classes: ClassVar[bool] = False
    #: The media type of its shards.
    media_type: ClassVar[str] = "application/octet-stream"

    #: Writes its parts.
    writer: ClassVar[type[ExampleWriter]]
    #: Files that all examples of a split share; None where there are none.
    shared: ClassVar[SharedFiles | None] = None

    # Writing.

    def open_part(
        self, path: str, content: Content, options: ObjectOptions = files.DEFAULTS
    ) -> ExampleWriter:
        """Opens a part for writing.

        Args:
            path: a file, local or in an object store, where it appears at the end.
            content: of the dataset's examples.
            options: how object stores are reached.
        """
        return self.writer(path, content, options)

    def refusal(self, image_encoding: str) -> str:
        """Returns why pictures may not be encoded so, a clause; empty where they may."""
        return ""

    def missing(self, kinds: Collection[str], settings: FormatSettings) -> str:
        """Returns what the format can't do without, with the remedy, a clause; empty where all is
        there.

        Args:
            kinds: of the sources that the build reads, such as `boxes`, `pictures`, `mask_files`.
            settings: of all formats.
        """
        return ""

    # Describing.

    @abc.abstractmethod
    def schema(self, content: Content) -> dict[str, str]:
        """Returns the columns or features of examples in their order, and their types.

        The manifest records it, and `read` holds shards against it.

        Args:
            content: of the dataset's examples, without classes.
        """

    def record_columns(self, schema: Schema) -> pa.Schema | None:
        """Returns the columns of an example as a reader of its shards has them, without decoding
        texts; None where a shard isn't a table for readers of Croissant.

        Args:
            schema: what the dataset's version records; see `schema`.
        """
        return None

    def documents(self, content: Content, shards: Shards) -> dict[str, Any]:
        """Returns files that readers need beside the shards: their content by path.

        Text is written as it is, anything else as JSON.

        Args:
            content: of the dataset's examples, with classes.
            shards: of each split, in order.
        """
        return {}

    def document_tests(
        self, settings: FormatSettings, schema: Schema, shards: Shards
    ) -> dict[str, Callable[[Any], bool]]:
        """Returns a test of each of the `documents` that is JSON and says what the manifest says,
        by path, whatever release has written it.

        Args:
            settings: of all formats.
            schema: what the dataset's version records; see `schema`.
            shards: of each split, in order.
        """
        return {}

    def data_files(self, split: str) -> str:
        """Returns the glob of a split's shards, for `datasets.load_dataset` to read by itself.

        The dataset card names it, below the version's folder. Empty where that can't be.
        """
        return ""

    def dataset_folder(self) -> str:
        """Returns the folder of a version that `datasets.load_dataset` reads; empty for none."""
        return ""

    @abc.abstractmethod
    def loading_code(self, folder: str, settings: FormatSettings, split: str) -> str:
        """Returns a line of Python that loads a split as `dataset`.

        Args:
            folder: of the version.
            settings: of all formats.
            split: to load.
        """

    def listed_files(self, path: str) -> Iterator[ListedFile]:
        """Yields the files that a local shard lists; none for formats without loose files.

        Raises:
            FormatError: It isn't such a list.
        """
        yield from ()

    # Taking parts over.

    def read_body(self, part: BuiltPart) -> Iterator[bytes]:
        """Yields the bytes that `BuiltPart.body` is the checksum of, from a local shard.

        Args:
            part: with an origin; `path` is the shard's.

        Raises:
            OSError: The shard can't be read.
            ValueError: Its footer isn't as it was written.
        """
        assert part.origin is not None
        with open(part.path, "rb") as shard:
            yield from pieces(shard, part.origin.start, part.bytes)

    def extract(self, part: BuiltPart, destination: BinaryIO, options: ObjectOptions) -> None:
        """Writes a part again, byte for byte, from the shard that it became a piece of.

        Args:
            part: with an origin; `path` is the shard's, local or in an object store.
            destination: is left open.
            options: how object stores are reached.

        Raises:
            OSError, StorageError: The shard can't be read.
            ValueError: It isn't as it was written.
        """
        assert part.origin is not None
        with open_shard(part, options) as shard:
            for data in pieces(shard, part.origin.start, part.bytes):
                destination.write(data)

    # Reading back.

    @abc.abstractmethod
    def read(
        self, path: str, columns: Sequence[str] | None = None, schema: Schema | None = None
    ) -> Iterator[Examples]:
        """Yields the examples of a local shard in order.

        Args:
            path: of the shard.
            columns: those by which examples are compared with another format's; None for all.
            schema: what its version records, which it is held against. If None, it is read as it
                is, with fewer columns where an earlier release wrote it.

        Raises:
            FormatError: The shard's columns or features are others, or an example isn't one.
            OSError: The shard can't be read.
        """


def open_shard(part: BuiltPart, options: ObjectOptions) -> BinaryIO:
    """Opens the shard that a part with an origin lies in."""
    assert part.origin is not None
    return files.open_file(part.path, options, _REMOTE_BYTES, part.origin.bytes)


def pieces(file: BinaryIO, start: int, size: int) -> Iterator[bytes]:
    """Yields the bytes of a range of a file, up to its end."""
    file.seek(start)
    while size and (data := file.read(min(size, _READ_BYTES))):
        yield data
        size -= len(data)
