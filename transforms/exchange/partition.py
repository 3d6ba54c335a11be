"""Splitting a block into fragments by bucket."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from transforms.keys import bucket_of


def partition(table: pa.Table, buckets: int) -> Iterator[tuple[int, pa.Table]]:
    """The rows of each bucket that occurs, in bucket order; within a bucket they keep their order.

    Args:
        table: has the column `key`, uint64.
        buckets: how many buckets there are.
    """
    bucket = bucket_of(table["key"].to_numpy(), buckets)
    # A stable sort of 16-bit integers is a radix sort.
    table = table.take(pa.array(np.argsort(bucket, kind="stable"))).combine_chunks()
    counts = np.bincount(bucket, minlength=buckets)
    ends = np.cumsum(counts)
    for i in np.flatnonzero(counts):
        yield int(i), table.slice(ends[i] - counts[i], counts[i])
