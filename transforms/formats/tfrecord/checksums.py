"""Checksums of examples, by which they are compared without being kept.

An example's checksum is that of its tf.train.Example, whatever the format: other formats' rows are
encoded for it (see `tables`). A column's checksum is that of its features' entries in that message.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from transforms.formats.tfrecord import wire
from transforms.formats.tfrecord.encoder import encode_examples
from transforms.formats.tfrecord.features import Leaf, leaves
from transforms.formats.tfrecord.records import BYTES, FLOAT, INT64, Feature
from transforms.kinds.registry import EXAMPLE

_CHECKSUM_BYTES = 8


def feature_kinds(columns: Sequence[str]) -> dict[str, int]:
    """Returns the kind of each feature of examples with these columns, in encoded order."""
    return {leaf.key: _kind(leaf) for leaf in leaves(EXAMPLE.empty_table(), columns)}


def checksum(*pieces: bytes | pa.Buffer) -> int:
    """Returns the checksum of bytes that stand end to end: 64 bits."""
    hash_ = hashlib.blake2b(digest_size=_CHECKSUM_BYTES)
    for piece in pieces:
        hash_.update(piece)
    return int.from_bytes(hash_.digest(), "little")


def row_checksums(table: pa.Table, columns: Sequence[str]) -> np.ndarray:
    """Returns checksums, (n,) uint64, of n rows by some of the columns of `EXAMPLE`."""
    pieces = map(wire.cells, wire.runs(encode_examples(table, columns)))
    return np.array([checksum(*row) for row in zip(*pieces, strict=True)], np.uint64)


def row_features(table: pa.Table, row: int, columns: Sequence[str]) -> dict[str, Feature]:
    """Returns the features of one row, as `records.parse_example` gives those of a record."""
    return {
        leaf.key: Feature(_kind(leaf), _values(leaf))
        for leaf in leaves(table.slice(row, 1), columns)
    }


def comparable(features: dict[str, Feature]) -> dict[str, Any]:
    """Returns features in a form that is equal where they are; floats count bit by bit."""
    return {
        key: (kind, [*values] if kind == BYTES else np.asarray(values).tobytes())
        for key, (kind, values) in features.items()
    }


def _kind(leaf: Leaf) -> int:
    if isinstance(leaf.values, pa.Array):
        return BYTES
    return FLOAT if leaf.values.dtype == np.float32 else INT64


def _values(leaf: Leaf) -> list[bytes] | np.ndarray:
    return leaf.values.to_pylist() if isinstance(leaf.values, pa.Array) else leaf.values
