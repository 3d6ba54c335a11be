"""Shards as local files."""

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import IO

from transforms.storage import files
from transforms.storage.objects import is_remote
from transforms.storage.stores import ObjectOptions

_DOWNLOAD_BYTES = 8 << 20


def download(path: str, copy: IO[bytes], options: ObjectOptions) -> None:
    """Copies an object into an open file."""
    with files.open_file(path, options, buffer_size=_DOWNLOAD_BYTES) as source:
        shutil.copyfileobj(source, copy, _DOWNLOAD_BYTES)


@contextlib.contextmanager
def local_copy(path: str, options: ObjectOptions) -> Iterator[str]:
    """Yields the path of a local shard, or of a temporary copy of an object."""
    if not is_remote(path):
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="open-images-") as copy:
        download(path, copy, options)
        copy.flush()
        yield copy.name


def sha256_of(path: str, options: ObjectOptions = files.DEFAULTS) -> str:
    """Returns the SHA-256 of a file, in hex."""
    with files.open_file(path, options) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
