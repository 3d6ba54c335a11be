"""Parts in shards of the version before: linked, checked, and extracted."""

import contextlib
import errno
import functools
import os
import stat

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from transforms.dataset.elements import BuiltPart
from transforms.formats.part import Crc32
from transforms.formats.registry import find_format
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

_READ_BYTES = 256 << 10
#: Errors of reading a damaged shard.
_DAMAGE = (OSError, ValueError, LookupError, pa.ArrowException)
#: Shards that a worker has open: consecutive buckets lie in the same few.
_SHARDS = 8


def link_into(folder: str, path: str) -> str:
    """Links a shard into a folder of this build, where nobody removes it; returns the link.

    It is the same each time.

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
    """Returns whether the bytes of a part with an origin, in a local shard, are as written."""
    crc = Crc32()
    try:
        for data in find_format(part.format).read_body(part):
            crc.update(data)
    except _DAMAGE:
        return False
    return crc.hexdigest() == part.body


@functools.lru_cache(maxsize=_SHARDS)
def open_shard(path: str, _sha256: str, options: ObjectOptions) -> pq.ParquetFile:
    """A Parquet shard of the version before, which stays open."""
    return pq.ParquetFile(files.open_file(path, options, _READ_BYTES))


def take_out(part: BuiltPart, path: str, options: ObjectOptions) -> BuiltPart:
    """Writes a part with an origin to a local file; returns the part as it is there.

    Raises:
        OSError, StorageError: The shard can't be read.
        ValueError: It isn't as it was written.
    """
    with open(path, "wb") as file:
        find_format(part.format).extract(part, file, options)
    return part._replace(path=path, origin=None)
