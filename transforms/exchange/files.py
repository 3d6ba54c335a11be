"""The exchange through files: no rows travel through the runner's shuffle.

For workers that all see a folder.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam

from transforms.exchange.batches import BucketBatches, KeyedBatch
from transforms.exchange.spills import Spill, SpilledBatches, group_for_spills, write_spill

#: Rows of one file, about. It has a batch for each bucket, so a few large files take less time than
#: many small ones.
SPILL_BYTES = 36 << 20


@dataclasses.dataclass(frozen=True)
class FileTransport:
    """Writes rows to files of a folder; its owner removes them.

    A file has rows of every bucket, so a bucket is told of all files: a shuffle of one reference
    for each bucket and file would grow with the square of the input.

    Attributes:
        folder: for the files; each attempt of a bundle writes its own.
        spill_bytes: limit on the batches that are written to one file.
    """

    folder: str
    spill_bytes: int = SPILL_BYTES

    def partition(self, outputs: Iterable[Any], num_buckets: int) -> Iterator[Any]:
        pending: list[KeyedBatch] = []
        for output in outputs:
            if not isinstance(output, KeyedBatch):
                yield output
                continue
            size = sum(batch.rows.nbytes for batch in (*pending, output))
            if pending and size > self.spill_bytes:
                yield from self._write(pending, num_buckets)
                pending = []
            pending.append(output)
        if pending:
            yield from self._write(pending, num_buckets)

    def _write(self, batches: list[KeyedBatch], num_buckets: int) -> Iterator[Spill]:
        for group in group_for_spills(batches):
            yield write_spill(group, num_buckets, self.folder)

    def gather(
        self, fragments: Sequence[beam.PCollection], num_buckets: int
    ) -> beam.PCollection[tuple[int, BucketBatches]]:
        return (
            fragments[0].pipeline
            | beam.Impulse()
            | "ListBuckets" >> beam.FlatMap(lambda _: range(num_buckets))
            | "SpreadBuckets" >> beam.Reshuffle()
            | "NameFiles"
            >> beam.Map(self.batches_of, num_buckets, *map(beam.pvalue.AsList, fragments))
        )

    def batches_of(
        self, bucket: int, num_buckets: int, *spills: Iterable[Spill]
    ) -> tuple[int, BucketBatches]:
        """Returns a bucket with its batches of all files."""
        ordered = tuple(sorted(itertools.chain.from_iterable(spills)))
        return bucket, SpilledBatches(self.folder, bucket, num_buckets, ordered)
