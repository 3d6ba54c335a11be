"""The exchange through files: nothing travels through the runner's shuffle.

A reader writes its block, sorted by bucket, to one Arrow IPC file of the work folder; a bucket
reads its own rows alone. All workers must see the work folder.
"""

import itertools
import os
import uuid
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from transforms.dataset.elements import Block, in_one_piece
from transforms.exchange.partition import sort_by_bucket
from transforms.storage.files import read_ahead

_BUFFER_BYTES = 1 << 20


#: Rows that are written to one file, at most about. Each has a batch for each bucket, so few large
#: files take less time than many.
SPILL_BYTES = 36 << 20


class Spill(NamedTuple):
    """A block's file: its n-th batch holds the rows of the n-th bucket, be there any or none.

    After the end of the Arrow file comes where each batch ends, (buckets,) uint64.
    """

    source: int
    order: int
    path: str


def combine(blocks: list[Block]) -> list[list[Block]]:
    """Blocks of one source as those that can be written together: all of them, or each by itself if
    their texts are coded differently."""
    values = [in_one_piece(block.table["value"]) for block in blocks]
    if any(value.type != values[0].type for value in values):
        return [[block] for block in blocks]
    for field in values[0].type:
        if pa.types.is_dictionary(field.type):
            try:
                pa.concat_arrays([value.field(field.name) for value in values])
            except pa.ArrowInvalid:  # more texts in all than codes
                return [[block] for block in blocks]
    return [blocks]


def spill(blocks: list[Block], buckets: int, folder: str) -> Spill:
    """Writes blocks where buckets find their rows, and empties the list.

    The file's name is unique to the attempt, so that a retried reader never writes into what
    another attempt has told of.
    """
    path = os.path.join(folder, f"{uuid.uuid4().hex}.arrow")
    source, order, _ = blocks[0]
    tables = [block.table for block in blocks]
    blocks.clear()
    batch, starts = sort_by_bucket(tables, buckets)
    ends = np.zeros(buckets, np.uint64)
    # Arrow writes each column of each batch by itself.
    with pa.BufferedOutputStream(pa.OSFile(path, "wb"), _BUFFER_BYTES) as file:
        with pa.ipc.new_file(file, batch.schema) as writer:
            # A batch a bucket, though one for all took less time: what a bucket reads lies
            # together so.
            for bucket, (start, stop) in enumerate(itertools.pairwise(starts)):
                writer.write_batch(batch.slice(start, stop - start))
                ends[bucket] = file.tell()
        file.write(ends)
    return Spill(source, order, path)


class Spilled:
    """Files of the exchange, opened once for all the buckets of a worker.

    With as many files as there are chunks, and rows of every bucket in each, to open them anew for
    each bucket would take more of a large build than to join them.
    """

    def __init__(self, buckets: int) -> None:
        """Files of so many buckets."""
        self._buckets = buckets
        self._files: dict[str, _File] = {}
        self._last: int | None = None
        self._expected: int | None = None

    def load(self, spill: Spill, bucket: int) -> pa.RecordBatch:
        """The rows of a bucket."""
        return self._open(spill).load(bucket)

    def expect(self, spills: Iterable[Spill], bucket: int) -> None:
        """Has the system fetch a bucket's rows, if it wasn't told of them before: they lie in as
        many places as there are files, of which a disk can fetch several at a time."""
        if bucket != self._expected:
            self._read_ahead(spills, bucket)

    def expect_next(self, spills: Iterable[Spill], bucket: int) -> None:
        """As `expect` for the bucket that likely comes after this one: workers take them in order,
        so as many lie between two as there are other workers."""
        if self._last is not None:
            self._expected = 2 * bucket - self._last
            if bucket < self._expected < self._buckets:
                self._read_ahead(spills, self._expected)
        self._last = bucket

    def _read_ahead(self, spills: Iterable[Spill], bucket: int) -> None:
        for spill in spills:
            self._open(spill).read_ahead(bucket)

    def _open(self, spill: Spill) -> "_File":
        if spill.path not in self._files:
            self._files[spill.path] = _File(spill.path, self._buckets)
        return self._files[spill.path]


class _File:
    """A file of the exchange, as `pyarrow` asks for one to read.

    It is opened for each read, since there may be more than can be open at once. Not mapped into
    memory, since Linux maps much that lies around what is touched: 90 MB for a bucket of 20.
    """

    closed = False

    def __init__(self, path: str, buckets: int) -> None:
        self._path = path
        self._at = 0
        self._ends = np.empty(buckets, np.uint64)
        with open(path, "rb", buffering=0) as file:
            self._size = file.seek(-self._ends.nbytes, os.SEEK_END)
            file.readinto(self._ends.data)
        self._batches = pa.ipc.open_file(self)

    def load(self, bucket: int) -> pa.RecordBatch:
        return self._batches.get_batch(bucket)

    def read_ahead(self, bucket: int) -> None:
        start = int(self._ends[bucket - 1]) if bucket else 0
        read_ahead(self._path, start, int(self._ends[bucket]))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + (self._size if whence == os.SEEK_END else 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int) -> bytes:
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            data = os.pread(descriptor, size, self._at)
        finally:
            os.close(descriptor)
        self._at += len(data)
        return data
