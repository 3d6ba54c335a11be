"""The exchange through files: only references travel through the runner's shuffle.

A reader writes its block, sorted by bucket, to one Arrow IPC file of the work folder; a bucket maps
the files into memory and touches its own rows alone. All workers must see the work folder.
"""

import ctypes
import mmap
import os
import uuid
from collections.abc import Iterator

import pyarrow as pa

from transforms.elements import Block
from transforms.exchange.partition import sort_by_bucket

#: (source, order, place within the block), (path, batch)
Reference = tuple[tuple[int, int, int], tuple[str, int]]

_libc = ctypes.CDLL(None)


def spill(block: Block, buckets: int, folder: str) -> Iterator[tuple[int, Reference]]:
    """Writes a block and yields where each bucket finds its rows.

    The file's name is unique to the attempt, so that a retried reader never writes into what
    another attempt's references point to.
    """
    path = os.path.join(folder, f"{uuid.uuid4().hex}.arrow")
    table, places = sort_by_bucket(block.table, buckets)
    (batch,) = table.to_batches()
    with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        # A batch a bucket, though one for all took less time: what a bucket reads lies together so.
        for _, start, rows in places:
            writer.write_batch(batch.slice(start, rows))
    for number, (bucket, _, _) in enumerate(places):
        yield bucket, ((block.source, block.order, 0), (path, number))


class Spilled:
    """Files of the exchange, mapped into memory once for all the buckets of a worker.

    With as many files as there are chunks, and rows of every bucket in each, to open them anew for
    each bucket would take more of a large build than to join them.
    """

    def __init__(self) -> None:
        self._files: dict[str, tuple[pa.Buffer, pa.RecordBatchFileReader]] = {}

    def load(self, location: tuple[str, int]) -> pa.RecordBatch:
        """The rows that a reference points to."""
        path, number = location
        if path not in self._files:
            with pa.memory_map(path) as file:
                data = file.read_buffer()  # which outlives the file's descriptor
            self._files[path] = data, pa.ipc.open_file(data)
        return self._files[path][1].get_batch(number)

    def release(self) -> None:
        """Gives back the memory of the pages read so far; they are read again where needed."""
        for data, _ in self._files.values():
            address, size = ctypes.c_void_p(data.address), ctypes.c_size_t(data.size)
            _libc.madvise(address, size, mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Unmaps the files, as soon as no rows of them are in use."""
        self._files.clear()
