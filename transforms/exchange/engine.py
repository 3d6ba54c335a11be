"""The exchange through the runner's own shuffle: the rows travel as Arrow IPC bytes, compressed
with lz4.

For clusters without a file system that all workers see.
"""

import itertools
from collections.abc import Iterator

import pyarrow as pa

from transforms.dataset.elements import Block
from transforms.exchange.partition import sort_by_bucket

#: Runners want elements well under 10 MB.
MAX_ELEMENT_BYTES = 8 << 20
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")

Payload = tuple[tuple[int, int, int], bytes]


def ship(block: Block, buckets: int) -> Iterator[tuple[int, Payload]]:
    """The rows of each bucket as elements of at most `MAX_ELEMENT_BYTES` before compression.

    A single row above that, a very long narrative, is an element of its own.
    """
    batch, starts = sort_by_bucket([block.table], buckets)
    for bucket, (start, stop) in enumerate(itertools.pairwise(starts)):
        rows = batch.slice(start, stop - start)
        pieces = -(-rows.nbytes // MAX_ELEMENT_BYTES)
        step = max(1, -(-rows.num_rows // max(pieces, 1)))
        for place, at in enumerate(range(0, rows.num_rows, step)):
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, batch.schema, options=_OPTIONS) as writer:
                writer.write_batch(rows.slice(at, step))
            yield bucket, ((block.source, block.order, place), sink.getvalue().to_pybytes())


def load(payload: bytes) -> pa.RecordBatch:
    """The rows of an element."""
    return next(iter(pa.ipc.open_stream(payload)))
