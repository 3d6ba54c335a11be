"""Files of the exchange: rows sorted by bucket, so that a bucket reads its own alone."""

import dataclasses
import functools
import itertools
import os
import uuid
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa

from transforms.exchange.batches import BucketBatches, KeyedBatch
from transforms.exchange.partition import sort_by_bucket
from transforms.storage.files import read_ahead
from transforms.storage.regular import closing

_BUFFER_BYTES = 1 << 20


class Spill(NamedTuple):
    """An Arrow file whose n-th batch has the rows of the n-th bucket, perhaps none.

    The offsets at which batches end, (num_buckets,) uint64, follow the Arrow file.
    """

    origin: int
    order: int
    path: str


def group_for_spills(batches: list[KeyedBatch]) -> list[list[KeyedBatch]]:
    """Returns batches as groups that can be written together: all of them, or each by itself if
    their types or dictionaries differ too much."""
    schema = batches[0].rows.schema
    if not all(batch.rows.schema.equals(schema) for batch in batches):
        return [[batch] for batch in batches]
    for pieces in zip(*(_leaves(batch.rows) for batch in batches), strict=True):
        if pa.types.is_dictionary(pieces[0].type):
            try:
                pa.concat_arrays(pieces)
            except pa.ArrowInvalid:  # more values together than the type of indices has
                return [[batch] for batch in batches]
    return [batches]


def _leaves(rows: pa.RecordBatch) -> Iterator[pa.Array]:
    """Yields the columns, and in place of structs their fields."""
    for column in rows.columns:
        yield from column.flatten() if pa.types.is_struct(column.type) else [column]


def write_spill(batches: list[KeyedBatch], num_buckets: int, folder: str) -> Spill:
    """Writes batches of one schema to a new file, and empties the list.

    The file's name is unique, so that a retry never writes to a file of another attempt.
    """
    path = os.path.join(folder, f"{uuid.uuid4().hex}.arrow")
    origin, order, _ = batches[0]
    rows = [batch.rows for batch in batches]
    batches.clear()
    ordered, starts = sort_by_bucket(rows, num_buckets)
    ends = np.zeros(num_buckets, np.uint64)
    # Arrow writes each column of each batch by itself.
    with pa.BufferedOutputStream(pa.OSFile(path, "wb"), _BUFFER_BYTES) as file:
        with pa.ipc.new_file(file, ordered.schema) as writer:
            # A batch a bucket, though one for all takes less time to write: a bucket's rows lie
            # together that way.
            for bucket, (start, stop) in enumerate(itertools.pairwise(starts)):
                writer.write_batch(ordered.slice(start, stop - start))
                ends[bucket] = file.tell()
        file.write(ends)
    return Spill(origin, order, path)


@dataclasses.dataclass(frozen=True)
class SpilledBatches(BucketBatches):
    """A bucket's batches, read one by one as they are asked for."""

    folder: str
    bucket: int
    num_buckets: int
    spills: tuple[Spill, ...]

    def __iter__(self) -> Iterator[KeyedBatch]:
        reader = _open_folder(self.folder, self.num_buckets)
        reader.expect(self.spills, self.bucket)
        for spill in self.spills:
            yield KeyedBatch(spill.origin, spill.order, reader.load(spill, self.bucket))
        reader.expect_next(self.spills, self.bucket)

    def of(self, origins: Collection[int]) -> Self:
        spills = tuple(spill for spill in self.spills if spill.origin in origins)
        return dataclasses.replace(self, spills=spills)


class SpillReader:
    """Reads files that are opened once for all the buckets of a worker.

    There are as many files as there are chunks of input, with rows of every bucket in each: to open
    them anew for each bucket would take more of a large build than to join the rows.
    """

    def __init__(self, num_buckets: int) -> None:
        self._num_buckets = num_buckets
        self._open = functools.cache(lambda path: _File(path, num_buckets))
        self._last: int | None = None
        self._expected: int | None = None

    def load(self, spill: Spill, bucket: int) -> pa.RecordBatch:
        """Returns the rows of a bucket."""
        return self._open(spill.path).load(bucket)

    def expect(self, spills: Iterable[Spill], bucket: int) -> None:
        """Has the system fetch a bucket's rows, unless `expect_next` did.

        They lie in as many places as there are files; a disk fetches several at a time.
        """
        if bucket != self._expected:
            self._read_ahead(spills, bucket)

    def expect_next(self, spills: Iterable[Spill], bucket: int) -> None:
        """Has the system fetch the rows of the bucket that likely follows this one.

        Workers take buckets in order, so as many lie between two as there are other workers.
        """
        if self._last is not None:
            self._expected = 2 * bucket - self._last
            if bucket < self._expected < self._num_buckets:
                self._read_ahead(spills, self._expected)
        self._last = bucket

    def _read_ahead(self, spills: Iterable[Spill], bucket: int) -> None:
        for spill in spills:
            self._open(spill.path).read_ahead(bucket)


@functools.lru_cache(maxsize=1)
def _open_folder(_folder: str, num_buckets: int) -> SpillReader:
    """Returns the reader of a folder, which stays until another folder is read."""
    return SpillReader(num_buckets)


class _File:
    """A file of the exchange, with the methods that `pyarrow` asks of one to read.

    It is opened for each read, since there may be more files than can be open at once. Not mapped
    into memory, since Linux maps much that lies around what is touched: 90 MB for a bucket of 20.
    Threads may share it: Arrow locks a file while it seeks and reads.
    """

    closed = False

    def __init__(self, path: str, num_buckets: int) -> None:
        self._path = path
        self._at = 0
        self._ends = np.empty(num_buckets, np.uint64)
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
        with closing(os.open(self._path, os.O_RDONLY)) as descriptor:
            data = os.pread(descriptor, size, self._at)
        self._at += len(data)
        return data
