"""The checksums of a shard's examples, column by column: what versions are compared by."""

import os
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from transforms.dataset.keys import image_keys
from transforms.dataset.schema import EXAMPLE, IMAGE_FIELDS
from transforms.releases.example_checksums import RecordColumns, column_checksums
from transforms.releases.merging import Batch
from transforms.releases.records import parse_example, read_records
from transforms.releases.shard_files import local_copy, read_batches
from transforms.storage.stores import ObjectOptions

#: What columns come from, by the kind of annotation file, or `pictures`.
SOURCES = {
    "pictures": ("image", "width", "height", "original_width", "original_height"),
    "images": ("split", "published_rotation", *IMAGE_FIELDS),
    "image_labels": ("image_labels",),
    "boxes": ("bboxes",),
    "person_boxes": ("person_boxes",),
    "masks": ("masks", "instance_map", "semantic_map"),
    "relationships": ("relationships",),
    "narratives": ("narratives",),
    "points": ("points",),
}

#: Columns of which checksums are taken; the split is known by the shard.
COLUMNS = tuple(name for name in EXAMPLE.names if name not in ("image_id", "split"))


class ChecksumTask(NamedTuple):
    """A shard to take checksums of.

    Attributes:
        path: of the shard.
        form: of `naming.FORMATS`.
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
            read = _checksum_rows if task.form == "parquet" else _checksum_records
            return read(path)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        cause = str(error).partition("\n")[0]
        raise DamagedShardError(f"{os.path.basename(task.path)} can't be read: {cause}") from None


def _checksum_rows(path: str) -> Batch:
    keys, checksums = [np.empty(0, np.uint64)], [np.empty((0, len(COLUMNS)), np.uint64)]
    for table in read_batches(path):
        keys.append(image_keys(table["image_id"].chunk(0))[0])
        # A version may have been built before there was some column.
        present = [name for name in COLUMNS if name in table.column_names]
        checksums.append(_placed(present, column_checksums(table, present)))
    return np.concatenate(keys), np.concatenate(checksums)


def _checksum_records(path: str) -> Batch:
    ids, rows = [], []
    parts, names, places = None, [], []
    for record in read_records(path):
        if parts is None:  # all records of a shard have the features of the first
            parts = RecordColumns([*parse_example(record)])
            names = [name for name in parts.columns if name in COLUMNS]
            places = [parts.columns.index(name) for name in names]
        image_id, checksums = parts.read(record)
        ids.append(image_id)
        rows.append([checksums[place] for place in places])
    keys, _ = image_keys(pa.array(ids, pa.string()))
    return keys, _placed(names, np.array(rows, np.uint64).reshape(len(rows), len(names)))


def _placed(names: list[str], checksums: np.ndarray) -> np.ndarray:
    """Checksums of some columns in the places of `COLUMNS`; the others are those of nulls."""
    if names == [*COLUMNS]:
        return checksums
    nothing = column_checksums(pa.Table.from_pylist([{}], EXAMPLE), COLUMNS)
    placed = np.repeat(nothing, len(checksums), axis=0)
    placed[:, [COLUMNS.index(name) for name in names]] = checksums
    return placed
