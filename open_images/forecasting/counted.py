"""Counts of the workers of a plan: a document in the work folder."""

import collections
import dataclasses
import functools
import json
import os
from collections.abc import Iterable, Sequence
from typing import Any, Self

import apache_beam as beam

from transforms.dataset.elements import BucketCount, Failed, Notice, SourceCount
from transforms.dataset.naming import SPLITS
from transforms.examples.count import Counts, Quantity
from transforms.examples.options import ExampleOptions
from transforms.releases import counts, failure_table
from transforms.releases.documents import parse, to_json
from transforms.releases.failure_table import FailureTable
from transforms.releases.manifest import Count, SourceRows, SourceWarning
from transforms.storage import files
from transforms.work_folder import WorkFolder

#: Its file in the work folder.
COUNTED = "counted.json"


@dataclasses.dataclass(frozen=True)
class MediumPictures:
    """Pictures that come from places of one form.

    Attributes:
        images: how many.
        bytes: of those whose size is known.
        unsized: how many others there are.
    """

    images: Count
    bytes: Count
    unsized: Count


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counted:
    """Counts of the examples that a build would make.

    Attributes:
        images: by split.
        failed_images: whose rows contradict each other, or can't be read.
        annotations: by column.
        row_bytes: of annotations, by column, and of `images`, as Arrow has them.
        class_images: how many images show each class.
        class_annotations: by class and column.
        pictures: by medium.
        bare_images: which no source of pictures has.
        failures: rows of failures, by reason.
        funnel: as of `Outcome`.
        sources: the inputs, with what becomes of their rows.
        warnings: about sources.
    """

    images: dict[str, Count]
    failed_images: Count
    annotations: dict[str, Count]
    row_bytes: dict[str, Count]
    class_images: dict[str, Count]
    class_annotations: dict[str, dict[str, Count]]
    pictures: dict[str, MediumPictures]
    bare_images: Count
    failures: dict[str, Count]
    funnel: dict[str, Count]
    sources: tuple[SourceRows, ...]
    warnings: tuple[SourceWarning, ...]

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads the file's content."""
        return parse(cls, json.loads(data))

    def encode(self) -> bytes:
        """Returns the file's content."""
        return to_json(dataclasses.asdict(self))


def add_up(
    options: ExampleOptions,
    notices: Iterable[Notice],
    examples: Counts,
    source_counts: Sequence[SourceCount],
    bucket_counts: Sequence[BucketCount],
    failed: Sequence[Failed],
    funnels: Iterable[tuple[tuple[str, int], ...]],
) -> Counted:
    """Returns what examples would hold.

    Args:
        options: what examples are made of.
        notices: remarks on the inputs.
        examples: counts of all buckets together.
        source_counts: of all blocks.
        bucket_counts: of all buckets.
        failed: all failures.
        funnels: how many images of a bucket each condition of the selection leaves.

    Raises:
        LostRowsError: Rows were lost on the way to a bucket, or doubled.
    """
    sources = counts.count_sources(options.sources, source_counts, bucket_counts)
    tables = FailureTable(failed, source_counts, options.sources).tables()
    splits = (*(options.splits or SPLITS), None)  # None is that of a source of several splits
    unread = counts.count_unread_images(options.sources, sources, splits)
    written = counts.count_annotations(bucket_counts)
    class_annotations: dict[str, dict[str, int]] = collections.defaultdict(dict)
    for (quantity, *names), count in examples.items():
        if quantity == Quantity.CLASS_ANNOTATIONS:
            label, column = names
            class_annotations[label][column] = count
    counts_of = functools.partial(_counts_of, examples)
    sizes = counts_of(Quantity.PICTURE_BYTES)
    unsized = counts_of(Quantity.UNSIZED_PICTURES)
    mids = options.selection.mids
    return Counted(
        images=counts_of(Quantity.IMAGES),
        failed_images=sum(bucket.failed for bucket in bucket_counts) + unread,
        annotations={column: found.written for column, found in written.items()},
        row_bytes=counts_of(Quantity.BYTES),
        class_images=dict.fromkeys(mids, 0) | counts_of(Quantity.CLASS_IMAGES),
        class_annotations=dict(class_annotations),
        pictures={
            medium: MediumPictures(count, sizes[medium], unsized[medium])
            for medium, count in counts_of(Quantity.PICTURES).items()
        },
        bare_images=examples.get((Quantity.BARE,), 0),
        failures=failure_table.count_reasons(tables),
        funnel=counts.add_funnels(funnels),
        sources=sources,
        warnings=counts.collect_warnings(notices, source_counts, sources),
    )


def _counts_of(counts_by_key: Counts, quantity: Quantity) -> dict[str, int]:
    """Returns the counts of a quantity by the rest of their keys, which is one name."""
    found = {key[1]: count for key, count in counts_by_key.items() if key[0] == quantity}
    return dict(sorted(found.items()))


@dataclasses.dataclass(eq=False)
class AddUpFn(beam.DoFn):
    """Adds up all counts, and leaves the document in the work folder.

    Attributes:
        options: what examples are made of.
        notices: remarks on the inputs.
        work: the work folder.
    """

    options: ExampleOptions
    notices: Sequence[Notice]
    work: WorkFolder

    def process(
        self,
        _: bytes,
        examples: Counts,
        *reports: Sequence,
        names: Sequence[str],
    ) -> None:
        named: dict[str, list[Any]] = collections.defaultdict(list)
        for name, report in zip(names, reports, strict=True):
            named[name] += report
        counted = add_up(self.options, self.notices, examples, **named)
        path = os.path.join(self.work.path, COUNTED)
        files.write_file(path, counted.encode(), self.work.path, self.options.object_options)
