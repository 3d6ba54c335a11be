"""BuildBucket: rows by bucket → join → select → pictures → masks → examples → files."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam

from transforms import progress
from transforms.dataset.classes import decode_labels
from transforms.examples.join import join
from transforms.examples.make import index_classes, label_inputs
from transforms.examples.options import ExampleOptions
from transforms.examples.report import report_bucket
from transforms.examples.write import BucketBuilder
from transforms.exchange.batches import BucketBatches
from transforms.journal import Journal


class BuildBucketFn(beam.DoFn):
    """Builds the examples of a bucket, unless the journal has them."""

    def __init__(
        self,
        options: ExampleOptions,
        builder: BucketBuilder,
        journal: Journal,
        progress_folder: str | None,
    ) -> None:
        self._options = options
        self._builder = builder
        self._journal = journal
        self._progress_folder = progress_folder

    def setup(self) -> None:
        progress.sign_on(self._progress_folder)
        self._builder.open()

    def teardown(self) -> None:
        self._builder.close()

    def process(
        self,
        element: tuple[int, BucketBatches],
        encoded_labels: bytes,
        new_labels: Sequence[frozenset[str]] = (),
    ) -> Iterable[Any]:
        bucket, batches = element
        name = f"bucket-{bucket}"
        outputs = self._journal.load(name)
        if outputs is None:
            work = self._build(bucket, batches, encoded_labels, new_labels)
            outputs = self._journal.save(name, work)
        return outputs

    def _build(
        self,
        bucket: int,
        batches: BucketBatches,
        encoded_labels: bytes,
        new_labels: Sequence[frozenset[str]],
    ) -> Iterator[Any]:
        options = self._options
        labels = decode_labels(encoded_labels)
        joined = join(batches, options.sources, options.splits, labels)
        indices = index_classes(options, labels, new_labels)
        built = self._builder.build(bucket, joined, indices)
        for split in built.splits:
            yield from split.parts
        yield from report_bucket(bucket, joined, built, len(options.sources))
        progress.add(self._progress_folder, buckets=1, failed=joined.failures.num_rows)


@dataclasses.dataclass(eq=False)
class BuildBucket(beam.PTransform):
    """Batches by bucket → files of examples.

    Examples are written by the DoFn that makes them, so that memory holds one window of them:
    `MakeExamples` makes the same ones and writes nothing.

    Outputs, by tag: `parts` (`BuiltPart`), failures (`failed`) and counts (`counts`,
    `BucketCount`).

    Attributes:
        options: what examples are made of.
        builder: makes and writes them.
        journal: of the files that were written.
        progress_folder: where buckets are counted; None for nowhere.
        labels: that class files name, encoded; one element.
        new_labels: others that occur; frozensets.
    """

    options: ExampleOptions
    builder: BucketBuilder
    journal: Journal
    progress_folder: str | None
    labels: beam.PCollection
    new_labels: beam.PCollection

    def expand(self, buckets: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        build = BuildBucketFn(self.options, self.builder, self.journal, self.progress_folder)
        inputs = label_inputs(self.options, self.labels, self.new_labels)
        return buckets | beam.ParDo(build, **inputs).with_outputs("failed", "counts", main="parts")
