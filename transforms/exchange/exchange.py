"""Exchange: keyed Arrow batches → the batches of each bucket, together.

Example:
    import apache_beam as beam
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from transforms.exchange.batches import BucketBatches, KeyedBatch
    from transforms.exchange.exchange import Exchange
    from transforms.exchange.shuffle import ShuffleTransport

    def read(file: int) -> KeyedBatch:
        keys = np.random.default_rng(file).integers(0, 1 << 64, 1000, np.uint64)
        rows = pa.record_batch({"key": keys, "score": np.full(1000, file / 10)})
        return KeyedBatch(origin=file, order=0, rows=rows)

    def add_up(bucket: int, batches: BucketBatches) -> tuple[int, float]:
        return bucket, sum(pc.sum(batch.rows["score"]).as_py() for batch in batches)

    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        (
            pipeline
            | beam.Create([0, 1, 2])
            | beam.Map(read)
            | Exchange(num_buckets=8, transport=ShuffleTransport())
            | beam.MapTuple(add_up)
            | beam.Map(print)
        )
"""

import dataclasses
from collections.abc import Sequence

import apache_beam as beam

from transforms.exchange.batches import BucketBatches, KeyedBatch, Transport


@dataclasses.dataclass(eq=False)
class Exchange(beam.PTransform):
    """Brings the rows of one bucket together: the one shuffle of data of a pipeline.

    Takes `KeyedBatch`es, best of a few MiB or more, as each has a fragment for every bucket. Gives
    `(bucket, batches)`: the bucket's rows of each batch, in the order of the batches' tags
    `(origin, order)`. Rows of a batch keep their order; one batch is in memory at a time.

    Attributes:
        num_buckets: into how many ranges of keys the rows are divided.
        transport: `FileTransport(folder)`, for workers that all see a folder, in which case every
            bucket comes out; or `ShuffleTransport()`, which gives the buckets that have rows.
    """

    num_buckets: int
    transport: Transport

    def expand(
        self, batches: beam.PCollection[KeyedBatch]
    ) -> beam.PCollection[tuple[int, BucketBatches]]:
        transport, num_buckets = self.transport, self.num_buckets
        fragments = batches | "Partition" >> beam.FlatMap(
            lambda batch: transport.partition([batch], num_buckets)
        )
        return (fragments,) | "Gather" >> GatherBuckets(num_buckets, transport)


@dataclasses.dataclass(eq=False)
class GatherBuckets(beam.PTransform):
    """The second half of `Exchange`, for DoFns that partition what they read themselves.

    Such a DoFn returns `transport.partition(outputs, num_buckets)`, and so may keep a journal of
    the fragments that it has written. Takes a tuple of PCollections of fragments.
    """

    num_buckets: int
    transport: Transport

    @beam.typehints.no_annotations  # Beam knows no tuples of PCollections
    def expand(
        self, fragments: Sequence[beam.PCollection]
    ) -> beam.PCollection[tuple[int, BucketBatches]]:
        return self.transport.gather(fragments, self.num_buckets)
