"""Exchange: blocks of rows → the fragments of each bucket of images, together."""

from collections.abc import Iterable, Iterator

import apache_beam as beam
import pyarrow as pa

from transforms.config import BuildConfig
from transforms.elements import Block
from transforms.exchange import engine, files

FORMS = ("files", "engine")


class PartitionFn(beam.DoFn):
    """Splits a block by bucket and leaves its rows where the bucket will find them."""

    def __init__(self, config: BuildConfig) -> None:
        self._config = config

    def process(self, block: Block) -> Iterator[tuple[int, files.Reference | engine.Payload]]:
        if self._config.exchange == "files":
            return files.spill(block, self._config.buckets, self._config.exchange_folder)
        return engine.ship(block, self._config.buckets)


class Exchange(beam.PTransform):
    """Brings the fragments of one bucket together.

    They travel through files of the work folder (`files`), or the runner's own shuffle (`engine`).
    Takes a tuple of PCollections of blocks. Each is partitioned where its blocks were made, before
    they are flattened, since a runner may write out what enters a flatten, and blocks are large.
    """

    def __init__(self, config: BuildConfig) -> None:
        super().__init__()
        self._fn = PartitionFn(config)

    def expand(self, blocks: tuple[beam.PCollection, ...]) -> beam.PCollection:
        fragments = [
            some | f"Partition{i}" >> beam.ParDo(self._fn) for i, some in enumerate(blocks)
        ]
        return fragments | beam.Flatten() | "OfOneBucket" >> beam.GroupByKey()


def load_fragments(
    fragments: Iterable[files.Reference | engine.Payload], spilled: files.Spilled
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The source index and rows of each fragment of a bucket, in published order."""
    for (source, _, _), location in sorted(fragments):
        here = isinstance(location, bytes)
        yield source, engine.load(location) if here else spilled.load(location)
