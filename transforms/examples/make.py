"""MakeExamples: the joined rows of buckets → examples as Arrow batches, with nothing written."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from transforms import metrics
from transforms.dataset.classes import class_index, decode_labels
from transforms.dataset.schema import EXAMPLE
from transforms.examples.complete import Finished, Window, complete_examples
from transforms.examples.join import join
from transforms.examples.options import ExampleOptions
from transforms.examples.pictures import HELD_BYTES, Fetched, fetch_pictures
from transforms.examples.report import BuiltBucket, BuiltSplit, report_bucket
from transforms.examples.select import split_table
from transforms.exchange.batches import BucketBatches
from transforms.sources.buffer import PictureBuffer
from transforms.sources.members import MemberReader, archive_stamps
from transforms.sources.sources import open_sources

#: Images of a window where they have no pictures.
WINDOW_IMAGES = 16_384
_MAX_MASK_BYTES = 64 << 20


class ExampleMaker:
    """Makes the examples of joined images: reads their pictures and masks.

    Memory is bounded by a window: pictures of `window_bytes`, or `WINDOW_IMAGES` images.
    """

    def __init__(
        self, options: ExampleOptions, window_bytes: int = HELD_BYTES, keeps_windows: bool = True
    ) -> None:
        """Opens all sources.

        Args:
            options: what examples are made of.
            window_bytes: processed pictures of a window; a larger one is alone.
            keeps_windows: whether a window's pictures stay valid when the next one is asked for.
        """
        self._options = options
        self._buffer = PictureBuffer(window_bytes, is_recycled=not keeps_windows)
        self._pictures = open_sources(
            options.sources, options.http_options, options.object_options, self._buffer
        )
        self._masks = MemberReader(
            _MAX_MASK_BYTES, options=options.object_options, stamps=archive_stamps(options.sources)
        )

    def close(self) -> None:
        """Closes all sources."""
        for source in self._pictures:
            source.close()
        self._masks.close()

    def make(
        self,
        images: pa.Table,
        class_index: Mapping[str, int],
        finished: Finished | None = None,
    ) -> Iterator[Window]:
        """Yields windows of examples, in the order of the images.

        Args:
            images: rows of `join.Joined.table`, of one split.
            class_index: MID to class index, for semantic maps.
            finished: pictures and masks that are finished already, of some of these images.
        """
        for fetched in self._fetch(images, finished):
            window = complete_examples(fetched, self._options, self._masks, class_index, finished)
            del fetched  # both would stay until the next ones are there
            yield window
            del window

    def _fetch(self, images: pa.Table, finished: Finished | None) -> Iterator[Fetched]:
        """Yields consecutive images, with their pictures where these are wanted."""
        options = self._options
        if not options.with_pictures:
            for start in range(0, len(images), WINDOW_IMAGES):
                yield Fetched(images.slice(start, WINDOW_IMAGES), {}, [])
            return
        for fetched in fetch_pictures(
            images,
            self._pictures,
            options.verify_pixels,
            options.image_spec,
            self._buffer.capacity,
            self._buffer,
            finished,
        ):
            sizes = pc.binary_length(fetched.columns["image"].field("bytes")).to_pylist()
            metrics.add_pictures(sizes, fetched.fetch_seconds, fetched.decode_seconds)
            yield fetched
            del fetched  # which would stay until the next one is there


def index_classes(
    options: ExampleOptions, labels: pa.Array, new_labels: Sequence[frozenset[str]]
) -> dict[str, int]:
    """Returns MID to class index, from 1; nothing where examples need no indices.

    Args:
        options: what examples are made of.
        labels: that class files name.
        new_labels: others that occur.
    """
    if not options.needs_all_labels:
        return {}
    return class_index(labels.to_pylist(), frozenset().union(*new_labels))


def label_inputs(
    options: ExampleOptions, labels: beam.PCollection, new_labels: beam.PCollection
) -> dict[str, Any]:
    """Returns the side inputs of a DoFn that makes examples.

    Class indices depend on labels that occur anywhere, so semantic maps wait for all of reading.

    Args:
        options: what examples are made of.
        labels: that class files name, encoded; one element.
        new_labels: others that occur; frozensets.
    """
    inputs: dict[str, Any] = {"encoded_labels": beam.pvalue.AsSingleton(labels)}
    if options.needs_all_labels:
        inputs["new_labels"] = beam.pvalue.AsList(new_labels)
    return inputs


class MakeExamplesFn(beam.DoFn):
    """Makes the examples of a bucket."""

    def __init__(self, options: ExampleOptions) -> None:
        self._options = options

    def setup(self) -> None:
        self._maker = ExampleMaker(self._options)

    def teardown(self) -> None:
        self._maker.close()

    def process(
        self,
        element: tuple[int, BucketBatches],
        encoded_labels: bytes,
        new_labels: Sequence[frozenset[str]] = (),
    ) -> Iterator[Any]:
        bucket, batches = element
        labels = decode_labels(encoded_labels)
        joined = join(batches, self._options.sources, self._options.splits, labels)
        indices = index_classes(self._options, labels, new_labels)
        built = []
        for split, images in split_table(joined.table):
            account = BuiltSplit(split)
            for window in self._maker.make(images, indices):
                account.add(window)
                if len(window.examples):
                    yield _to_batch(window.examples)
            built.append(account)
        source = len(self._options.sources)
        yield from report_bucket(bucket, joined, BuiltBucket(built), source)


def _to_batch(examples: pa.Table) -> pa.RecordBatch:
    """Returns examples as one batch of `EXAMPLE`, with their texts in plain."""
    (batch,) = examples.cast(EXAMPLE).combine_chunks().to_batches()
    return batch


@dataclasses.dataclass(eq=False)
class MakeExamples(beam.PTransform):
    """Batches by bucket, as `Exchange` gives them → examples as `pa.RecordBatch`es of `EXAMPLE`.

    Outputs, by tag: `examples`, each of consecutive images of one split in key order; failures
    (`failed`, `Failed`); and counts (`counts`, `BucketCount`).

    Attributes:
        options: what examples are made of.
        labels: that class files name, encoded; one element.
        new_labels: others that occur; frozensets.
    """

    options: ExampleOptions
    labels: beam.PCollection
    new_labels: beam.PCollection

    def expand(self, buckets: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        inputs = label_inputs(self.options, self.labels, self.new_labels)
        return buckets | beam.ParDo(MakeExamplesFn(self.options), **inputs).with_outputs(
            "failed", "counts", main="examples"
        )
