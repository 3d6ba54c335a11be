"""The exchange through files: nothing travels through the runner's shuffle.

A reader writes its block, sorted by bucket, to one Arrow IPC file of the work folder; a bucket
reads its own rows alone. All workers must see the work folder.
"""

import itertools
import os
import uuid
from typing import NamedTuple

import pyarrow as pa

from transforms.elements import Block
from transforms.exchange.partition import sort_by_bucket

_BUFFER_BYTES = 1 << 20


#: Rows that are written to one file, at most about. Each has a batch for each bucket, so few large
#: files take less time than many.
SPILL_BYTES = 32 << 20


class Spill(NamedTuple):
    """A block's file: its n-th batch holds the rows of the n-th bucket, be there any or none."""

    source: int
    order: int
    path: str


def combine(pending: list[Block]) -> list[Block]:
    """Blocks of one source, in order, as one; as they were if their texts are coded differently.
    Empties the list that it is given."""
    blocks, pending[:] = list(pending), []
    if len(blocks) == 1:
        return blocks
    try:
        table = pa.concat_tables([block.table for block in blocks]).combine_chunks()
    except pa.ArrowInvalid:  # or if there are more texts in all than codes
        return blocks
    return [blocks[0]._replace(table=table)]


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
    """Files of the exchange, opened once for all the buckets of a worker.

    With as many files as there are chunks, and rows of every bucket in each, to open them anew for
    each bucket would take more of a large build than to join them.
    """

    def __init__(self) -> None:
        self._files: dict[str, pa.RecordBatchFileReader] = {}

    def load(self, spill: Spill, bucket: int) -> pa.RecordBatch:
        """The rows of a bucket."""
        if spill.path not in self._files:
            self._files[spill.path] = pa.ipc.open_file(_File(spill.path))
        return self._files[spill.path].get_batch(bucket)


class _File:
    """What `pyarrow` asks of a file to read, of which there may be more than can be open at once.

    Not mapped into memory, since Linux maps much that lies around what is touched: 90 MB for a
    bucket of 20.
    """

    closed = False

    def __init__(self, path: str) -> None:
        self._path = path
        self._at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + (os.stat(self._path).st_size if whence == os.SEEK_END else 0)
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
