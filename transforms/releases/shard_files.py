"""Shards as local files, and the examples in them, a few MiB at a time."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.storage import files
from transforms.storage.objects import is_remote
from transforms.storage.stores import ObjectOptions

_DOWNLOAD_BYTES = 8 << 20
_READ_BYTES = 1 << 20
_BATCH_BYTES, _BATCH_ROWS = 8 << 20, 4096


@contextlib.contextmanager
def local_copy(path: str, options: ObjectOptions) -> Iterator[str]:
    """A shard's own path, or that of a copy of an object, which is gone afterwards."""
    if not is_remote(path):
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="open-images-") as copy:
        with files.open_file(path, options, buffer_size=_DOWNLOAD_BYTES) as source:
            shutil.copyfileobj(source, copy, _DOWNLOAD_BYTES)
        copy.flush()
        yield copy.name


def sha256_of(path: str) -> str:
    """Hex SHA-256 of a local file."""
    with files.open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_batches(path: str) -> Iterator[pa.Table]:
    """The rows of a local Parquet file in order, some MiB at a time."""
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=_READ_BYTES) as file:
        rows = file.metadata.num_rows
        size = max(1, os.path.getsize(path) // max(1, rows))
        batch_rows = min(_BATCH_ROWS, max(1, _BATCH_BYTES // size))
        for batch in file.iter_batches(batch_rows):
            yield pa.Table.from_batches([batch])
