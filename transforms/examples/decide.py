"""Decides on images by the rows of few tables: buckets → where quotas are reached, and keys."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np

from transforms.dataset.classes import decode_labels
from transforms.dataset.elements import Source
from transforms.examples.join import LISTED, join
from transforms.examples.side_inputs import bucket_inputs
from transforms.exchange.batches import BucketBatches
from transforms.selection.choose import BucketImages, Chooser
from transforms.selection.quotas import NO_CUTS, Cuts, cut_classes, cut_images, tally
from transforms.selection.selection import Selection


@dataclasses.dataclass(frozen=True)
class Deciding:
    """How images are decided on.

    Attributes:
        sources: all sources of the build, by index.
        splits: the splits to keep; None keeps all.
        selection: what is to be built.
        num_buckets: how many buckets there are.
        reads: indices of the sources whose rows decide.
    """

    sources: Sequence[Source]
    splits: Sequence[str] | None
    selection: Selection
    num_buckets: int
    reads: Collection[int]

    def chooser(self, cuts: Cuts) -> Chooser:
        """Returns what chooses images, up to some cuts."""
        return Chooser(self.selection, self.num_buckets, cuts)

    def images(self, batches: BucketBatches, encoded_labels: bytes) -> BucketImages:
        """Returns the images of a bucket with the annotations that decide on them."""
        labels = decode_labels(encoded_labels)
        batches = batches.of({*self.reads, LISTED})
        joined = join(batches, self.sources, self.splits, labels, self.chooser(NO_CUTS), self.reads)
        return BucketImages.of_table(joined.keys, joined.table)


@dataclasses.dataclass(eq=False)
class TallyBucketFn(beam.DoFn):
    """Counts the images of a bucket that are chosen by some cuts; see `quotas.tally`."""

    deciding: Deciding

    def process(
        self, element: tuple[int, BucketBatches], encoded_labels: bytes, cuts: Cuts = NO_CUTS
    ) -> Iterator[bytes]:
        images = self.deciding.images(element[1], encoded_labels)
        chooser = self.deciding.chooser(cuts)
        chosen = chooser.choose(images)
        if chosen.images.any():
            yield tally(chooser.pieces(images.keys), chosen.images, chosen.shown)


@dataclasses.dataclass(eq=False)
class ListKeysFn(beam.DoFn):
    """Yields the keys of a bucket's images that are chosen, (n,) uint64 in bytes, sorted.

    By tag `funnels` it yields how many images are left after each condition.
    """

    deciding: Deciding

    def process(
        self, element: tuple[int, BucketBatches], encoded_labels: bytes, cuts: Cuts = NO_CUTS
    ) -> Iterator[Any]:
        bucket, batches = element
        images = self.deciding.images(batches, encoded_labels)
        chosen = self.deciding.chooser(cuts).choose(images)
        if chosen.images.any():
            yield bucket, np.sort(images.keys[chosen.images]).tobytes()
        # Without an image table, how many images there are isn't known here.
        is_counted = self.deciding.selection.images_decide
        funnel = ((name, left) for name, left in chosen.funnel.items() if name or is_counted)
        yield beam.pvalue.TaggedOutput("funnels", tuple(funnel))


@dataclasses.dataclass(eq=False)
class FindCuts(beam.PTransform):
    """Batches by bucket → where the quotas of a selection are reached: one `Cuts`.

    Attributes:
        deciding: how images are decided on; the selection has a quota.
        labels: that class files name, encoded; one element.
    """

    deciding: Deciding
    labels: beam.PCollection

    def expand(self, buckets: beam.PCollection) -> beam.PCollection:
        selection = self.deciding.selection
        labels = beam.pvalue.AsSingleton(self.labels)
        count = TallyBucketFn(self.deciding)
        tallies = buckets | "Tally" >> beam.ParDo(count, labels)
        cuts = None
        if selection.max_per_class is not None:
            cuts = _cut(tallies, "CutClasses", cut_classes, selection.max_per_class)
            if selection.max_images is None:
                return cuts
            cuts_of_classes = beam.pvalue.AsSingleton(cuts)
            tallies = buckets | "TallyNeeded" >> beam.ParDo(count, labels, cuts=cuts_of_classes)
        assert selection.max_images is not None
        limit = _cut(tallies, "CutImages", cut_images, selection.max_images)
        if cuts is None:
            return limit
        return cuts | "BothCuts" >> beam.Map(_with_limit, beam.pvalue.AsSingleton(limit))


def _cut(
    tallies: beam.PCollection,
    name: str,
    find_cuts: Callable[[Iterable[bytes], int], Cuts],
    most: int,
) -> beam.PCollection:
    """Tallies of all buckets → one `Cuts`."""
    once = tallies.pipeline | f"{name}Once" >> beam.Impulse()
    return once | name >> beam.Map(
        lambda _, tallies: find_cuts(tallies, most), beam.pvalue.AsList(tallies)
    )


def _with_limit(cuts: Cuts, limit: Cuts) -> Cuts:
    return cuts._replace(image_piece=limit.image_piece, image_rest=limit.image_rest)


@dataclasses.dataclass(eq=False)
class ListKeys(beam.PTransform):
    """Batches by bucket → the keys of all images that are chosen, sorted uint64 in bytes: one.

    Beside them come funnels: tuples of a condition and how many images are left by it.

    Attributes:
        deciding: how images are decided on.
        labels: that class files name, encoded; one element.
        cuts: where the quotas are reached, one; None without quotas.
    """

    deciding: Deciding
    labels: beam.PCollection
    cuts: beam.PCollection | None

    @beam.typehints.no_annotations  # Beam knows no tuples of PCollections
    def expand(self, buckets: beam.PCollection) -> tuple[beam.PCollection, beam.PCollection]:
        inputs = bucket_inputs(self.labels, self.cuts)
        listing = beam.ParDo(ListKeysFn(self.deciding), **inputs)
        keys, funnels = buckets | listing.with_outputs("funnels", main="keys")
        once = keys.pipeline | "KeysOnce" >> beam.Impulse()
        return once | "JoinKeys" >> beam.Map(_join_keys, beam.pvalue.AsList(keys)), funnels


def _join_keys(_: bytes, keys: Iterable[tuple[int, bytes]]) -> bytes:
    return b"".join(part for _, part in sorted(keys))
