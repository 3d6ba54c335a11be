"""Rows that are spilled are found again by the buckets that they belong to, in their order."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa

from transforms import codes
from transforms.elements import Block
from transforms.examples.schema import IMAGE_LABEL
from transforms.exchange.files import Spilled, combine, spill
from transforms.keys import bucket_of

KNOWN = pa.array(["/m/1", "/m/2"])
BUCKETS = 7


def block(order: int, sources: list[str], label: str = "/m/1") -> Block:
    rows = [{"label": label, "source": source, "confidence": 0.5} for source in sources]
    value = codes.encode(pa.array(rows, IMAGE_LABEL), "image_labels", KNOWN)
    keys = np.random.default_rng(order).integers(0, 1 << 64, len(rows), np.uint64)
    return Block(3, order, pa.table({"key": keys, "value": value}))


def texts(pieces: list[pa.RecordBatch]) -> list[tuple[int, dict]]:
    return [
        (row["key"], codes.decode(piece["value"], KNOWN)[i].as_py())
        for piece in pieces
        for i, row in enumerate(piece.to_pylist())
    ]


def test_blocks_written_together_are_found_by_bucket(tmp_path: Path) -> None:
    blocks = [block(order, ["a", "b", "b"] if order else ["b", "c"]) for order in range(4)]
    expected = texts([batch for each in blocks for batch in each.table.to_batches()])
    (together,) = combine(pending := list(blocks))
    assert pending == []
    written = spill(together, BUCKETS, str(tmp_path))
    assert (written.source, written.order) == (3, 0)
    spilled = Spilled()
    for bucket in range(BUCKETS):
        found = spilled.load(written, bucket)
        here = bucket_of(np.array([key for key, _ in expected], np.uint64), BUCKETS) == bucket
        assert texts([found]) == [
            row for row, is_here in zip(expected, here, strict=True) if is_here
        ]


def test_blocks_that_are_coded_differently_stay_apart() -> None:
    blocks = [block(0, ["a"]), block(1, ["a"], "/m/new")]
    assert combine(list(blocks)) == blocks
    many = [block(order, [f"{order} {i}" for i in range(100)]) for order in range(2)]
    assert combine(list(many)) == many


def test_no_file_stays_open(tmp_path: Path) -> None:
    spilled = Spilled()
    before = len(os.listdir("/proc/self/fd"))
    for order in range(5):
        spilled.load(spill(block(order, ["a"] * 20), BUCKETS, str(tmp_path)), 0)
    assert len(os.listdir("/proc/self/fd")) == before
