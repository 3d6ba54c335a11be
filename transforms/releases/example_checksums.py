"""Checksums of examples, by which they are compared without being kept.

An example's checksum is that of its tf.train.Example, as `transforms.formats.encoder` writes it: of
a Parquet row, which is encoded again, and of a record alike. A column's checksum is that of its
features' entries in that message.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from transforms.dataset.schema import EXAMPLE
from transforms.formats import features, wire
from transforms.formats.encoder import encode_examples
from transforms.releases.records import (
    BYTES,
    FLOAT,
    INT64,
    Feature,
    RecordError,
    entry_bounds,
    key_prefix,
    parse_example,
)

CHECKSUM_BYTES = 8


def feature_kinds(columns: Sequence[str]) -> dict[str, int]:
    """The features of examples with these columns, in the order of an encoded example, and the kind
    of each."""
    return {
        leaf.key: BYTES
        if isinstance(leaf.values, pa.Array)
        else FLOAT
        if leaf.values.dtype == np.float32
        else INT64
        for leaf in features.leaves(EXAMPLE.empty_table(), columns)
    }


def checksum(*pieces: bytes | pa.Buffer) -> int:
    """Checksum of bytes that stand end to end: 64 bits."""
    hash_ = hashlib.blake2b(digest_size=CHECKSUM_BYTES)
    for piece in pieces:
        hash_.update(piece)
    return int.from_bytes(hash_.digest(), "little")


def row_checksums(table: pa.Table, columns: Sequence[str]) -> np.ndarray:
    """Checksums of (n,) rows with the columns of `EXAMPLE`, by some of these; (n,) uint64."""
    pieces = map(wire.cells, wire.runs(encode_examples(table, columns)))
    return np.array([checksum(*row) for row in zip(*pieces, strict=True)], np.uint64)


def column_checksums(table: pa.Table, columns: Sequence[str]) -> np.ndarray:
    """Checksums of each column of (n,) rows; (n, c) uint64."""
    found = np.empty((len(table), len(columns)), np.uint64)
    for place, name in enumerate(columns):
        found[:, place] = row_checksums(table, [name])
    return found


class RecordColumns:
    """Maps the parts of a record to columns.

    Attributes:
        columns: the columns, in the order of a record.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        """Takes the features that records have, in their order.

        Raises:
            RecordError: None of them is the ImageID.
        """
        self._prefixes = [key_prefix(key) for key in keys]
        # A column's features are neighbours: its name is what precedes the first slash.
        of_column = [key.partition("/")[0] for key in keys]
        self.columns = tuple(dict.fromkeys(of_column))
        self._spans = [
            (of_column.index(name), len(of_column) - of_column[::-1].index(name))
            for name in self.columns
        ]
        if "image_id" not in self.columns:
            raise RecordError("lacks the feature image_id")
        self._image_id = self.columns.index("image_id")

    def read(self, record: bytes) -> tuple[str, list[int]]:
        """The ImageID of a record, and checksums of its columns, equal to those of its row.

        Raises:
            RecordError: Its features are others.
        """
        bounds = entry_bounds(record, self._prefixes)
        parts = [wire.field(1, record[bounds[first] : bounds[last]]) for first, last in self._spans]
        (image_id,) = parse_example(parts[self._image_id])["image_id"].values
        return image_id.decode(), [checksum(part) for part in parts]


def row_features(table: pa.Table, row: int, columns: Sequence[str]) -> dict[str, Feature]:
    """The features of one row, as `records.parse_example` gives those of a record."""
    kinds = feature_kinds(columns)
    return {
        leaf.key: Feature(
            kinds[leaf.key],
            leaf.values.to_pylist() if isinstance(leaf.values, pa.Array) else leaf.values,
        )
        for leaf in features.leaves(table.slice(row, 1), columns)
    }


def differing_features(one: dict[str, Feature], other: dict[str, Feature]) -> list[str]:
    """Names of the features that two examples don't share; floats are compared bit by bit."""
    return sorted(
        key for key in one.keys() | other.keys() if _content(one, key) != _content(other, key)
    )


def _content(example: dict[str, Feature], key: str) -> object:
    if key not in example:
        return None
    kind, values = example[key]
    return kind, [*values] if kind == BYTES else np.asarray(values).tobytes()
