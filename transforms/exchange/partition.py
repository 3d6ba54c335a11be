"""Sorts the rows of keyed batches by bucket."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.exchange.batches import bucket_of


def sort_by_bucket(
    batches: list[pa.RecordBatch], num_buckets: int
) -> tuple[pa.RecordBatch, list[int]]:
    """Sorts rows by bucket; within a bucket they keep their order.

    Args:
        batches: of one schema with a column `key` (uint64). The list is emptied, and each column
            released once it is sorted: otherwise all rows would be in memory twice.
        num_buckets: how many buckets there are.

    Returns:
        The rows, and where those of each bucket begin, followed by where the last ones end.

    Raises:
        pa.ArrowInvalid: The dictionaries of a column have too many values together.
    """
    schema = batches[0].schema
    columns = [list(pieces) for pieces in zip(*(batch.columns for batch in batches), strict=True)]
    batches.clear()
    key = schema.get_field_index("key")
    columns[key] = [pa.concat_arrays(columns[key])]
    bucket = bucket_of(columns[key][0].to_numpy(), num_buckets)
    starts = [0, *np.cumsum(np.bincount(bucket, minlength=num_buckets)).tolist()]
    order = pa.array(_stable_order(bucket))
    arrays = [_take(columns.pop(0), order) for _ in schema]
    return pa.record_batch(arrays, names=schema.names), starts


def _take(pieces: list[pa.Array], order: pa.Array) -> pa.Array:
    """Concatenates arrays, which it removes from their list, and takes the values in `order`."""
    dtype = pieces[0].type
    if pa.types.is_struct(dtype) and not any(piece.null_count for piece in pieces):
        fields = [list(field) for field in zip(*(p.flatten() for p in pieces), strict=True)]
        pieces.clear()
        arrays = [_take(fields.pop(0), order) for _ in dtype]
        return pa.StructArray.from_arrays(arrays, fields=list(dtype))
    column = pa.concat_arrays(pieces)
    pieces.clear()
    return pc.take(column, order, boundscheck=False)


def _stable_order(bucket: np.ndarray) -> np.ndarray:
    """Returns the places of (n,) uint16 numbers in their order; equal ones keep their order.

    With their places they are sorted as 32-bit numbers, for which NumPy has vector instructions:
    5 ns a row where its radix sort takes 12, of two million among 656 buckets.
    """
    bits = len(bucket).bit_length()
    if int(bucket.max(initial=0)) >> (32 - bits):
        return np.argsort(bucket, kind="stable")
    order = bucket.astype(np.uint32) << np.uint32(bits)
    order |= np.arange(len(bucket), dtype=np.uint32)
    order.sort()
    order &= np.uint32((1 << bits) - 1)
    return order
