"""BuildBucket: rows by bucket → join → select → pictures → masks → examples → files.

`MakeExamples` is the same without the last step.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam

from transforms import progress
from transforms.dataset.classes import NO_CLASSES, ClassTable, decode_classes, decode_labels
from transforms.examples.apply_selection import join_selected
from transforms.examples.join import Joined
from transforms.examples.make import BatchBuilder, BucketBuilder
from transforms.examples.options import ExampleOptions
from transforms.examples.report import report_bucket
from transforms.examples.side_inputs import bucket_inputs
from transforms.exchange.batches import BucketBatches
from transforms.journal import Journal
from transforms.selection.quotas import NO_CUTS, Cuts


@dataclasses.dataclass(eq=False)
class BuildBucketFn(beam.DoFn):
    """Builds the examples of a bucket, unless the journal has its outputs.

    Attributes:
        options: of making examples.
        builder: makes them, and perhaps writes them.
        journal: of the builder's outputs.
        progress_folder: where buckets are counted; None for nowhere.
        num_buckets: how many buckets there are.
    """

    options: ExampleOptions
    builder: BucketBuilder
    journal: Journal
    progress_folder: str | None
    num_buckets: int

    def setup(self) -> None:
        progress.sign_on(self.progress_folder)
        self.builder.open()

    def teardown(self) -> None:
        self.builder.close()

    def process(
        self,
        element: tuple[int, BucketBatches],
        encoded_labels: bytes,
        cuts: Cuts = NO_CUTS,
        encoded_classes: bytes | None = None,
        new_labels: Sequence[frozenset[str]] = (),
    ) -> Iterable[Any]:
        bucket, batches = element
        name = f"bucket-{bucket}"
        outputs = self.journal.load(name)
        if outputs is None:
            labels = decode_labels(encoded_labels)
            classes = NO_CLASSES
            if encoded_classes is not None:
                others = frozenset().union(*new_labels)
                are_numbered = self.options.class_order is None
                classes = decode_classes(encoded_classes, others, are_numbered)
            joined = join_selected(batches, self.options, labels, self.num_buckets, cuts)
            outputs = self.journal.save(name, self._build(bucket, joined, classes))
        return outputs

    def _build(self, bucket: int, joined: Joined, classes: ClassTable) -> Iterator[Any]:
        built = yield from self.builder.build(bucket, joined, classes)
        yield from report_bucket(bucket, joined, built, len(self.options.sources))
        progress.add(self.progress_folder, buckets=1, failed=joined.failures.num_rows)


@dataclasses.dataclass(eq=False)
class BuildBucket(beam.PTransform):
    """Batches by bucket → files of examples.

    Examples are written by the DoFn that makes them, so that memory holds one window of them.

    Outputs, by tag: what the builder yields (`parts`: `BuiltPart`), failures (`failed`: `Failed`),
    counts (`counts`: `BucketCount`), and how many images the conditions of a selection leave
    (`funnels`: tuples of a condition and a number).

    Attributes:
        options: of making examples.
        builder: makes and writes them.
        journal: of the files that were written.
        progress_folder: where buckets are counted; None for nowhere.
        labels: that class files name, encoded; one element.
        classes: the content of `classes.json` as far as class files tell, one; None where no
            example depends on it.
        new_labels: others that occur; frozensets.
        num_buckets: how many buckets there are.
        cuts: where the quotas of the selection are reached, one; None where it has none.
    """

    options: ExampleOptions
    builder: BucketBuilder
    journal: Journal
    progress_folder: str | None
    labels: beam.PCollection
    classes: beam.PCollection | None
    new_labels: beam.PCollection
    num_buckets: int
    cuts: beam.PCollection | None = None
    main = "parts"

    @beam.typehints.no_annotations  # Beam knows no tuples of PCollections
    def expand(self, buckets: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        inputs = bucket_inputs(self.labels, self.cuts)
        if self.classes is not None:
            inputs["encoded_classes"] = beam.pvalue.AsSingleton(self.classes)
            # Indices depend on labels that occur anywhere, so all has to be read by then.
            inputs["new_labels"] = beam.pvalue.AsList(self.new_labels)
        build = BuildBucketFn(
            self.options, self.builder, self.journal, self.progress_folder, self.num_buckets
        )
        return buckets | beam.ParDo(build, **inputs).with_outputs(
            "failed", "counts", "funnels", main=self.main
        )


class MakeExamples(BuildBucket):
    """Batches by bucket → examples as `pa.RecordBatch`es of `EXAMPLE`, with nothing written.

    Outputs, by tag: `examples`, each of consecutive images of one split in key order; and `failed`
    and `counts` as of `BuildBucket`.
    """

    main = "examples"

    def __init__(
        self,
        options: ExampleOptions,
        labels: beam.PCollection,
        classes: beam.PCollection,
        new_labels: beam.PCollection,
        num_buckets: int,
        cuts: beam.PCollection | None,
    ) -> None:
        builder, journal = BatchBuilder(options), Journal(None)
        needed = classes if options.needs_class_index else None
        super().__init__(
            options, builder, journal, None, labels, needed, new_labels, num_buckets, cuts
        )
