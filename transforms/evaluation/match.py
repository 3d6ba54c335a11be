"""MatchBuckets: rows by bucket of images → detections and boxes by class, each with its verdict."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import TaggedOutput

from transforms import progress
from transforms.dataset.elements import in_one_piece
from transforms.evaluation.bucket import EvaluatedImages, arrange
from transforms.evaluation.class_tree import ClassTree
from transforms.evaluation.matching import Matches, Verdict, match_boxes
from transforms.evaluation.protocols import Rules
from transforms.exchange.batches import BucketBatches, KeyedBatch

#: Origins of the batches that go to classes.
RANKED, TRUTHS = 0, 1
#: Spreads numbers over all keys: 2^64 divided by the golden ratio.
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


class Run(NamedTuple):
    """An evaluation by one set of rules and one threshold; several run at once.

    Attributes:
        protocol: its name.
        rules: of the protocol.
        iou: the threshold.
    """

    protocol: str
    rules: Rules
    iou: float


class VerdictCount(NamedTuple):
    """How many detections of a bucket got each verdict, by run and class.

    Attributes:
        run: the number of the run.
        counts: (classes, verdicts) int64.
    """

    run: int
    counts: np.ndarray


@dataclasses.dataclass(eq=False)
class MatchBucketFn(beam.DoFn):
    """Matches the detections of a bucket in each run; for the attributes see `MatchBuckets`."""

    runs: Sequence[Run]
    roles: Mapping[int, str]
    labels: Sequence[str]
    parents: Mapping[str, Sequence[str]]
    progress_folder: str | None

    def setup(self) -> None:
        progress.sign_on(self.progress_folder)
        self._tree = ClassTree.of(self.labels, self.parents)

    def process(self, element: tuple[int, BucketBatches]) -> Iterable[Any]:
        bucket, batches = element
        images = arrange(batches, self.roles, self._tree)
        yield from (TaggedOutput("left_out", count) for count in images.left_out)
        order = bucket * len(self.runs)
        for number, run in enumerate(self.runs):
            matches = match_boxes(images.bucket, self._tree, run.rules, run.iou)
            yield from self._by_class(number, run, images, matches, order + number)
        yield TaggedOutput("images", len(images.keys))
        progress.add(self.progress_folder, buckets=1, images=len(images.keys))

    def _by_class(
        self, number: int, run: Run, images: EvaluatedImages, matches: Matches, order: int
    ) -> Iterator[Any]:
        """Yields the ranked detections, the ground truth, and the counts of verdicts of a run."""
        bucket = images.bucket
        is_ranked = matches.verdicts <= Verdict.FOUND_GROUP
        detections = matches.detections[is_ranked]
        worth = np.array([0.0, 1.0, run.rules.group_weight])
        ranked = {
            "run": np.full(len(detections), number, np.int16),
            "class": matches.classes[is_ranked],
            "score": bucket.scores[detections],
            "found": worth[matches.verdicts[is_ranked]],
            "image": images.keys[bucket.detections.images[detections]],
            "place": detections.astype(np.int32),
        }
        is_group = bucket.is_group[matches.true_objects]
        truths = {
            "run": np.full(len(is_group), number, np.int16),
            "class": matches.true_classes,
            "worth": np.where(is_group, run.rules.group_weight, 1.0),
            "is_group": is_group,
            "image": images.keys[bucket.truths.images[matches.true_objects]],
        }
        for origin, columns in ((RANKED, ranked), (TRUTHS, truths)):
            groups = number * np.uint64(len(self.labels)) + columns["class"].astype(np.uint64)
            rows = pa.record_batch({"key": (groups + np.uint64(1)) * _SPREAD, **columns})
            if rows.num_rows:
                yield KeyedBatch(origin, order, rows)
        cells = matches.classes * np.int64(len(Verdict)) + matches.verdicts
        counts = np.bincount(cells, minlength=len(self.labels) * len(Verdict))
        yield TaggedOutput("verdicts", VerdictCount(number, counts.reshape(-1, len(Verdict))))


@dataclasses.dataclass(eq=False)
class MatchBuckets(beam.PTransform):
    """`(bucket, batches)` → keyed batches by class, and counts.

    Outputs, by tag: `batches`, of the origins `RANKED` and `TRUTHS`; `verdicts`, `VerdictCount`;
    `left_out`, `RowCount`; and `images`, how many a bucket has.

    Attributes:
        runs: the evaluations.
        roles: what the rows of each source are, by its index; see `bucket`.
        labels: MIDs of the classes that are evaluated, in order.
        parents: MIDs of the parents of each class.
        progress_folder: where images are counted; None for nowhere.
    """

    runs: Sequence[Run]
    roles: Mapping[int, str]
    labels: Sequence[str]
    parents: Mapping[str, Sequence[str]]
    progress_folder: str | None

    def expand(self, buckets: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        match = MatchBucketFn(
            self.runs, self.roles, self.labels, self.parents, self.progress_folder
        )
        return buckets | beam.ParDo(match).with_outputs(
            "verdicts", "left_out", "images", main="batches"
        )


def concatenate(batches: Iterable[KeyedBatch]) -> dict[int, pa.Table]:
    """Returns the rows of a bucket of classes as a table for each origin that it has."""
    by_origin: dict[int, list[pa.RecordBatch]] = {}
    for batch in batches:
        by_origin.setdefault(batch.origin, []).append(batch.rows)
    return {origin: pa.Table.from_batches(some) for origin, some in by_origin.items()}


def column(table: pa.Table, name: str) -> np.ndarray:
    """Returns a column without nulls as a NumPy array."""
    return in_one_piece(table[name]).to_numpy(zero_copy_only=False)
