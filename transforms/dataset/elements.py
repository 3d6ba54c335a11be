"""What travels between the steps: small frozen records, never rows.

A Beam element is a range of a file or a bucket of images; the rows themselves travel inside Arrow
batches (see `exchange`).
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from transforms.checksum import Checksum
from transforms.redaction import redact_url
from transforms.wording import LINE_LENGTH, clean

#: Media of pixel sources whose members are listed, rather than asked for by name.
LISTED = ("folder", "tar", "tar.gz", "zip")


@dataclasses.dataclass(frozen=True)
class Source:
    """One input file, recognised.

    `index` is its place in published order (base name, then path) among the sources of a build, so
    that the order in which files were named changes nothing; pixel sources follow in the order
    given, and `medium` tells how one is reached (`folder`, `tar`, …). `columns` are the file's
    columns by the names that this project has for them, '' for one that it doesn't know; empty for
    JSON Lines. `data_start` is the offset of the first row in the
    decompressed file, `header_lines` how many lines precede it. `digest` is what its content is
    known by, as `building.fingerprint` has it; a file that has a stamp and no digest gets that by
    being read. `stamp` is what changes when a file is written, as it was when the file was first
    looked at: reading it fails where it has another by then (see `files.open_file`). `notes`
    are remarks on the file that are no failures, in one line each, without its path.

    A table in an archive is a source of its own: `path` is the archive, `member` the table's name
    in it, and `size` its bytes without compression. Like a gzipped file it is read as one stream,
    so it is `compressed` too.
    """

    index: int
    kind: str
    path: str
    size: int
    split: str | None = None
    columns: tuple[str, ...] = ()
    data_start: int = 0
    header_lines: int = 0
    compressed: bool = False
    medium: str = ""
    stamp: str = ""
    digest: str = ""
    notes: tuple[str, ...] = ()
    member: str = ""
    delimiter: str = ","

    @property
    def name(self) -> str:
        """The name in all that is shown and published: the path, followed by the name in an
        archive, without the secrets of a URL."""
        path = redact_url(self.path)
        return f"{path}/{self.member}" if self.member else path

    @property
    def shown_name(self) -> str:
        """The name as it is published and printed, without control characters."""
        return clean(self.name, LINE_LENGTH)

    @property
    def lacks_digest(self) -> bool:
        """Whether its digest is that of what its readers will have read."""
        return bool(self.stamp) and not self.digest


class ByteRange(NamedTuple):
    """A range of a source: the records that begin after the first line break at or after `start`,
    up to the one at or after `stop`; the first range also has the record at its start."""

    source: int
    start: int
    stop: int


class Notice(NamedTuple):
    """A remark on an input that is no failure: why a file isn't used, or which part of it is
    ignored. `text` is one line without the path."""

    path: str
    text: str


class SourceCount(NamedTuple):
    """Rows of one block of a source; by its line breaks (`lines`) failures find their line.

    A whole range has one without rows, with the checksum of its bytes. `damage` says that the
    source is cut or damaged, so that rows are lost and nothing is published; `warning` that
    something is missing or looks cut. Both are one line without the path, or empty. `deselected`
    counts sound rows that a selection leaves out before they are parsed.
    """

    source: int
    order: int
    rows: int
    bad_rows: int
    lines: int
    checksum: Checksum = Checksum()
    damage: str = ""
    warning: str = ""
    deselected: int = 0


class Failed(NamedTuple):
    """Failures of one block or bucket, as `failures.pack` makes them.

    Of a block, `line` counts from the block's first line; `source` and `order` tell which block.
    """

    source: int
    order: int
    packed: bytes


class BucketCount(NamedTuple):
    """How many images a bucket was to have and how many of them failed; by source index, how many
    rows it received and how many of those were orphans.

    `digest` is that of its input, None where something failed that another build should try again.
    `repeats` counts, by source index, rows that repeat a row of another file. `written` and
    `left_out` count, by column, annotations in examples, and those of images without an example.
    `masks` holds, for each split, how many masks were written and how many of them lack pixels
    although mask files were given; `voices` likewise, how many recordings narratives name, and how
    many of them are lacking although sources of them were given. `taken_over` tells whether the
    whole bucket comes from the version before, and `pictures` how many pictures do. `exif_reset`
    counts other pictures whose orientation was set to 1. `deselected` counts, by source
    index and rule, the rows that a selection leaves out, `added`, by column, those that follow from
    others by the hierarchy of classes, and `class_images` the images of each class of the
    selection.
    """

    bucket: int
    images: int
    failed: int
    rows: tuple[tuple[int, int], ...]
    orphans: tuple[tuple[int, int], ...]
    digest: str | None = None
    taken_over: bool = False
    pictures: int = 0
    repeats: tuple[tuple[int, int], ...] = ()
    written: tuple[tuple[str, int], ...] = ()
    left_out: tuple[tuple[str, int], ...] = ()
    masks: tuple[tuple[str, int, int], ...] = ()
    exif_reset: int = 0
    deselected: tuple[tuple[int, str, int], ...] = ()
    added: tuple[tuple[str, int], ...] = ()
    class_images: tuple[int, ...] = ()
    voices: tuple[tuple[str, int, int], ...] = ()


class Origin(NamedTuple):
    """Where a part that is taken over lies, in a shard of the version before.

    `number` and `of` are its place among the shard's parts, and how many these are; `start` is the
    sum of `bytes` of those before it, and `row` that of their examples. `bytes`, `sha256` and
    `footer` are the shard's.
    """

    number: int
    of: int
    start: int
    row: int
    bytes: int
    sha256: str
    footer: str


class BuiltPart(NamedTuple):
    """Consecutive examples of one bucket and split in a file: written, not yet published.

    Or pieces of the files that all examples of the split share: these count no examples.

    `body` is the CRC-32 of all that precedes page indexes and a footer; `dropped` says what of the
    examples the format can't hold, and how many of that. The file is the part itself, or with an
    `origin` the shard that it lies in.
    """

    format: str
    split: str
    bucket: int
    sequence: int
    path: str
    num_examples: int
    bytes: int
    crc32: str
    body: str = ""
    dropped: tuple[tuple[str, int], ...] = ()
    origin: Origin | None = None

    @property
    def is_shared(self) -> bool:
        """Whether it is pieces of files that all examples of the split share."""
        return not self.num_examples


class Shard(NamedTuple):
    """A published file and what it was made of; `path` is relative to the version's folder.

    `footer` is the CRC-32 of page indexes and the footer, empty where the format has none.
    `loose_bytes` is the size of the files that it lists, in formats of loose files.
    """

    format: str
    split: str
    index: int
    path: str
    num_examples: int
    bytes: int
    sha256: str
    parts: tuple[BuiltPart, ...] = ()
    footer: str = ""
    loose_bytes: int = 0


def in_one_piece(column: pa.ChunkedArray) -> pa.Array:
    """Returns a column as one array; unlike `combine_chunks`, without a copy where it is one."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def relist(lists: pa.ListArray, values: pa.Array) -> pa.ListArray:
    """Returns lists as long as these, nulls among them, of other values."""
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    dtype = pa.list_(lists.type.value_field.with_type(values.type))
    absent = lists.is_null() if lists.null_count else None
    return pa.ListArray.from_arrays(offsets, values, type=dtype, mask=absent)


def to_batch(table: pa.Table) -> pa.RecordBatch:
    """Returns a table as one batch; columns that are in one piece aren't copied."""
    return pa.record_batch([*map(in_one_piece, table.columns)], names=table.column_names)


def to_ipc(table: pa.Table) -> bytes:
    """Returns a table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()
