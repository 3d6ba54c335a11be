"""Parts of a shard of the version before, taken out of it as they were written."""

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import BinaryIO

import xxhash

from transforms.elements import BuiltPart
from transforms.outputs.parquet_concat import Concatenated
from transforms.outputs.part import Crc32c, HashingFile
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

_READ_BYTES = 256 << 10
_REMOTE_BYTES = 8 << 20
#: What comes of reading a shard that isn't one any more.
_DAMAGE = (OSError, ValueError, LookupError, OverflowError, MemoryError, RecursionError)


def is_sound(part: BuiltPart, options: ObjectOptions) -> bool:
    """Whether a part with an origin can be taken out of its shard, byte for byte."""
    try:
        with open(os.devnull, "wb", buffering=0) as nowhere:
            return _copy(part, nowhere, options) == (part.bytes, part.crc32c)
    except _DAMAGE:
        return False


def take_out(part: BuiltPart, path: str, options: ObjectOptions) -> BuiltPart:
    """Writes a part with an origin to a local file: what it is then, without an origin."""
    with open(path, "wb") as file:
        _copy(part, file, options)
    return part._replace(path=path, origin=None)


def _copy(part: BuiltPart, destination: BinaryIO, options: ObjectOptions) -> tuple:
    """Copies a part out of its shard; how many bytes it has, and their CRC-32C."""
    assert part.origin is not None
    out = HashingFile(destination, Crc32c())
    with files.open_file(part.path, options, _REMOTE_BYTES, part.origin.bytes) as file:
        if part.format == "parquet" and part.origin.of > 1:
            footer = _footer(part.path, part.origin.sha256, options)
            footer.extract(file, part.origin.row, part.num_examples, out)
        else:
            for data in _pieces(file, part.origin.start, part.bytes):
                out.write(data)
    return out.tell(), out.digest


@functools.lru_cache(maxsize=8)
def _footer(path: str, _sha256: str, options: ObjectOptions) -> Concatenated:
    """Of a shard, since buckets that are built one after the other lie in the same few."""
    with files.open_file(path, options, _REMOTE_BYTES) as file:
        return Concatenated(path, file)


def _pieces(file: BinaryIO, start: int, size: int) -> Iterator[bytes]:
    file.seek(start)
    while size and (data := file.read(min(size, _READ_BYTES))):
        yield data
        size -= len(data)


def link_into(folder: str, path: str) -> str:
    """A link to a shard in a folder of this build, where nobody removes it; the same each time.

    Raises:
        OSError: it isn't there, or can't be linked.
    """
    link = os.path.join(folder, f"of-before-{xxhash.xxh3_128_hexdigest(path.encode())}")
    with contextlib.suppress(FileExistsError):
        os.link(path, link)
    return link
