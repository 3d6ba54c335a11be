"""The account of a bucket: counts of examples, failures, and rows that were left out."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa

from transforms import metrics
from transforms.dataset import failures
from transforms.dataset.elements import BucketCount, Failed
from transforms.dataset.failures import Failure, Reason, Stage
from transforms.examples.complete import Window
from transforms.examples.join import Joined
from transforms.kinds.registry import count_annotations


@dataclasses.dataclass
class BuiltSplit:
    """The account of a bucket and split.

    Attributes:
        split: its name.
        image_ids: of the examples.
        annotations: how many annotations examples have, by column.
        failures: of images, and of single masks and recordings.
        failed_images: how many images failed.
        reused_pictures: how many pictures are those of the version before.
        exif_reset: how many other pictures had an orientation that was set to 1.
        recordings: how many recordings narratives name; 0 where no source of them was given.
    """

    split: str
    image_ids: list[pa.Array] = dataclasses.field(default_factory=list)
    annotations: Counter[str] = dataclasses.field(default_factory=Counter)
    failures: list[Failure] = dataclasses.field(default_factory=list)
    failed_images: int = 0
    reused_pictures: int = 0
    exif_reset: int = 0
    recordings: int = 0

    def add(self, window: Window) -> None:
        """Takes a window of examples into account."""
        self.image_ids += window.examples["image_id"].chunks
        self.annotations += count_annotations(window.examples)
        self.failures += window.failures
        self.failed_images += window.failed_images
        self.exif_reset += window.exif_reset
        self.recordings += window.recordings
        metrics.IMAGES.inc(len(window.examples))

    @property
    def masks(self) -> tuple[str, int, int]:
        """The split, how many masks its examples have, and how many of them lack pixels."""
        lacking = sum(failure.stage == Stage.MASK for failure in self.failures)
        return self.split, self.annotations["masks"], lacking

    @property
    def voices(self) -> tuple[str, int, int]:
        """The split, how many recordings its narratives name, and how many of them are lacking."""
        lacking = sum(failure.stage == Stage.VOICE for failure in self.failures)
        return self.split, self.recordings, lacking


@dataclasses.dataclass
class BuiltBucket:
    """The account of a bucket.

    Attributes:
        splits: its splits.
        digest: checksum of its input; None where a failure may go away in the next build.
        is_reused: whether all of it comes from the version before.
    """

    splits: list[BuiltSplit] = dataclasses.field(default_factory=list)
    digest: str | None = None
    is_reused: bool = False

    def add_split(self, split: str) -> BuiltSplit:
        """Returns the account of another split, to be filled."""
        self.splits.append(BuiltSplit(split))
        return self.splits[-1]


def report_bucket(bucket: int, joined: Joined, built: BuiltBucket, source: int) -> Iterator[Any]:
    """Yields the account of a bucket, by tag: see `BuildBucket`.

    Args:
        bucket: its number.
        joined: its images.
        built: what was built of them.
        source: the index that stands for buckets in `Failed`: the one after those of all sources.
    """
    found = [failure for split in built.splits for failure in split.failures]
    failed = pa.concat_tables(
        [joined.failures, _list_not_found(joined.not_found), failures.to_table(found)]
    )
    metrics.FAILURES.inc(len(failed))
    if len(failed):
        yield beam.pvalue.TaggedOutput("failed", Failed(source, bucket, failures.pack(failed)))
    yield beam.pvalue.TaggedOutput("counts", _count(bucket, joined, built))
    if joined.funnel:
        yield beam.pvalue.TaggedOutput("funnels", tuple(joined.funnel.items()))


def _list_not_found(image_ids: pa.Array) -> pa.Table:
    """Returns a failure for each image that was asked for and is nowhere."""
    detail = "asked for by --image_ids, and in none of the inputs"
    return failures.to_table(
        Failure(image_id, None, Stage.JOIN, Reason.MISSING, detail)
        for image_id in image_ids.to_pylist()
    )


def _count(bucket: int, joined: Joined, built: BuiltBucket) -> BucketCount:
    splits = built.splits
    written = sum((split.annotations for split in splits), Counter())
    joined_annotations = count_annotations(joined.table)
    return BucketCount(
        bucket,
        joined.images,
        joined.failures.num_rows + sum(split.failed_images for split in splits),
        rows=tuple(joined.rows.items()),
        orphans=tuple(joined.orphans.items()),
        digest=built.digest,
        taken_over=built.is_reused,
        pictures=sum(split.reused_pictures for split in splits),
        repeats=tuple(joined.repeats.items()),
        written=tuple((name, written[name]) for name in joined_annotations),
        left_out=tuple(
            (name, joined.left_out.get(name, 0) + count - written[name])
            for name, count in joined_annotations.items()
        ),
        masks=tuple(split.masks for split in splits),
        voices=tuple(split.voices for split in splits),
        exif_reset=sum(split.exif_reset for split in splits),
        added=tuple(joined.added.items()),
        class_images=tuple(joined.class_images),
        deselected=tuple((*key, count) for key, count in sorted(joined.deselected.items())),
    )
