"""Splitting a block into fragments by bucket."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.keys import bucket_of


def sort_by_bucket(table: pa.Table, buckets: int) -> tuple[pa.Table, list[int]]:
    """Sorts a block by bucket; within a bucket rows keep their order.

    Args:
        table: has the column `key`, uint64.
        buckets: how many buckets there are.

    Returns:
        The rows in one piece, and where those of each bucket begin, followed by where the last
        ones end.
    """
    bucket = bucket_of(table["key"].to_numpy(), buckets)
    # A stable sort of 16-bit integers is a radix sort.
    order = pa.array(np.argsort(bucket, kind="stable"))
    table = pc.take(table, order, boundscheck=False).combine_chunks()
    return table, [0, *np.cumsum(np.bincount(bucket, minlength=buckets)).tolist()]
