"""The exchange through the runner's own shuffle: rows travel as Arrow IPC, compressed with lz4.

For workers that share no file system.
"""

import dataclasses
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Self

import apache_beam as beam
import pyarrow as pa

from transforms.exchange.batches import BucketBatches, KeyedBatch
from transforms.exchange.partition import sort_by_bucket

#: Runners want elements well under 10 MB.
MAX_ELEMENT_BYTES = 8 << 20
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")

#: `(origin, order, place)`, and rows as an Arrow IPC stream.
Payload = tuple[tuple[int, int, int], bytes]


@dataclasses.dataclass(frozen=True)
class ShuffleTransport:
    """Has the runner group rows by bucket; memory holds the compressed rows of one bucket."""

    def partition(self, outputs: Iterable[Any], num_buckets: int) -> Iterator[Any]:
        for output in outputs:
            if isinstance(output, KeyedBatch):
                yield from encode_fragments(output, num_buckets)
            else:
                yield output

    def gather(
        self, fragments: Sequence[beam.PCollection], num_buckets: int
    ) -> beam.PCollection[tuple[int, BucketBatches]]:
        # Only buckets that have rows come out.
        together = fragments | beam.Flatten() | beam.GroupByKey()
        return together | "SortFragments" >> beam.MapTuple(
            lambda bucket, payloads: (bucket, ShuffledBatches(sorted(payloads)))
        )


@dataclasses.dataclass(frozen=True)
class ShuffledBatches(BucketBatches):
    """A bucket's batches, decoded one by one as they are asked for."""

    payloads: list[Payload]

    def __iter__(self) -> Iterator[KeyedBatch]:
        for (origin, order, _), payload in self.payloads:
            yield KeyedBatch(origin, order, next(iter(pa.ipc.open_stream(payload))))

    def of(self, origins: Collection[int]) -> Self:
        return type(self)([payload for payload in self.payloads if payload[0][0] in origins])


def encode_fragments(batch: KeyedBatch, num_buckets: int) -> Iterator[tuple[int, Payload]]:
    """Yields the rows of each bucket as elements of up to `MAX_ELEMENT_BYTES` before compression.

    A single row that is larger, such as a very long text, is an element by itself.
    """
    rows, starts = sort_by_bucket([batch.rows], num_buckets)
    for bucket, (start, stop) in enumerate(itertools.pairwise(starts)):
        chosen = rows.slice(start, stop - start)
        pieces = -(-chosen.nbytes // MAX_ELEMENT_BYTES)
        step = max(1, -(-chosen.num_rows // max(pieces, 1)))
        for place, at in enumerate(range(0, chosen.num_rows, step)):
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, rows.schema, options=_OPTIONS) as writer:
                writer.write_batch(chosen.slice(at, step))
            yield bucket, ((batch.origin, batch.order, place), sink.getvalue().to_pybytes())
