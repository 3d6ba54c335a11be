"""The exchange through files: only references travel through the runner's shuffle.

A reader writes its block, sorted by bucket, to one Arrow IPC file of the work folder; a bucket maps
the files into memory and touches its own batches alone. All workers must see the work folder.
"""

import os
import uuid
from collections.abc import Iterator

import pyarrow as pa

from transforms.elements import Block
from transforms.exchange.partition import partition

#: (source, order, place within the block), (path, batch)
Reference = tuple[tuple[int, int, int], tuple[str, int]]


def spill(block: Block, buckets: int, folder: str) -> Iterator[tuple[int, Reference]]:
    """Writes a block and yields where each bucket finds its rows.

    The file's name is unique to the attempt, so that a retried reader never writes into what
    another attempt's references point to.
    """
    path = os.path.join(folder, f"{uuid.uuid4().hex}.arrow")
    written = []
    with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, block.table.schema) as writer:
        for bucket, rows in partition(block.table, buckets):
            writer.write_batch(rows.to_batches()[0])
            written.append(bucket)
    for batch, bucket in enumerate(written):
        yield bucket, ((block.source, block.order, 0), (path, batch))


def load(location: tuple[str, int]) -> pa.RecordBatch:
    """The rows that a reference points to, mapped into memory."""
    path, batch = location
    return pa.ipc.open_file(pa.memory_map(path)).get_batch(batch)
