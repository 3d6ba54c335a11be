"""The exchange by itself, on batches that have nothing to do with images."""

import contextlib
import io
import textwrap
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that, equal_to

from transforms.exchange import exchange
from transforms.exchange.batches import BucketBatches, KeyedBatch, Transport, bucket_of
from transforms.exchange.exchange import Exchange
from transforms.exchange.files import FileTransport
from transforms.exchange.shuffle import ShuffleTransport

BUCKETS = 5
TRANSPORTS: dict[str, Callable[[Path], Transport]] = {
    "files": lambda folder: FileTransport(str(folder)),
    "shuffle": lambda _: ShuffleTransport(),
}


def make_batch(tag: tuple[int, int]) -> KeyedBatch:
    """Predictions of one file: a score for each key, and a list."""
    generator = np.random.default_rng(tag)
    keys = generator.integers(0, 1 << 64, 40, np.uint64)
    scores = pa.array(generator.random(40), mask=generator.random(40) < 0.1)
    lists = pa.array([[str(tag)] * (i % 3) for i in range(40)])
    return KeyedBatch(*tag, pa.record_batch({"score": scores, "key": keys, "list": lists}))


def list_rows(bucket: int, batches: BucketBatches) -> tuple[int, list]:
    rows = [(each.origin, each.order, each.rows.to_pylist()) for each in batches]
    return bucket, [row for row in rows if row[-1]]


@pytest.mark.parametrize("origins", [{0, 2, 10}, {0, 10}, {2}], ids=str)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_rows_of_a_bucket_meet_in_the_order_of_their_tags(
    transport: str, origins: set[int], tmp_path: Path
):
    tags = [(0, 0), (0, 7), (2, 1), (10, 0)]
    expected = {bucket: [] for bucket in range(BUCKETS)}
    for each in map(make_batch, tags):
        rows = each.rows.to_pylist()
        buckets = bucket_of(each.rows["key"].to_numpy(), BUCKETS).tolist()
        for bucket in set(buckets):
            mine = [row for row, of in zip(rows, buckets, strict=True) if of == bucket]
            if each.origin in origins:
                expected[bucket].append((each.origin, each.order, mine))
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        found = (
            pipeline
            | beam.Create(reversed(tags))
            | beam.Map(make_batch)
            | Exchange(BUCKETS, TRANSPORTS[transport](tmp_path))
            | beam.MapTuple(lambda bucket, batches: list_rows(bucket, batches.of(origins)))
        )
        assert_that(found, equal_to(list(expected.items())))


def test_the_example_of_the_docstring():
    lines = exchange.__doc__.splitlines()
    code = textwrap.dedent("\n".join(line for line in lines if not line or line[0] == " "))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {"__name__": "pasted"})
    sums = [eval(line) for line in printed.getvalue().splitlines()]
    assert sorted(bucket for bucket, _ in sums) == list(range(8))
    assert sum(total for _, total in sums) == pytest.approx(300)
