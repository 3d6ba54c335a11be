"""Rows sorted by bucket are those of a stable sort, however many blocks and buckets there are."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.exchange.batches import bucket_of
from transforms.exchange.partition import sort_by_bucket


def block(keys: list[int], first: int) -> pa.RecordBatch:
    rows = [{"n": first + i, "text": [f"{first + i}"] * (i % 3)} for i in range(len(keys))]
    value = pa.array(rows, pa.struct({"n": pa.int64(), "text": pa.list_(pa.string())}))
    numbers = pa.array(range(first, first + len(keys)), pa.int32())
    return pa.record_batch({"n": numbers, "key": pa.array(keys, pa.uint64()), "value": value})


def assert_sorted(blocks: list[list[int]], buckets: int) -> None:
    firsts = np.cumsum([0, *map(len, blocks)])
    batches = [block(keys, first) for keys, first in zip(blocks, firsts, strict=False)]
    rows = pa.Table.from_batches(batches).to_pylist()
    bucket = bucket_of(np.array([row["key"] for row in rows], np.uint64), buckets)
    batch, starts = sort_by_bucket(batches, buckets)
    assert batches == []
    expected = [
        [row for row, b in zip(rows, bucket, strict=True) if b == n] for n in range(buckets)
    ]
    slices = [batch.slice(starts[n], starts[n + 1] - starts[n]) for n in range(buckets)]
    assert [piece.to_pylist() for piece in slices] == expected


KEYS = st.lists(st.integers(0, 2**64 - 1), max_size=30)


@given(st.lists(KEYS, min_size=1, max_size=4), st.integers(1, 1024))
def test_rows_of_a_bucket_keep_their_order(blocks: list[list[int]], buckets: int):
    assert_sorted(blocks, buckets)


@pytest.mark.parametrize("rows", [(1 << 16) - 1, 1 << 16])
def test_more_rows_and_buckets_than_fit_32_bits(rows: int):
    keys = np.random.default_rng(0).integers(0, 1 << 64, rows, np.uint64)
    value = pa.StructArray.from_arrays([np.arange(rows)], ["n"])
    batch, starts = sort_by_bucket([pa.record_batch({"key": keys, "value": value})], 1 << 16)
    order = np.argsort(bucket_of(keys, 1 << 16), kind="stable")
    assert np.array_equal(batch["value"].field("n").to_numpy(), order)
    assert starts[-1] == rows
