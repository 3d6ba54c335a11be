"""Which flat features an example has: the keys of tf.train.Example, as TFDS reads them.

A leaf of the Arrow schema becomes the feature with its path as key (`bboxes/label`), except that

- a picture's bytes are the feature itself (`image`), and a recording's (`narratives/voice`); paths
  have no place in TFDS's Image;
- the corners of a box are one BBoxFeature, float32 ymin, xmin, ymax, xmax (`bboxes/bbox`,
  `masks/bbox`, `relationships/bbox1` and `bbox2`);
- a list within a list is ragged, and its leaves become `<key>/ragged_flat_values` and, a level of
  inner lists each, `<key>/ragged_row_lengths_0`, `_1`, … of type int64
  (tensorflow_datasets/core/example_serializer.py).

tf.train.Example has no nulls: a null text is b"", a null integer (flags among them) -1, a null
float NaN, and a null list is empty.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import in_one_piece
from transforms.dataset.schema import IMAGE
from transforms.formats.tfrecord import wire

#: Boxes and the corners that make them up, in TFDS's order.
BOXES = {
    f"bbox{suffix}": tuple(f"{corner}{suffix}" for corner in ("ymin", "xmin", "ymax", "xmax"))
    for suffix in ("", "1", "2")
}


#: Kinds of features, by the numbers of their fields in tf.train.Feature.
BYTES, FLOAT, INT64 = 1, 2, 3


class Leaf(NamedTuple):
    """One flat feature of n examples.

    Attributes:
        key: its key in the example.
        values: all values of all examples, without nulls: a large_binary array, or an int64 or
            float32 one of NumPy.
        rows: (n + 1,) int64; example i has `values[rows[i]:rows[i + 1]]`.
    """

    key: str
    values: pa.LargeBinaryArray | np.ndarray
    rows: np.ndarray

    @property
    def kind(self) -> int:
        """BYTES, FLOAT or INT64."""
        if isinstance(self.values, pa.Array):
            return BYTES
        return FLOAT if self.values.dtype == np.float32 else INT64


def members(struct: pa.StructType) -> dict[str, tuple[str, ...]]:
    """Returns the features of a struct: name to its fields, four for a box and else one."""
    names = [field.name for field in struct]
    boxes = {box: corners for box, corners in BOXES.items() if corners[0] in names}
    corners = set(chain(*boxes.values()))
    return boxes | {name: (name,) for name in names if name not in corners}


def leaves(table: pa.Table, names: Sequence[str]) -> list[Leaf]:
    """Returns the flat features of a table's rows, sorted by key.

    Args:
        table: n rows with the columns of `EXAMPLE`; any text may come as a dictionary.
        names: which columns to take; see `schema.example_columns`.

    Raises:
        KeyError: the table lacks one of these.
        pa.ArrowInvalid: a column's text exceeds the 2 GiB of one Arrow array; take fewer rows.
    """
    rows = np.arange(len(table) + 1)
    found = chain.from_iterable(
        _walk(name, in_one_piece(table.column(name)), rows, None) for name in names
    )
    return sorted(found, key=lambda leaf: leaf.key)


def _walk(
    key: str, array: pa.Array, rows: np.ndarray, lengths: tuple[Leaf, ...] | None
) -> Iterator[Leaf]:
    """Yields the leaves under an array of which row i has `array[rows[i]:rows[i + 1]]`.

    `lengths` are the row lengths of the inner lists passed so far (with no key yet), None outside
    of any list.
    """
    if array.type == IMAGE:
        yield from _walk(key, array.flatten()[IMAGE.get_field_index("bytes")], rows, lengths)
    elif pa.types.is_struct(array.type):
        children = dict(zip(array.type.names, array.flatten(), strict=True))
        for name, fields in members(array.type).items():
            if name in BOXES:
                corners = [values_of(children[field]) for field in fields]
                box = np.stack(corners, axis=1).ravel()
                yield from _leaf(f"{key}/{name}", box, rows * len(corners), lengths)
            else:
                yield from _walk(f"{key}/{name}", children[name], rows, lengths)
    elif pa.types.is_list(array.type):
        sizes = values_of(_filled(pc.list_value_length(array), 0))
        inner = () if lengths is None else (*lengths, Leaf("", sizes, rows))
        yield from _walk(key, array.flatten(), wire.offsets_of(sizes)[rows], inner)
    else:
        yield from _leaf(key, values_of(array), rows, lengths)


def _leaf(
    key: str,
    values: pa.LargeBinaryArray | np.ndarray,
    rows: np.ndarray,
    lengths: tuple[Leaf, ...] | None,
) -> Iterator[Leaf]:
    yield Leaf(f"{key}/ragged_flat_values" if lengths else key, values, rows)
    for level, leaf in enumerate(lengths or ()):
        yield leaf._replace(key=f"{key}/ragged_row_lengths_{level}")


def values_of(array: pa.Array) -> pa.LargeBinaryArray | np.ndarray:
    """Returns values as one of the three types of tf.train.Feature, nulls replaced."""
    if pa.types.is_floating(array.type):
        return _filled(array, np.nan).to_numpy()
    if pa.types.is_integer(array.type):
        return _filled(array, -1).to_numpy().astype(np.int64)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return _filled(array.cast(wire.BYTES), b"")


def _filled(array: pa.Array, value: float | bytes) -> pa.Array:
    # Most columns have no nulls, and even to find nothing to do takes Arrow 20 µs.
    return array.fill_null(value) if array.null_count else array
