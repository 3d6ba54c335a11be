"""Exchange: fragments of blocks → those of each bucket of images, together."""

from collections.abc import Iterable, Iterator

import apache_beam as beam
import pyarrow as pa

from transforms.exchange import engine, files

FORMS = ("files", "engine")


class Exchange(beam.PTransform):
    """Brings the fragments of one bucket together.

    They travel through files of the work folder (`files`), or the runner's own shuffle (`engine`):
    `place` has made them where their blocks were read. Takes a tuple of PCollections of fragments.
    """

    def expand(self, fragments: tuple[beam.PCollection, ...]) -> beam.PCollection:
        return fragments | beam.Flatten() | "OfOneBucket" >> beam.GroupByKey()


def load_fragments(
    fragments: Iterable[files.Reference | engine.Payload], spilled: files.Spilled
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The source index and rows of each fragment of a bucket, in published order."""
    for (source, _, _), location in sorted(fragments):
        here = isinstance(location, bytes)
        yield source, engine.load(location) if here else spilled.load(location)
