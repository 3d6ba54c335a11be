"""Rows that are spilled are found again by the buckets that they belong to, in their order."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from transforms.dataset import codes
from transforms.dataset.elements import Block, ByteRange
from transforms.dataset.keys import bucket_of
from transforms.dataset.schema import IMAGE_LABEL
from transforms.exchange import files
from transforms.exchange.files import Spilled, combine, spill
from transforms.exchange.place import PlaceFn

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
    (together,) = combine(list(blocks))
    written = spill(together, BUCKETS, str(tmp_path))
    assert together == []
    assert (written.source, written.order) == (3, 0)
    spilled = Spilled(BUCKETS)
    for bucket in range(BUCKETS):
        found = spilled.load(written, bucket)
        here = bucket_of(np.array([key for key, _ in expected], np.uint64), BUCKETS) == bucket
        assert texts([found]) == [
            row for row, is_here in zip(expected, here, strict=True) if is_here
        ]


def test_blocks_that_are_coded_differently_stay_apart() -> None:
    blocks = [block(0, ["a"]), block(1, ["a"], "/m/new")]
    assert combine(blocks) == [[each] for each in blocks]
    many = [block(order, [f"{order} {i}" for i in range(100)]) for order in range(2)]
    assert combine(many) == [[each] for each in many]


def test_blocks_are_written_together_up_to_a_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [block(order, ["a"] * 100) for order in range(8)]
    monkeypatch.setattr(files, "SPILL_BYTES", 3 * given[0].table.nbytes)
    reader = SimpleNamespace(process=lambda _: iter(["told", *given[:4], "between", *given[4:]]))
    config = SimpleNamespace(
        exchange="files", buckets=BUCKETS, exchange_folder=str(tmp_path), progress_folder=None
    )
    told = PlaceFn(reader, config).process(ByteRange(3, 0, 1))
    assert [each if isinstance(each, str) else each.order for each in told] == [
        *("told", 0, "between", 3, 6)
    ]
    expected = [batch for each in given for batch in each.table.to_batches()]
    spilled = Spilled(BUCKETS)
    found = [
        spilled.load(each, bucket)
        for each in told
        if not isinstance(each, str)
        for bucket in range(BUCKETS)
    ]
    assert sorted(map(str, texts(found))) == sorted(map(str, texts(expected)))


def test_no_file_stays_open(tmp_path: Path) -> None:
    spilled = Spilled(BUCKETS)
    before = len(os.listdir("/proc/self/fd"))
    for order in range(5):
        spilled.load(spill([block(order, ["a"] * 20)], BUCKETS, str(tmp_path)), 0)
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_comes_next_is_read_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spills = [spill([block(order, ["a"] * 50)], BUCKETS, str(tmp_path)) for order in range(2)]
    asked: list[tuple[str, int, int]] = []
    monkeypatch.setattr(files, "read_ahead", lambda *piece: asked.append(piece))
    spilled = Spilled(BUCKETS)
    pieces = []
    for bucket, ahead in ((0, [0]), (2, [2, 4]), (4, [6]), (5, [5, 6]), (6, [])):
        spilled.expect(spills, bucket)
        spilled.expect_next(spills, bucket)
        assert [path for path, *_ in asked] == [each.path for _ in ahead for each in spills]
        pieces += zip([b for b in ahead for _ in spills], asked, strict=True)
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
        spilled.load(next(each for each in spills if each.path == path), bucket)
        assert read[-1][1] == stop
        assert start == 0 or read[0][0] == start
