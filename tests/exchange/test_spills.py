"""Rows that are spilled are found again by the buckets that they belong to, in their order."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from transforms.exchange import spills
from transforms.exchange.batches import KeyedBatch, bucket_of
from transforms.exchange.files import FileTransport
from transforms.exchange.spills import SpilledBatches, SpillReader, group_for_spills, write_spill

BUCKETS = 7


def batch(order: int, texts: list[str], index: pa.DataType | None = None) -> KeyedBatch:
    index = index or pa.int8()
    coded = pa.array(texts).dictionary_encode()
    coded = pa.DictionaryArray.from_arrays(coded.indices.cast(index), coded.dictionary)
    value = pa.StructArray.from_arrays([coded, pa.array(texts)], ["coded", "text"])
    keys = np.random.default_rng(order).integers(0, 1 << 64, len(texts), np.uint64)
    return KeyedBatch(3, order, pa.record_batch({"key": keys, "value": value, "coded": coded}))


def rows_of(batches: Iterable[KeyedBatch], bucket: int | None = None) -> list[dict]:
    """The rows of batches, or those of a bucket."""
    rows = [row for each in batches for row in each.rows.to_pylist()]
    buckets = bucket_of(np.array([row["key"] for row in rows], np.uint64), BUCKETS)
    return [row for row, of in zip(rows, buckets, strict=True) if bucket in (None, of)]


def test_batches_written_together_are_found_by_bucket(tmp_path: Path) -> None:
    given = [batch(order, ["a", "b", "b"] if order else ["b", "c"]) for order in range(4)]
    (together,) = group_for_spills(list(given))
    written = write_spill(together, BUCKETS, str(tmp_path))
    assert together == []
    assert (written.origin, written.order) == (3, 0)
    for bucket in range(BUCKETS):
        found = SpilledBatches(str(tmp_path), bucket, BUCKETS, (written,))
        assert rows_of(found) == rows_of(given, bucket)
        assert rows_of(found) == rows_of(found)  # as often as it is asked for


def test_batches_that_are_coded_differently_stay_apart() -> None:
    given = [batch(0, ["a"]), batch(1, ["a"], pa.int16())]
    assert group_for_spills(given) == [[each] for each in given]
    many = [batch(order, [f"{order} {i}" for i in range(100)]) for order in range(2)]
    assert group_for_spills(many) == [[each] for each in many]


def test_batches_are_written_together_up_to_a_size(tmp_path: Path) -> None:
    given = [batch(order, ["a"] * 100) for order in range(8)]
    outputs = ["first", *given[:4], "between", *given[4:]]
    transport = FileTransport(str(tmp_path), spill_bytes=3 * given[0].rows.nbytes)
    fragments = list(transport.partition(outputs, BUCKETS))
    assert [each if isinstance(each, str) else each.order for each in fragments] == [
        *("first", 0, "between", 3, 6)
    ]
    written = [each for each in fragments if not isinstance(each, str)]
    for bucket in range(BUCKETS):
        _, found = transport.batches_of(bucket, BUCKETS, written[1:], written[:1])
        assert rows_of(found) == rows_of(given, bucket)


def test_no_file_stays_open(tmp_path: Path) -> None:
    reader = SpillReader(BUCKETS)
    before = len(os.listdir("/proc/self/fd"))
    for order in range(5):
        reader.load(write_spill([batch(order, ["a"] * 20)], BUCKETS, str(tmp_path)), 0)
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_comes_next_is_read_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = [
        write_spill([batch(order, ["a"] * 50)], BUCKETS, str(tmp_path)) for order in range(2)
    ]
    asked: list[tuple[str, int, int]] = []
    monkeypatch.setattr(spills, "read_ahead", lambda *piece: asked.append(piece))
    reader = SpillReader(BUCKETS)
    pieces = []
    for bucket, ahead in ((0, [0]), (2, [2, 4]), (4, [6]), (5, [5, 6]), (6, [])):
        reader.expect(written, bucket)
        reader.expect_next(written, bucket)
        assert [path for path, *_ in asked] == [each.path for _ in ahead for each in written]
        pieces += zip([b for b in ahead for _ in written], asked, strict=True)
        asked.clear()
    # They are what reading a bucket reads.
    read: list[tuple[int, int]] = []
    pread = os.pread

    def note(descriptor: int, size: int, at: int) -> bytes:
        read.append((at, at + size))
        return pread(descriptor, size, at)

    monkeypatch.setattr(os, "pread", note)
    for bucket, (path, start, stop) in pieces:
        read.clear()
        reader.load(next(each for each in written if each.path == path), bucket)
        assert read[-1][1] == stop
        assert start == 0 or read[0][0] == start
