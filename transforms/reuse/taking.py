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
from transforms.formats.parquet.concatenate import Concatenated
from transforms.formats.parquet.footer import MAGIC
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
            crc.update(MAGIC)
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
    shard = _local_shard(part.path, part.origin.footer)
    return shard.span(part.origin.row, part.num_examples)


@functools.lru_cache(maxsize=_SHARDS)
def _local_shard(path: str, footer_checksum: str) -> Concatenated:
    with open(path, "rb") as file:
        shard = Concatenated(path, file)
    if shard.footer_checksum != footer_checksum:
        raise ValueError(f"{path}: its footer has changed")
    return shard


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
def _footer(path: str, _sha256: str, options: ObjectOptions) -> Concatenated:
    with files.open_file(path, options, _REMOTE_BYTES) as file:
        return Concatenated(path, file)


def _pieces(file: BinaryIO, start: int, size: int) -> Iterator[bytes]:
    file.seek(start)
    while size and (data := file.read(min(size, _READ_BYTES))):
        yield data
        size -= len(data)
