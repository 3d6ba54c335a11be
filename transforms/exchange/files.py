"""The exchange through files: nothing travels through the runner's shuffle.

A reader writes its block, sorted by bucket, to one Arrow IPC file of the work folder; a bucket maps
the files into memory and touches its own rows alone. All workers must see the work folder.
"""

import ctypes
import itertools
import mmap
import os
import uuid
from typing import NamedTuple

import pyarrow as pa

from transforms.elements import Block
from transforms.exchange.partition import sort_by_bucket

_BUFFER_BYTES = 1 << 20

_libc = ctypes.CDLL(None)


class Spill(NamedTuple):
    """A block's file: its n-th batch holds the rows of the n-th bucket, be there any or none."""

    source: int
    order: int
    path: str


def spill(block: Block, buckets: int, folder: str) -> Spill:
    """Writes a block where buckets find their rows.

    The file's name is unique to the attempt, so that a retried reader never writes into what
    another attempt has told of.
    """
    path = os.path.join(folder, f"{uuid.uuid4().hex}.arrow")
    table, starts = sort_by_bucket(block.table, buckets)
    (batch,) = table.to_batches()
    with (
        # Arrow writes each column of each batch by itself.
        pa.BufferedOutputStream(pa.OSFile(path, "wb"), _BUFFER_BYTES) as file,
        pa.ipc.new_file(file, table.schema) as writer,
    ):
        # A batch a bucket, though one for all took less time: what a bucket reads lies together so.
        for start, stop in itertools.pairwise(starts):
            writer.write_batch(batch.slice(start, stop - start))
    return Spill(block.source, block.order, path)


class Spilled:
    """Files of the exchange, mapped into memory once for all the buckets of a worker.

    With as many files as there are chunks, and rows of every bucket in each, to open them anew for
    each bucket would take more of a large build than to join them.
    """

    def __init__(self) -> None:
        self._files: dict[str, tuple[pa.Buffer, pa.RecordBatchFileReader]] = {}

    def load(self, spill: Spill, bucket: int) -> pa.RecordBatch:
        """The rows of a bucket."""
        if spill.path not in self._files:
            with pa.memory_map(spill.path) as file:
                data = file.read_buffer()  # which outlives the file's descriptor
            self._files[spill.path] = data, pa.ipc.open_file(data)
        return self._files[spill.path][1].get_batch(bucket)

    def release(self) -> None:
        """Gives back the memory of the pages read so far; they are read again where needed."""
        for data, _ in self._files.values():
            address, size = ctypes.c_void_p(data.address), ctypes.c_size_t(data.size)
            _libc.madvise(address, size, mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Unmaps the files, as soon as no rows of them are in use."""
        self._files.clear()
