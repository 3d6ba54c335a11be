"""Exchange: fragments of blocks → those of each bucket of images, together."""

import itertools
from collections.abc import Iterable, Iterator

import apache_beam as beam
import pyarrow as pa

from transforms.config import BuildConfig
from transforms.exchange import engine, files

FORMS = ("files", "engine")


class Exchange(beam.PTransform):
    """Brings the fragments of one bucket together.

    They travel through the runner's own shuffle (`engine`), or lie in files of the work folder
    (`files`): `place` has made them where their blocks were read. Each file has rows of every
    bucket, so all that a bucket need be told is which files there are: a shuffle of one reference
    for each bucket and file would grow with the square of the input. Takes a tuple of
    PCollections of fragments.

    Args:
        config: the build.
        buckets: the numbers of all buckets.
    """

    def __init__(self, config: BuildConfig, buckets: beam.PCollection) -> None:
        super().__init__()
        self._config = config
        self._buckets = buckets

    def expand(self, fragments: tuple[beam.PCollection, ...]) -> beam.PCollection:
        if self._config.exchange == "engine":
            return fragments | beam.Flatten() | "OfOneBucket" >> beam.GroupByKey()
        return (
            self._buckets
            | "SpreadBuckets" >> beam.Reshuffle()
            | "TellFiles" >> beam.Map(_tell, *map(beam.pvalue.AsList, fragments))
        )


def _tell(bucket: int, *spills: list[files.Spill]) -> tuple[int, list[files.Spill]]:
    return bucket, [*itertools.chain.from_iterable(spills)]


def load_fragments(
    bucket: int, fragments: Iterable[files.Spill | engine.Payload], spilled: files.Spilled
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The source index and rows of each fragment of a bucket, in published order."""
    fragments = sorted(fragments)
    spills = [fragment for fragment in fragments if isinstance(fragment, files.Spill)]
    spilled.expect(spills, bucket)
    for fragment in fragments:
        if isinstance(fragment, files.Spill):
            yield fragment.source, spilled.load(fragment, bucket)
        else:
            (source, _, _), payload = fragment
            yield source, engine.load(payload)
    spilled.expect_next(spills, bucket)
