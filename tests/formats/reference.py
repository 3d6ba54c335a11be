"""The tf.train.Example messages of rows of examples, by way of plain Python."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import tensorflow as tf
from google.protobuf.internal.encoder import _VarintBytes

from transforms.formats.tfrecord import wire
from transforms.formats.tfrecord.encoder import encode_examples
from transforms.kinds.registry import EXAMPLE

PICTURES = ("image", "instance_map", "semantic_map")
CORNERS = ("ymin", "xmin", "ymax", "xmax")


def encoded(table: pa.Table, names: Sequence[str]) -> list[bytes]:
    """What the project encodes the rows as."""
    return wire.assemble(encode_examples(table, names)).to_pylist()


def example_of(row: dict[str, Any], names: Sequence[str]) -> tf.train.Example:
    """The message of one row."""
    return tf.train.Example(
        features=tf.train.Features(
            feature={
                key: _feature(dtype, flat)
                for name in names
                for key, dtype, flat in _column(name, EXAMPLE.field(name).type, row[name])
            }
        )
    )


def in_key_order(example: tf.train.Example) -> bytes:
    """A message's bytes with the features in byte order of their keys."""
    entries = b"".join(
        tf.train.Features(feature={key: feature}).SerializeToString()
        for key, feature in sorted(example.features.feature.items())
    )
    return b"\x0a" + _VarintBytes(len(entries)) + entries


def _feature(dtype: pa.DataType, flat: list) -> tf.train.Feature:
    if pa.types.is_floating(dtype):
        numbers = [math.nan if value is None else value for value in flat]
        return tf.train.Feature(float_list=tf.train.FloatList(value=numbers))
    if pa.types.is_integer(dtype):
        numbers = [-1 if value is None else value for value in flat]
        return tf.train.Feature(int64_list=tf.train.Int64List(value=numbers))
    texts = [value.encode() if isinstance(value, str) else value or b"" for value in flat]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))


def _column(name: str, dtype: pa.DataType, value: Any) -> Iterator[tuple[str, pa.DataType, list]]:
    if name in PICTURES:
        return iter([(name, pa.binary(), [value and value["bytes"]])])
    return _leaves(name, dtype, [value], [])


def _leaves(
    key: str, dtype: pa.DataType, flat: list, lengths: list[list[int]]
) -> Iterator[tuple[str, pa.DataType, list]]:
    """Key, type and values of the features under a node; `lengths` are those of the lists above."""
    if pa.types.is_list(dtype):
        inner = [element for elements in flat for element in elements or []]
        lengths = [*lengths, [len(elements or []) for elements in flat]]
        yield from _leaves(key, dtype.value_type, inner, lengths)
    elif pa.types.is_struct(dtype) and dtype.names == ["bytes", "path"]:
        yield from _leaves(key, pa.binary(), [value and value["bytes"] for value in flat], lengths)
    elif pa.types.is_struct(dtype):
        for field in dtype:
            side, suffix = field.name[:4], field.name[4:]
            if side == "ymin":
                box = [(value or {}).get(corner + suffix) for value in flat for corner in CORNERS]
                yield f"{key}/bbox{suffix}", field.type, box
            elif side not in CORNERS:
                inner = [(value or {}).get(field.name) for value in flat]
                yield from _leaves(f"{key}/{field.name}", field.type, inner, lengths)
    elif len(lengths) < 2:
        yield key, dtype, flat
    else:
        yield f"{key}/ragged_flat_values", dtype, flat
        for level, numbers in enumerate(lengths[1:]):
            yield f"{key}/ragged_row_lengths_{level}", pa.int64(), numbers
