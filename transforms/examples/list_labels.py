"""Lists the labels of examples that no class file names."""

import dataclasses
from collections.abc import Iterator, Sequence

import apache_beam as beam

from transforms.dataset.classes import decode_labels
from transforms.dataset.elements import in_one_piece
from transforms.examples.apply_selection import join_selected
from transforms.examples.options import ExampleOptions
from transforms.examples.side_inputs import bucket_inputs
from transforms.exchange.batches import BucketBatches
from transforms.kinds.registry import ANNOTATIONS
from transforms.selection.quotas import NO_CUTS, Cuts


@dataclasses.dataclass(eq=False)
class ListLabelsFn(beam.DoFn):
    """Yields the labels of a bucket's examples that no class file names: a frozenset, if any.

    Attributes:
        options: the sources, splits and selection.
        num_buckets: how many buckets there are.
    """

    options: ExampleOptions
    num_buckets: int

    def process(
        self,
        element: tuple[int, BucketBatches],
        encoded_labels: bytes,
        new_labels: Sequence[frozenset[str]],
        cuts: Cuts = NO_CUTS,
    ) -> Iterator[frozenset[str]]:
        unnamed = frozenset().union(*new_labels)
        if not unnamed:  # as in published files
            return
        labels = decode_labels(encoded_labels)
        table = join_selected(element[1], self.options, labels, self.num_buckets, cuts).table
        rows = {name: in_one_piece(table[name]).flatten() for name in ANNOTATIONS}
        fields = (rows[name].field(each) for name in rows for each in ANNOTATIONS[name].labels)
        found = {label for field in fields for label in field.unique().to_pylist()} & unnamed
        if found:
            yield frozenset(found)


@dataclasses.dataclass(eq=False)
class ListLabels(beam.PTransform):
    """Batches by bucket → the labels of examples that no class file names; frozensets.

    Which labels there are among all rows that are read depends on how images are chosen.

    Attributes:
        options: the sources, splits and selection.
        num_buckets: how many buckets there are.
        labels: that class files name, encoded; one element.
        new_labels: others that occur in rows that were read; frozensets.
        cuts: where quotas are reached, one; None without quotas.
    """

    options: ExampleOptions
    num_buckets: int
    labels: beam.PCollection
    new_labels: beam.PCollection
    cuts: beam.PCollection | None

    def expand(self, buckets: beam.PCollection) -> beam.PCollection:
        new_labels = beam.pvalue.AsList(self.new_labels)
        inputs = bucket_inputs(self.labels, self.cuts, new_labels=new_labels)
        return buckets | beam.ParDo(ListLabelsFn(self.options, self.num_buckets), **inputs)
