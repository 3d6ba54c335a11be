"""Parts of a shard of the version before: looked at, and taken out of it as they were written."""

import contextlib
import errno
import functools
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from transforms.dataset.elements import BuiltPart
from transforms.formats import parquet_concat
from transforms.formats.part import Crc32
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

_READ_BYTES = 256 << 10
_REMOTE_BYTES = 8 << 20
#: What comes of reading a shard that isn't one any more.
_DAMAGE = (OSError, ValueError, LookupError, pa.ArrowException)
#: Shards that a worker has in mind: buckets that it builds one after the other lie in the same few.
_SHARDS = 8


def link_into(folder: str, path: str) -> str:
    """A link to a shard in a folder of this build, where nobody removes it; the same each time.

    Raises:
        OSError: it isn't there, can't be linked, or is no regular file.
    """
    link = os.path.join(folder, f"of-before-{xxhash.xxh3_128_hexdigest(path.encode())}")
    with contextlib.suppress(FileExistsError):
        os.link(path, link, follow_symlinks=False)
    if not stat.S_ISREG(os.lstat(link).st_mode):
        raise OSError(errno.EPERM, "is no regular file", path)
    return link


def is_sound(part: BuiltPart) -> bool:
    """Whether the bytes of a part with an origin, in a local shard, are those that were written."""
    crc = Crc32()
    try:
        start, size = _span(part)
        if part.format == "parquet":
            crc.update(parquet_concat.MAGIC)
        with open(part.path, "rb") as file:
            for data in _pieces(file, start, size):
                crc.update(data)
    except _DAMAGE:
        return False
    return crc.hexdigest() == part.body


def _span(part: BuiltPart) -> tuple[int, int]:
    """Where the examples of a part lie in its shard: the first byte, and how many.

    Raises:
        ValueError: The shard's footer isn't as it was written.
    """
    assert part.origin is not None
    if part.format != "parquet":
        return part.origin.start, part.bytes
    starts = _row_starts(part.path, part.origin.footer)
    start = starts[part.origin.row]
    return start, starts[part.origin.row + part.num_examples] - start


@functools.lru_cache(maxsize=_SHARDS)
def _row_starts(path: str, footer: str) -> dict[int, int]:
    """Where the row groups of a local shard start, by their first row; and where the last ends."""
    if parquet_concat.footer_checksum(path) != footer:
        raise ValueError(f"{path}: its footer has changed")
    metadata = pq.read_metadata(path)
    starts, row = {}, 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        first = group.column(0)
        pages = first.dictionary_page_offset if first.has_dictionary_page else None
        starts[row] = first.data_page_offset if pages is None else pages
        row += group.num_rows
    # What follows is the footer, its size, and the magic.
    size = os.path.getsize(path) - metadata.serialized_size - 4 - len(parquet_concat.MAGIC)
    return starts | {row: size}


@functools.lru_cache(maxsize=_SHARDS)
def open_shard(path: str, _sha256: str, options: ObjectOptions) -> pq.ParquetFile:
    """A Parquet shard of the version before, which stays open."""
    return pq.ParquetFile(files.open_file(path, options, _READ_BYTES))


def take_out(part: BuiltPart, path: str, options: ObjectOptions) -> BuiltPart:
    """Writes a part with an origin to a local file: what it is then, without an origin.

    Raises:
        OSError, StorageError: The shard can't be read.
        ValueError: It isn't as it was written.
    """
    origin = part.origin
    assert origin is not None
    with (
        files.open_file(part.path, options, _REMOTE_BYTES, origin.bytes) as shard,
        open(path, "wb") as file,
    ):
        if part.format == "parquet" and origin.of > 1:
            footer = _footer(part.path, origin.sha256, options)
            footer.extract(shard, origin.row, part.num_examples, file)
        else:
            for data in _pieces(shard, origin.start, part.bytes):
                file.write(data)
    return part._replace(path=path, origin=None)


@functools.lru_cache(maxsize=_SHARDS)
def _footer(path: str, _sha256: str, options: ObjectOptions) -> parquet_concat.Concatenated:
    with files.open_file(path, options, _REMOTE_BYTES) as file:
        return parquet_concat.Concatenated(path, file)


def _pieces(file: BinaryIO, start: int, size: int) -> Iterator[bytes]:
    file.seek(start)
    while size and (data := file.read(min(size, _READ_BYTES))):
        yield data
        size -= len(data)
