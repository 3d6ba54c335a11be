"""MatchBuckets: rows by bucket of images → ranked detections and ground truth by class, and
counts of verdicts."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import AsList, AsSingleton, TaggedOutput

from transforms import progress
from transforms.dataset.classes import decode_labels
from transforms.evaluation.boxes import XMAX, XMIN, YMAX, YMIN
from transforms.evaluation.bucket import EvaluatedImages, arrange_bucket
from transforms.evaluation.class_tree import ClassTree
from transforms.evaluation.match_files import MatchFiles
from transforms.evaluation.matching import Matches, Verdict, ranks_among_equals
from transforms.evaluation.objects import Case, Objects, Pairs
from transforms.evaluation.protocols import Rules
from transforms.evaluation.reasons import Reason, Reasons, find_reasons, no_reasons
from transforms.evaluation.slices import slices_of_false_positives
from transforms.evaluation.tasks import TASKS
from transforms.exchange.batches import BucketBatches, KeyedBatch

#: Origins of the batches that go to classes.
RANKED, TRUTHS = 0, 1
#: Likewise, of boxes that are matched where their class is measured.
COCO_DETECTIONS, COCO_TRUTHS = 2, 3
#: Spreads numbers over all keys: 2^64 divided by the golden ratio.
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
#: So many of the best detections of an image are looked at for recall.
BEST = (50, 100)
_NO_SLICES = np.zeros(1, np.int32)


class Run(NamedTuple):
    """An evaluation by one set of rules and one threshold; several are made at once.

    Attributes:
        name: of its protocol, or of a step between two.
        task: what is compared, as of `TASKS`.
        rules: what decides.
        iou: the threshold.
        has_details: whether its matches are written to files, and reasons and slices are found.
        replicates: how many there are for intervals.
        checks_itself: whether the ground truth is taken for what was detected, as in all runs.
    """

    name: str
    task: str
    rules: Rules
    iou: float
    has_details: bool
    replicates: int = 0
    checks_itself: bool = False

    def of_itself(self) -> Self:
        """Returns the run that takes the ground truth for what was detected."""
        rules = dataclasses.replace(self.rules, expands_detections=self.rules.expands_boxes)
        return self._replace(rules=rules, checks_itself=True)


class ImageCounts(NamedTuple):
    """How many images the ground truth has, how many of them have detections, and verified labels
    of them."""

    images: int
    detected: int
    positives: int
    negatives: int


class VerdictCounts(NamedTuple):
    """How many detections of a bucket got each verdict in a run.

    Attributes:
        run: the number of the run.
        cells: class and verdict, as `class * len(Verdict) + verdict`: (n,) int64, sorted.
        counts: (n,) int64.
        true_among_best: how many true positives are among the `BEST` detections of each image.
        confusions: class, the class of the object that it overlaps, and `Reason`, as
            `(class * (classes + 1) + other + 1) * len(Reason) + reason`: (n,) int64, sorted; and
            how many detections have them, (n,) int64. The other class is -1 where there is none.
    """

    run: int
    cells: np.ndarray
    counts: np.ndarray
    true_among_best: tuple[int, ...]
    confusions: tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(eq=False)
class MatchBucketFn(beam.DoFn):
    """Matches the detections of a bucket in each run; for the attributes see `MatchBuckets`."""

    runs: Sequence[Run]
    kinds: Mapping[int, str]
    parents: Mapping[str, Sequence[str]]
    files: MatchFiles
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
        # Coordinates and scores may be any finite numbers.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            yield from self._match(element, encoded_labels, new_labels)

    def _match(
        self,
        element: tuple[int, BucketBatches],
        encoded_labels: bytes,
        new_labels: Sequence[frozenset[str]],
    ) -> Iterator[Any]:
        bucket, batches = element
        labels = decode_labels(encoded_labels)
        if self._tree is None:
            unnamed = sorted(frozenset().union(*new_labels).difference(labels.to_pylist()))
            self._tree = ClassTree.of([*labels.to_pylist(), *unnamed], self.parents)
        tree = self._tree
        tasks = dict.fromkeys(run.task for run in self.runs)
        images = arrange_bucket(batches, self.kinds, labels, tree, tasks)
        if self.runs[0].checks_itself:
            cases = {task: case.of_itself() for task, case in images.cases.items()}
            images = images._replace(cases=cases)
        yield from (TaggedOutput("left_out", count) for count in images.left_out)
        for number, run in enumerate(self.runs):
            case, match = images.cases[run.task], TASKS[run.task].match
            place = bucket * len(self.runs) + number
            if match is None:
                yield from self._unmatched(number, images, case, place, tree)
                continue
            matches = match(case, images.labels, tree, run.rules, run.iou)
            reasons = no_reasons(0)
            if run.has_details and not isinstance(case.truths, Pairs):
                reasons = find_reasons(case, matches, tree, run.iou)
            yield from self._by_class(
                number, images.keys, case, matches, reasons, place, len(tree.labels)
            )
            if run.has_details:
                self.files.write(run.name, bucket, images.keys, case, matches, reasons, tree)
        detections = [case.detections.images for case in images.cases.values()]
        detected = len(np.unique(np.concatenate(detections)))
        positives = int(images.labels.is_positive.sum())
        negatives = len(images.labels.images) - positives
        yield TaggedOutput("images", ImageCounts(len(images.keys), detected, positives, negatives))
        progress.add(self.progress_folder, buckets=1, images=len(images.keys))

    def _by_class(
        self,
        number: int,
        keys: np.ndarray,
        case: Case[Objects],
        matches: Matches,
        reasons: Reasons,
        place: int,
        classes: int,
    ) -> Iterator[Any]:
        """Yields the ranked detections, the ground truth, and the counts of verdicts of a run.

        Detections are in the order of images' keys and rows, as buckets are: what has equal scores
        is left in it when classes are measured.
        """
        run = self.runs[number]
        ranked_at = np.flatnonzero(matches.verdicts <= Verdict.FOUND_GROUP)
        detections = matches.detections[ranked_at]
        order = np.lexsort((detections, case.detections.images[detections]))
        ranked_at, detections = ranked_at[order], detections[order]
        weights = np.array([0.0, 1.0, run.rules.group_weight], np.float32)
        found = weights[matches.verdicts[ranked_at]]
        ranked = {
            "class": matches.classes[ranked_at],
            "score": case.scores[detections],
            "found": found,
            "slices": _slices_of_ranked(case, matches, ranked_at)
            if run.has_details
            else _NO_SLICES,
        }
        truths = {
            "class": matches.true_classes,
            "weights": matches.weights,
            "is_group": case.is_group[matches.true_objects],
            "image": keys[case.truths.images[matches.true_objects]],
            "slices": case.slices[matches.true_objects] if len(case.slices) else _NO_SLICES,
        }
        if any(each.replicates for each in self.runs):
            ranked["image"] = keys[case.detections.images[detections]]
        pools = TASKS[run.task].pools
        for origin, columns in ((RANKED, ranked), (TRUTHS, truths)):
            count = len(columns["class"])
            rows = {name: np.broadcast_to(each, count) for name, each in columns.items()}
            rows = _with_pool(rows, classes) if pools else rows
            yield from _keyed(origin, place, number, rows, classes)
        cells = matches.classes * np.int64(len(Verdict)) + matches.verdicts
        wrong = np.flatnonzero(reasons.reasons >= 0)
        confused = matches.classes[wrong] * np.int64(classes + 1) + reasons.classes[wrong] + 1
        confused = confused * len(Reason) + reasons.reasons[wrong]
        counts = VerdictCounts(
            number,
            *np.unique(cells, return_counts=True),
            _true_among_best(case, detections, found) if pools else (),
            np.unique(confused, return_counts=True),
        )
        yield TaggedOutput("verdicts", counts)

    def _unmatched(
        self, number: int, images: EvaluatedImages, case: Case, place: int, tree: ClassTree
    ) -> Iterator[Any]:
        """Yields the boxes of a run, in order of their images and rows."""
        for origin, objects, values in (
            (COCO_DETECTIONS, case.detections, case.scores),
            (COCO_TRUTHS, case.truths, case.is_group.astype(np.float64)),
        ):
            sound = np.flatnonzero(np.isfinite(objects.boxes).all(axis=1))
            order = sound[np.lexsort((sound, objects.images[sound]))]
            some = objects.take(order)
            columns = {"class": some.classes, "image": images.keys[some.images]}
            columns |= {"value": values[order], **_in_pixels(some, images.sizes)}
            yield from _keyed(origin, place, number, columns, len(tree.labels))


def _slices_of_ranked(case: Case[Objects], matches: Matches, ranked_at: np.ndarray) -> np.ndarray:
    """Returns the slices where detections count: those of what they have found, if anything."""
    if not len(case.slices):
        return _NO_SLICES
    slices = slices_of_false_positives(case.detections.boxes[matches.detections[ranked_at]])
    is_right = matches.verdicts[ranked_at] != Verdict.FALSE_POSITIVE
    truths = matches.true_objects[matches.truths[ranked_at[is_right]]]
    slices[is_right] = case.slices[truths]
    return slices


def _in_pixels(objects: Objects, sizes: np.ndarray) -> dict[str, np.ndarray]:
    """Returns left, top, width and height of boxes in pixels, and whether they are known to be: in
    a picture whose size isn't known, they are parts of it."""
    boxes, own = objects.boxes, sizes[objects.images]
    is_known = np.isfinite(own[:, 0]) & np.isfinite(own[:, 1])
    width, height = np.where(is_known[:, None], own, 1.0).T
    return {
        "left": boxes[:, XMIN] * width,
        "top": boxes[:, YMIN] * height,
        "width": (boxes[:, XMAX] - boxes[:, XMIN]) * width,
        "height": (boxes[:, YMAX] - boxes[:, YMIN]) * height,
        "is_known": is_known,
    }


def _keyed(
    origin: int, place: int, run: int, columns: Mapping[str, np.ndarray], classes: int
) -> Iterator[KeyedBatch]:
    """Yields rows of a run, if there are some, with keys by their classes."""
    groups = np.uint64(run * (classes + 1) + 1) + columns["class"].astype(np.uint64)
    if len(groups):
        runs = np.full(len(groups), run, np.int16)
        rows = pa.record_batch({"key": groups * _SPREAD, "run": runs, **columns})
        yield KeyedBatch(origin, place, rows)


def _with_pool(columns: Mapping[str, np.ndarray], pool: int) -> dict[str, np.ndarray]:
    """Returns rows by class, and once more as of one class, `pool`."""
    return {
        name: np.concatenate([each, np.full_like(each, pool) if name == "class" else each])
        for name, each in columns.items()
    }


def _true_among_best(case: Case, detections: np.ndarray, found: np.ndarray) -> tuple[int, ...]:
    """Returns how many of detections that count are true and among the `BEST` of their images."""
    images = case.detections.images[detections]
    order = np.lexsort((np.arange(len(images)), -case.scores[detections], images))
    ranks = ranks_among_equals(images[order])
    is_true = found[order] > 0
    return tuple(int((is_true & (ranks < best)).sum()) for best in BEST)


@dataclasses.dataclass(eq=False)
class MatchBuckets(beam.PTransform):
    """`(bucket, batches)` → keyed batches by class, and counts.

    Outputs, by tag: `batches`, of the origins `RANKED` and `TRUTHS`, or of `COCO_…`; `verdicts`,
    `VerdictCounts`; `left_out`, `LeftOut`; and `images`, `ImageCounts`.

    Attributes:
        runs: the evaluations.
        kinds: of the rows of each source, by its index.
        parents: MIDs of the parents of each class.
        labels: of the classes that class files name, encoded; one element.
        new_labels: others that the ground truth has; frozensets.
        files: writes the matches.
        progress_folder: where images are counted; None for nowhere.
    """

    runs: Sequence[Run]
    kinds: Mapping[int, str]
    parents: Mapping[str, Sequence[str]]
    labels: beam.PCollection
    new_labels: beam.PCollection
    files: MatchFiles
    progress_folder: str | None

    @beam.typehints.no_annotations  # Beam knows no tuples of PCollections
    def expand(self, buckets: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        match = MatchBucketFn(self.runs, self.kinds, self.parents, self.files, self.progress_folder)
        inputs = AsSingleton(self.labels), AsList(self.new_labels)
        return buckets | beam.ParDo(match, *inputs).with_outputs(
            "verdicts", "left_out", "images", main="batches"
        )
