"""Texts of few distinct values as codes: a byte or two a value instead of a string.

So they travel from reading to writing, which is why the exchange moves less, and Parquet's writer
need not look up each value. Labels travel as mere numbers, since all blocks have the same ones,
and become an Arrow dictionary when rows have come together: as one of each block, they would be
read and compared for every bucket. An Arrow dictionary's order depends on how rows came together;
`compact` gives it the order in which the values occur. So neither bytes of output nor checksums of
rows depend on whether, and by which dictionary, texts were coded.
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
            arrays[i] = _code_labels(arrays[i], labels) if is_label else _code_few(arrays[i])
    return pa.StructArray.from_arrays(arrays, [field.name for field in rows.type])


def _code_labels(labels: pa.Array, known: pa.Array) -> pa.Array:
    codes = pc.index_in(labels, known)
    if codes.null_count > labels.null_count:
        return labels
    return codes.cast(label_type(len(known)))


def label_type(known: int) -> pa.DataType:
    """Returns the type of the numbers of so many labels."""
    return pa.int16() if known <= _SHORT else pa.int32()


def _code_few(texts: pa.Array) -> pa.Array:
    coded = texts.dictionary_encode()
    if len(coded.dictionary) > _MOST:
        return texts
    return pa.DictionaryArray.from_arrays(coded.indices.cast(_FEW_CODE), coded.dictionary)


def name_labels(rows: pa.StructArray, dtype: pa.StructType, labels: pa.Array) -> pa.StructArray:
    """Returns rows with labels that are mere numbers as an Arrow dictionary.

    Args:
        rows: (n,) rows, as of `encode`.
        dtype: their type without codes.
        labels: those that the numbers stand for.
    """
    arrays = rows.flatten()
    for i, field in enumerate(dtype):
        if pa.types.is_integer(arrays[i].type) and pa.types.is_string(field.type):
            arrays[i] = pa.DictionaryArray.from_arrays(arrays[i], labels)
    return pa.StructArray.from_arrays(arrays, [field.name for field in rows.type])


def decode(rows: pa.StructArray, dtype: pa.StructType, labels: pa.Array) -> pa.StructArray:
    """Returns the inverse of `encode`, to rows of type `dtype`."""
    named = name_labels(rows, dtype, labels)
    return named.cast(plain(named.type))


def plain(dtype: pa.DataType) -> pa.DataType:
    """Returns the type of structs, or lists of them, without codes."""
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
    """Returns the values by a dictionary of just these, in order of first occurrence."""
    codes = array.indices
    used = codes.unique().drop_null()
    new = np.zeros(max(1, len(array.dictionary)), np.int32)
    new[used] = np.arange(len(used))
    # `take` needs half the time of indexing, unless it is to see that no code is out of range.
    numbers = new.take((codes.fill_null(0) if codes.null_count else codes).to_numpy(), mode="wrap")
    mask = np.asarray(codes.is_null()) if codes.null_count else None
    return pa.DictionaryArray.from_arrays(pa.array(numbers, mask=mask), array.dictionary.take(used))
