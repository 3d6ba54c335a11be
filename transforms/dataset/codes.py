"""Texts of few distinct values as codes: a byte or two a value instead of a string.

So they travel from reading to writing, which is why the exchange moves less, and Parquet's writer
need not look up each value. Labels travel as mere numbers, since all blocks have the same ones,
and become an Arrow dictionary when rows have come together: as one of each block, they would be
read and compared for every bucket. An Arrow dictionary's order depends on how rows came together;
`compact` gives it the order in which a writer of plain text would meet the values. So bytes of
output don't depend on whether, and by which dictionary, texts were coded.
"""

import contextlib
from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: Texts that are no labels are coded up to so many distinct ones a block: meant are some ten.
_MOST = 128
_FEW_CODE = pa.int8()
#: Labels have shorter codes up to so many.
_SHORT = 1 << 15
#: Up to so many, to look for each by itself is faster.
_MANY = 8


def encode(
    rows: pa.StructArray, fields: Collection[str], label_fields: Collection[str], labels: pa.Array
) -> pa.StructArray:
    """Codes fields of rows of a block.

    Labels become their places among `labels`; where one isn't there, its field stays as it is.
    Other texts become Arrow dictionaries.

    Args:
        rows: (n,) rows.
        fields: the names of the fields to code.
        label_fields: the names of fields that are labels.
        labels: those with a number, none twice.
    """
    arrays = rows.flatten()
    for i, field in enumerate(rows.type):
        if field.name in fields and pa.types.is_string(field.type):
            is_label = field.name in label_fields
            coded = _labels(arrays[i], labels) if is_label else _few(arrays[i])
            arrays[i] = arrays[i] if coded is None else coded
    names = [field.name for field in rows.type]
    return pa.StructArray.from_arrays(arrays, names)


def _labels(labels: pa.Array, known: pa.Array) -> pa.Array | None:
    codes = pc.index_in(labels, known)
    if codes.null_count > labels.null_count:
        return None
    return codes.cast(label_type(len(known)))


def label_type(known: int) -> pa.DataType:
    """The type of the numbers of so many labels."""
    return pa.int16() if known <= _SHORT else pa.int32()


def _few(texts: pa.Array) -> pa.DictionaryArray | None:
    coded = texts.dictionary_encode()
    if len(coded.dictionary) > _MOST:
        return None
    return pa.DictionaryArray.from_arrays(coded.indices.cast(_FEW_CODE), coded.dictionary)


def name_labels(rows: pa.StructArray, dtype: pa.StructType, labels: pa.Array) -> pa.StructArray:
    """Returns rows with labels that are mere numbers as an Arrow dictionary.

    Args:
        rows: (n,) rows, as of `encode`.
        dtype: their type without codes.
        labels: those that the numbers stand for.
    """
    are_numbers = [
        pa.types.is_integer(coded.type) and pa.types.is_string(field.type)
        for coded, field in zip(rows.type, dtype, strict=True)
    ]
    if not any(are_numbers):
        return rows
    arrays = [
        pa.DictionaryArray.from_arrays(array, labels) if is_number else array
        for array, is_number in zip(rows.flatten(), are_numbers, strict=True)
    ]
    return pa.StructArray.from_arrays(arrays, [field.name for field in rows.type])


def decode(rows: pa.StructArray, dtype: pa.StructType, labels: pa.Array) -> pa.StructArray:
    """The inverse of `encode`, to rows of type `dtype`."""
    named = name_labels(rows, dtype, labels)
    return named.cast(plain(named.type))


def plain(dtype: pa.DataType) -> pa.DataType:
    """The type of structs, or lists of them, without codes."""
    if pa.types.is_list(dtype):
        return pa.list_(dtype.value_field.with_type(plain(dtype.value_type)))
    if pa.types.is_struct(dtype):
        return pa.struct([field.with_type(plain(field.type)) for field in dtype])
    return dtype.value_type if pa.types.is_dictionary(dtype) else dtype


def concatenate(
    blocks: list[pa.StructArray], dtype: pa.StructType, labels: pa.Array
) -> pa.StructArray:
    """Returns the rows of several blocks together, with labels named: as Arrow dictionaries where
    the texts of all of them are coded, else of type `dtype`."""
    if not blocks:
        return pa.array([], dtype)
    if all(block.type == blocks[0].type for block in blocks):
        with contextlib.suppress(pa.ArrowInvalid):  # more texts in all than there are codes
            return name_labels(pa.concat_arrays(blocks), dtype, labels)
    return pa.concat_arrays([decode(block, dtype, labels) for block in blocks])


def compact(array: pa.DictionaryArray) -> pa.DictionaryArray:
    """The same values by a dictionary of just these, in the order in which they first occur."""
    indices = array.indices
    known = np.asarray(indices.is_valid()) if indices.null_count else None
    codes = (indices if known is None else indices.fill_null(0)).to_numpy()
    first = _first_places(codes if known is None else codes[known], len(array.dictionary))
    used = np.flatnonzero(first >= 0)
    used = used[np.argsort(first[used])]
    if np.array_equal(used, np.arange(len(array.dictionary))):
        return array
    new = np.zeros(max(1, len(array.dictionary)), codes.dtype)
    new[used] = np.arange(len(used))
    # `take` needs half the time of indexing, unless it is to see that no code is out of range.
    renumbered = pa.array(new.take(codes, mode="wrap"), mask=None if known is None else ~known)
    return pa.DictionaryArray.from_arrays(renumbered, array.dictionary.take(pa.array(used)))


def _first_places(codes: np.ndarray, entries: int) -> np.ndarray:
    """Where each entry of a dictionary first occurs, (entries,); -1 where it doesn't."""
    if len(codes) > 0 and entries <= _MANY:
        found = codes == np.arange(entries, dtype=codes.dtype)[:, None]
        return np.where(found.any(axis=1), found.argmax(axis=1), -1)
    first = np.full(entries, -1, np.int32)
    # Of several assignments to one place the last one stays.
    first[codes[::-1].astype(np.intp)] = np.arange(len(codes) - 1, -1, -1, dtype=np.int32)
    return first
