"""Splitting a block into fragments by bucket."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from transforms.keys import bucket_of


class Place(NamedTuple):
    """Where the rows of a bucket lie in a sorted block."""

    bucket: int
    start: int
    rows: int


def sort_by_bucket(table: pa.Table, buckets: int) -> tuple[pa.Table, list[Place]]:
    """Sorts a block by bucket; within a bucket rows keep their order.

    Args:
        table: has the column `key`, uint64.
        buckets: how many buckets there are.

    Returns:
        The rows in one piece, and the place of each bucket that occurs, in order.
    """
    bucket = bucket_of(table["key"].to_numpy(), buckets)
    # A stable sort of 16-bit integers is a radix sort.
    table = table.take(pa.array(np.argsort(bucket, kind="stable"))).combine_chunks()
    counts = np.bincount(bucket, minlength=buckets)
    starts = np.cumsum(counts) - counts
    return table, [Place(int(i), int(starts[i]), int(counts[i])) for i in np.flatnonzero(counts)]
