"""Rows sorted by bucket are those of a stable sort, however many blocks and buckets there are."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.dataset.keys import bucket_of
from transforms.exchange.partition import sort_by_bucket


def block(keys: list[int], first: int) -> pa.Table:
    rows = [{"n": first + i, "text": [f"{first + i}"] * (i % 3)} for i in range(len(keys))]
    value = pa.array(rows, pa.struct({"n": pa.int64(), "text": pa.list_(pa.string())}))
    return pa.table({"key": pa.array(keys, pa.uint64()), "value": value})


def assert_sorted(blocks: list[list[int]], buckets: int) -> None:
    firsts = np.cumsum([0, *map(len, blocks)])
    tables = [block(keys, first) for keys, first in zip(blocks, firsts, strict=False)]
    rows = pa.concat_tables(tables).to_pylist()
    bucket = bucket_of(np.array([row["key"] for row in rows], np.uint64), buckets)
    batch, starts = sort_by_bucket(tables, buckets)
    assert tables == []
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
    table = pa.table({"key": keys, "value": pa.StructArray.from_arrays([np.arange(rows)], ["n"])})
    batch, starts = sort_by_bucket([table], 1 << 16)
    order = np.argsort(bucket_of(keys, 1 << 16), kind="stable")
    assert np.array_equal(batch["value"].field("n").to_numpy(), order)
    assert starts[-1] == rows
