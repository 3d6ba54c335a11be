"""Serialised tf.train.Example messages of whole tables, without TensorFlow or protobuf.

    message Example   { Features features = 1; }
    message Features  { map<string, Feature> feature = 1; }
    message Feature   { oneof kind { BytesList bytes_list = 1; FloatList float_list = 2;
                                     Int64List int64_list = 3; } }
    message BytesList { repeated bytes value = 1; }
    message FloatList { repeated float value = 1 [packed = true]; }
    message Int64List { repeated int64 value = 1 [packed = true]; }

(tensorflow/core/example/example.proto and feature.proto). A map's entry is a message with the key
as field 1 and the value as field 2. Entries are in byte order of their keys, so that equal rows
have equal bytes. (Python's protobuf, asked to be deterministic, differs in one thing: it puts a key
after the longer ones that begin with it.)
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from transforms.examples import wire
from transforms.examples.features import Leaf, leaves

_FEATURES = _FEATURE = _KEY = _LIST_VALUE = 1
_VALUE = 2
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3


def encode_examples(table: pa.Table, names: Sequence[str]) -> wire.Messages:
    """Serialises the rows of a table.

    The work is a loop over features, about eighty, and none over rows. It goes by the features that
    have values: of the others, often more than half, each is the same bytes in all rows.

    Args:
        table: n rows with the columns of `EXAMPLE`.
        names: which columns to encode; see `features.columns`.

    Returns:
        One column of n messages, a tf.train.Example each.

    Raises:
        KeyError: the table lacks a column.
        pa.ArrowInvalid: a column's text exceeds 2 GiB; encode fewer rows at a time.
    """
    found = leaves(table, names)
    entries = wire.constants([_empty_entry(leaf) for leaf in found], len(table))
    filled = [place for place, leaf in enumerate(found) if len(leaf.values)]
    if filled:
        encoded = _entries([found[place] for place in filled], len(table))
        entries.sizes[filled] = encoded.sizes
        for place, pieces in zip(filled, encoded.pieces, strict=True):
            entries.pieces[place] = pieces
    return wire.delimited(_FEATURES, wire.merge(entries))


def _entries(found: Sequence[Leaf], rows: int) -> wire.Messages:
    """The map's entry of each feature in each row."""
    columns, single = zip(*(_list(leaf) for leaf in found), strict=True)
    values = wire.delimited(_LIST_VALUE, wire.raw(columns), where=np.stack(single))
    kinds = np.array([[_kind(leaf)] for leaf in found])
    features = wire.delimited(_VALUE, wire.delimited(kinds, values))
    keys = wire.constants([_key(leaf) for leaf in found], rows)
    return wire.delimited(_FEATURE, wire.concatenate(keys, features))


def _empty_entry(leaf: Leaf) -> bytes:
    """The map's entry of a feature in a row where it has no values."""
    feature = wire.field(_VALUE, wire.field(_kind(leaf), b""))
    return wire.field(_FEATURE, _key(leaf) + feature)


def _key(leaf: Leaf) -> bytes:
    return wire.field(_KEY, leaf.key.encode())


def _kind(leaf: Leaf) -> int:
    if isinstance(leaf.values, pa.Array):
        return _BYTES_LIST
    return _FLOAT_LIST if leaf.values.dtype == np.float32 else _INT64_LIST


def _list(leaf: Leaf) -> tuple[pa.LargeBinaryArray, np.ndarray]:
    """What the list of each row holds, and in which rows that is the content of a single field.

    All numbers of a row are one field, left out where there are none. Each text is a field: with
    one a row that comes to the same, which spares pictures a copy; else the fields are written
    here.
    """
    if isinstance(leaf.values, pa.Array):
        n = len(leaf.rows) - 1
        if np.array_equal(leaf.rows, np.arange(n + 1)):
            return leaf.values, np.ones(n, bool)
        fields = wire.delimited(_LIST_VALUE, wire.raw([leaf.values]))
        data, offsets = wire.assemble(fields).buffers()[2], wire.offsets_of(fields.sizes[0])
        return wire.binary(data, offsets[leaf.rows]), np.zeros(n, bool)
    if leaf.values.dtype == np.float32:
        data, offsets = leaf.values, np.arange(0, leaf.values.nbytes + 1, leaf.values.itemsize)
    else:
        data, offsets = wire.varints(leaf.values)
    return wire.binary(data, offsets[leaf.rows]), np.diff(leaf.rows) > 0
