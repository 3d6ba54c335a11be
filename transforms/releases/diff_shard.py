"""The checksums of a shard's examples, column by column: what versions are compared by."""

import functools
import os
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from transforms.dataset.keys import image_keys
from transforms.formats.format import Format
from transforms.formats.registry import find_format
from transforms.formats.tables import TableExamples
from transforms.kinds.images import IMAGES
from transforms.kinds.registry import ANNOTATIONS, EXAMPLE
from transforms.releases.merging import Batch
from transforms.releases.shard_files import local_copy
from transforms.storage.stores import ObjectOptions

#: What columns come from, by the kind of annotation file, or `pictures`.
SOURCES = {
    "pictures": ("image", "width", "height", "original_width", "original_height"),
    IMAGES.name: IMAGES.other_columns,
    **{kind.name: (kind.column, *kind.other_columns) for kind in ANNOTATIONS.values()},
}

#: Columns of which checksums are taken; the split is known by the shard.
COLUMNS = tuple(name for name in EXAMPLE.names if name not in ("image_id", "split"))


class ChecksumTask(NamedTuple):
    """A shard to take checksums of.

    Attributes:
        path: of the shard.
        form: of `registry.FORMATS`.
        options: how object stores are reached.
    """

    path: str
    form: str
    options: ObjectOptions


class DamagedShardError(Exception):
    """A shard can't be read; the message is one line."""


def checksum_shard(task: ChecksumTask) -> Batch:
    """Keys, and checksums of `COLUMNS`: (n,) and (n, c) uint64.

    Raises:
        DamagedShardError: The shard isn't there, or can't be read.
        StorageError: The object store can't be read.
    """
    try:
        with local_copy(task.path, task.options) as path:
            return _checksum_columns(find_format(task.form), path)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        cause = str(error).partition("\n")[0]
        raise DamagedShardError(f"{os.path.basename(task.path)} can't be read: {cause}") from None


def _checksum_columns(format_: Format, path: str) -> Batch:
    keys, checksums = [np.empty(0, np.uint64)], [np.empty((0, len(COLUMNS)), np.uint64)]
    for examples in format_.read(path):
        keys.append(image_keys(examples.image_ids)[0])
        found = examples.column_checksums(COLUMNS)
        # A version may have been built before there was some column, which is null then.
        absent = np.zeros(len(keys[-1]), np.uint64)
        columns = [found[name] if name in found else absent + _of_null(name) for name in COLUMNS]
        checksums.append(np.column_stack(columns))
    return np.concatenate(keys), np.concatenate(checksums)


@functools.cache
def _of_null(name: str) -> np.uint64:
    """Returns the checksum of a column that is null."""
    nulls = TableExamples(pa.Table.from_pylist([{}], EXAMPLE))
    return nulls.column_checksums([name])[name][0]
