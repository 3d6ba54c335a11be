"""MatchBuckets: rows by bucket of images → detections and boxes by class, each with its verdict."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import AsList, AsSingleton, TaggedOutput

from transforms import progress
from transforms.dataset.classes import decode_labels
from transforms.evaluation.bucket import EvaluatedImages, arrange
from transforms.evaluation.class_tree import ClassTree
from transforms.evaluation.match_files import MatchFiles
from transforms.evaluation.matching import Matches, Verdict, match_boxes
from transforms.evaluation.protocols import Rules
from transforms.exchange.batches import BucketBatches, KeyedBatch

#: Origins of the batches that go to classes.
RANKED, TRUTHS = 0, 1
#: Spreads numbers over all keys: 2^64 divided by the golden ratio.
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


class Run(NamedTuple):
    """An evaluation by one set of rules and one threshold; several are made at once.

    Attributes:
        name: of its protocol, or of a step between two.
        rules: what decides.
        iou: the threshold.
        is_kept: whether its matches are written to files.
    """

    name: str
    rules: Rules
    iou: float
    is_kept: bool


class VerdictCounts(NamedTuple):
    """How many detections of a bucket got each verdict in a run.

    Attributes:
        run: the number of the run.
        cells: class and verdict, as `class * len(Verdict) + verdict`: (n,) int64, sorted.
        counts: (n,) int64.
    """

    run: int
    cells: np.ndarray
    counts: np.ndarray


@dataclasses.dataclass(eq=False)
class MatchBucketFn(beam.DoFn):
    """Matches the detections of a bucket in each run; for the attributes see `MatchBuckets`."""

    runs: Sequence[Run]
    kinds: Mapping[int, str]
    parents: Mapping[str, Sequence[str]]
    files: MatchFiles | None
    progress_folder: str | None

    def setup(self) -> None:
        progress.sign_on(self.progress_folder)
        self._tree: ClassTree | None = None

    def process(
        self,
        element: tuple[int, BucketBatches],
        encoded_labels: bytes,
        new_labels: Sequence[frozenset[str]],
    ) -> Iterable[Any]:
        bucket, batches = element
        known = decode_labels(encoded_labels)
        if self._tree is None:
            others = sorted(frozenset().union(*new_labels).difference(known.to_pylist()))
            self._tree = ClassTree.of([*known.to_pylist(), *others], self.parents)
        images = arrange(batches, self.kinds, known, self._tree)
        yield from (TaggedOutput("left_out", count) for count in images.left_out)
        for number, run in enumerate(self.runs):
            matches = match_boxes(images.objects, self._tree, run.rules, run.iou)
            place = bucket * len(self.runs) + number
            yield from self._by_class(number, images, matches, place, self._tree)
            if run.is_kept and self.files:
                self.files.write(run.name, bucket, images, matches, self._tree)
        yield TaggedOutput("images", len(images.keys))
        progress.add(self.progress_folder, buckets=1, images=len(images.keys))

    def _by_class(
        self, number: int, images: EvaluatedImages, matches: Matches, place: int, tree: ClassTree
    ) -> Iterator[Any]:
        """Yields the ranked detections, the ground truth, and the counts of verdicts of a run.

        Detections are in the order of images' keys and rows, as buckets are: what has equal scores
        is left in it when classes are measured.
        """
        objects, weight = images.objects, self.runs[number].rules.group_weight
        ranked_at = np.flatnonzero(matches.verdicts <= Verdict.FOUND_GROUP)
        detections = matches.detections[ranked_at]
        order = np.lexsort((detections, objects.detections.images[detections]))
        ranked_at, detections = ranked_at[order], detections[order]
        worth = np.array([0.0, 1.0, weight], np.float32)
        ranked = {
            "run": np.full(len(detections), number, np.int16),
            "class": matches.classes[ranked_at],
            "score": objects.scores[detections],
            "found": worth[matches.verdicts[ranked_at]],
        }
        is_group = objects.is_group[matches.true_objects]
        truths = {
            "run": np.full(len(is_group), number, np.int16),
            "class": matches.true_classes,
            "worth": np.where(is_group, weight, 1.0),
            "is_group": is_group,
            "image": images.keys[objects.truths.images[matches.true_objects]],
        }
        for origin, columns in ((RANKED, ranked), (TRUTHS, truths)):
            groups = np.uint64(number * len(tree.labels) + 1) + columns["class"].astype(np.uint64)
            rows = pa.record_batch({"key": groups * _SPREAD, **columns})
            if rows.num_rows:
                yield KeyedBatch(origin, place, rows)
        cells = matches.classes * np.int64(len(Verdict)) + matches.verdicts
        yield TaggedOutput("verdicts", VerdictCounts(number, *np.unique(cells, return_counts=True)))


@dataclasses.dataclass(eq=False)
class MatchBuckets(beam.PTransform):
    """`(bucket, batches)` → keyed batches by class, and counts.

    Outputs, by tag: `batches`, of the origins `RANKED` and `TRUTHS`; `verdicts`, `VerdictCounts`;
    `left_out`, `LeftOut`; and `images`, how many a bucket has.

    Attributes:
        runs: the evaluations.
        kinds: of the rows of each source, by its index.
        parents: MIDs of the parents of each class.
        labels: of the classes that class files name, encoded; one element.
        new_labels: others that the ground truth has; frozensets.
        files: where matches go; None for nowhere.
        progress_folder: where images are counted; None for nowhere.
    """

    runs: Sequence[Run]
    kinds: Mapping[int, str]
    parents: Mapping[str, Sequence[str]]
    labels: beam.PCollection
    new_labels: beam.PCollection
    files: MatchFiles | None
    progress_folder: str | None

    @beam.typehints.no_annotations  # Beam knows no tuples of PCollections
    def expand(self, buckets: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        match = MatchBucketFn(self.runs, self.kinds, self.parents, self.files, self.progress_folder)
        inputs = AsSingleton(self.labels), AsList(self.new_labels)
        return buckets | beam.ParDo(match, *inputs).with_outputs(
            "verdicts", "left_out", "images", main="batches"
        )
