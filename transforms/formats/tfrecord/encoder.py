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

from transforms.formats.tfrecord import wire
from transforms.formats.tfrecord.features import BYTES, FLOAT, INT64, Leaf, leaves

_FEATURES = _FEATURE = _KEY = _LIST_VALUE = 1
_VALUE = 2


def encode_examples(table: pa.Table, names: Sequence[str]) -> wire.Messages:
    """Serialises the rows of a table.

    Args:
        table: n rows with the columns of `EXAMPLE`.
        names: which columns to encode; see `schema.example_columns`.

    Returns:
        n messages, a tf.train.Example each.

    Raises:
        KeyError: the table lacks a column.
        pa.ArrowInvalid: a column's text exceeds 2 GiB; encode fewer rows at a time.
    """
    return encode_features(leaves(table, names))


def encode_features(found: Sequence[Leaf]) -> wire.Messages:
    """Serialises examples of any features.

    The work is a loop over features, about eighty, and none over rows. What precedes the values of
    a feature in a row depends on nothing but their size, so it's encoded once for all rows that
    agree in this. Where there are no values, that is all there is.

    Args:
        found: one or more features of n examples, in byte order of their keys.

    Returns:
        n messages, a tf.train.Example each.
    """
    contents = _contents(found)
    sizes = np.stack([np.diff(wire.bounds(content)) for content in contents])
    prefixes, totals = _prefixes(found, sizes)
    pieces: list[wire.Piece] = []
    for prefix, content, size in zip(prefixes, contents, sizes, strict=True):
        pieces += [prefix, content] if size.any() else [prefix]
    return wire.delimited(_FEATURES, wire.Messages(tuple(pieces), totals))


def _contents(found: Sequence[Leaf]) -> list[pa.LargeBinaryArray]:
    """What the list of each feature holds in each row, (n,) each.

    All numbers of a row are one field, each text is a field by itself. Where there's one in a row,
    that comes to the same, and the field's header is left to the prefix, which spares pictures a
    copy; else the fields of texts are written here.
    """
    contents = {i: leaf.values for i, leaf in enumerate(found) if _is_one_text(leaf)}
    for kind, encode in _ENCODE.items():
        places = [i for i, leaf in enumerate(found) if leaf.kind == kind and i not in contents]
        if places:
            # Together, since most features have so few values that a call costs more than these.
            values = encode([found[i].values for i in places])
            data, offsets, start = values.buffers()[2], wire.bounds(values), 0
            for i in places:
                contents[i] = wire.binary(data, offsets[start + found[i].rows])
                start += len(found[i].values)
    return [contents[i] for i in range(len(found))]


def _prefixes(found: Sequence[Leaf], sizes: np.ndarray) -> tuple[list[wire.Coded], np.ndarray]:
    """What precedes the contents.

    Args:
        found: c features.
        sizes: (c, n) int64, bytes of their contents in n rows.

    Returns:
        The (n,) prefixes of each feature, and (n,) int64 bytes of all features with their contents.
    """
    span = sizes.max(initial=0) + 1
    codes, cases = wire.distinct((np.arange(len(found))[:, None] * span + sizes).ravel())
    feature, size = np.divmod(cases, span)
    kinds = np.array([leaf.kind for leaf in found])[feature]
    one_text = np.array([_is_one_text(leaf) for leaf in found])[feature]
    one_field = np.where(kinds == BYTES, one_text, size > 0)
    keys = pa.array([wire.field(_KEY, leaf.key.encode()) for leaf in found], wire.BYTES)

    values = wire.delimited(_LIST_VALUE, wire.Messages((), size), where=one_field)
    value = wire.delimited(_VALUE, wire.delimited(kinds, values))
    entries = wire.delimited(_FEATURE, wire.concatenate(wire.coded(feature, keys), value))
    prefixes, codes = wire.assemble(entries), codes.reshape(sizes.shape)
    return [wire.Coded(row, prefixes) for row in codes], entries.sizes[codes].sum(axis=0)


def _is_one_text(leaf: Leaf) -> bool:
    """Returns whether each row has just one text."""
    return leaf.kind == BYTES and np.array_equal(leaf.rows, np.arange(len(leaf.rows)))


def _texts(columns: Sequence[pa.LargeBinaryArray]) -> pa.LargeBinaryArray:
    """Each as a field."""
    return wire.assemble(wire.delimited(_LIST_VALUE, wire.raw(pa.concat_arrays(columns))))


def _floats(columns: Sequence[np.ndarray]) -> pa.LargeBinaryArray:
    """Returns the bytes of each."""
    floats = np.concatenate(columns)
    return wire.binary(floats, np.arange(len(floats) + 1) * floats.itemsize)


def _integers(columns: Sequence[np.ndarray]) -> pa.LargeBinaryArray:
    """Each as a varint."""
    return wire.join([wire.coded_varints(np.concatenate(columns))])


_ENCODE = {BYTES: _texts, FLOAT: _floats, INT64: _integers}
