"""MeasureClasses: ranked detections by bucket of classes → the figures of each class and run."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import apache_beam as beam
import numpy as np

from transforms.evaluation.bootstrap import counts_of
from transforms.evaluation.coco_metric import FIGURES, CocoObjects, measure
from transforms.evaluation.curves import Curve, make_curve
from transforms.evaluation.match import COCO_DETECTIONS, COCO_TRUTHS, RANKED, TRUTHS, Run
from transforms.evaluation.slices import measure_slices
from transforms.exchange.batches import BucketBatches

#: So many points of a curve are kept, for plots.
CURVE_POINTS = 101

#: What is taken of batches, by their origins.
_OF_RANKED = {"score": np.float64, "found": np.float32, "slices": np.int32}
_OF_TRUTHS = {
    "weights": np.float64,
    "is_group": np.bool_,
    "image": np.uint64,
    "slices": np.int32,
}
_SIDES = ("left", "top", "width", "height")
_OF_COCO = {
    **dict.fromkeys((*_SIDES, "value"), np.float64),
    "image": np.uint64,
    "is_known": np.bool_,
}
_COCO_DETECTIONS, _COCO_TRUTHS = (COCO_DETECTIONS, _OF_COCO), (COCO_TRUTHS, _OF_COCO)


@dataclasses.dataclass(frozen=True)
class ClassFigures:
    """The figures of a class in a run.

    Attributes:
        run: the number of the run.
        number: of the class.
        truths: how much ground truth counts.
        boxes: how many boxes of the ground truth there are, groups included.
        groups: how many of these are around groups.
        images: how many images have one.
        detections: how many are ranked.
        average_precision: None where no ground truth counts.
        best: at the score where F1 is best: that score, precision, recall and F1; None where there
            is no curve.
        curve: precision at `CURVE_POINTS` recalls from 0 to 1, the best of those at that recall or
            a higher one.
        coco: of COCO's metric: its `FIGURES`, None for what isn't known; else empty.
        slices: of each of `SLICES` how much ground truth it has, how much of that is found, and its
            average precision; empty where they aren't measured.
        replicates: average precision of each replicate, NaN where no ground truth counts.
    """

    run: int
    number: int
    truths: float
    boxes: int
    groups: int
    images: int
    detections: int
    average_precision: float | None
    best: tuple[float, float, float, float] | None
    curve: tuple[float, ...]
    coco: tuple[float | None, ...] = ()
    slices: tuple[tuple[float, float, float | None], ...] = ()
    replicates: tuple[float, ...] = ()


@dataclasses.dataclass(eq=False)
class MeasureClassesFn(beam.DoFn):
    """Measures all classes of a bucket.

    Attributes:
        runs: the evaluations.
    """

    runs: Sequence[Run]

    def process(self, element: tuple[int, BucketBatches]) -> Iterable[ClassFigures]:
        yield from _of_matches(element[1], self.runs)
        yield from _of_coco(element[1])


def _of_matches(batches: BucketBatches, runs: Sequence[Run]) -> Iterator[ClassFigures]:
    has_images = any(run.replicates for run in runs)
    of_ranked = {**_OF_RANKED, **({"image": np.uint64} if has_images else {})}
    ranked, truths = _columns(batches, RANKED, of_ranked), _columns(batches, TRUTHS, _OF_TRUTHS)
    for group, own, some in _groups(ranked["group"], truths["group"]):
        # What is equal stays in the order of images and rows, whichever worker had them.
        own = own[np.argsort(-ranked["score"][own], kind="stable")]
        yield _measure(
            group,
            runs[group >> 32],
            {name: column[own] for name, column in ranked.items()},
            {name: column[some] for name, column in truths.items()},
        )


def _groups(
    of_detections: np.ndarray, of_truths: np.ndarray
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yields each group, and the places of its detections and of its ground truth, in order."""
    order = np.argsort(of_detections, kind="stable")
    true_order = np.argsort(of_truths, kind="stable")
    groups, true_groups = of_detections[order], of_truths[true_order]
    for group in np.union1d(groups, true_groups).tolist():
        yield group, order[_span(groups, group)], true_order[_span(true_groups, group)]


def _of_coco(batches: BucketBatches) -> Iterator[ClassFigures]:
    found, truths = (_columns(batches, *each) for each in (_COCO_DETECTIONS, _COCO_TRUTHS))
    for group, own, some in _groups(found["group"], truths["group"]):
        figures = measure(_coco_objects(truths, some), _coco_objects(found, own))
        is_known = found["is_known"][own].all() and truths["is_known"][some].all()
        values = tuple(
            value if is_known or not needs_sizes else None
            for value, needs_sizes in zip(figures.values, FIGURES.values(), strict=True)
        )
        is_group = truths["value"][some] > 0
        yield ClassFigures(
            run=group >> 32,
            number=group & 0xFFFFFFFF,
            truths=float((~is_group).sum()),
            boxes=len(some),
            groups=int(is_group.sum()),
            images=len(np.unique(truths["image"][some])),
            detections=len(own),
            average_precision=values[0],
            best=None,
            curve=tuple(figures.curve),
            coco=values,
        )


def _coco_objects(columns: Mapping[str, np.ndarray], places: np.ndarray) -> CocoObjects:
    sides = [columns[name][places] for name in _SIDES]
    return CocoObjects(columns["image"][places], np.stack(sides, axis=1), columns["value"][places])


def _columns(
    batches: BucketBatches, origin: int, columns: Mapping[str, type]
) -> dict[str, np.ndarray]:
    """Returns the rows of an origin: some columns, and `group`, a number for run and class."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("group", *columns)}
    for batch in batches.of([origin]):
        rows = {
            name: batch.rows[name].to_numpy(zero_copy_only=False)
            for name in ("run", "class", *columns)
        }
        found["group"].append((rows["run"].astype(np.int64) << 32) | rows["class"])
        for name in columns:
            # A copy: of the batch there is more than is asked for.
            found[name].append(rows[name].copy())
    types = {"group": np.int64, **columns}
    return {name: np.concatenate([np.zeros(0, types[name]), *some]) for name, some in found.items()}


def _span(groups: np.ndarray, group: int) -> slice:
    start, stop = np.searchsorted(groups, [group, group + 1])
    return slice(int(start), int(stop))


def _measure(
    group: int, run: Run, ranked: Mapping[str, np.ndarray], truths: Mapping[str, np.ndarray]
) -> ClassFigures:
    """Returns the figures of a class, of its ranked detections, the highest score first, and its
    ground truth."""
    scores, found = ranked["score"], ranked["found"].astype(np.float64)
    weights = truths["weights"]
    average_precision, best, points, slices, replicates = None, None, (), (), ()
    if (total := float(weights.sum())) > 0:
        curve = make_curve(scores, found, total)
        average_precision, best = curve.average_precision(), best_of(curve)
        points = tuple(_sampled(curve))
    if run.has_details and truths["slices"].any():

        def of_some(places: np.ndarray, some: float) -> float:
            return make_curve(scores[places], found[places], some).average_precision()

        columns = found, ranked["slices"], weights, truths["slices"]
        slices = tuple(measure_slices(*columns, of_some))
    if run.replicates:
        images = ranked["image"], truths["image"]
        replicates = tuple(_replicates(run.replicates, scores, found, weights, *images))
    return ClassFigures(
        run=group >> 32,
        number=group & 0xFFFFFFFF,
        truths=total,
        boxes=len(weights),
        groups=int(truths["is_group"].sum()),
        images=len(np.unique(truths["image"])),
        detections=len(scores),
        average_precision=average_precision,
        best=best,
        curve=points,
        slices=slices,
        replicates=replicates,
    )


def _replicates(
    count: int,
    scores: np.ndarray,
    found: np.ndarray,
    weights: np.ndarray,
    images: np.ndarray,
    true_images: np.ndarray,
) -> Iterator[float]:
    """Yields the average precision of each replicate; NaN where no ground truth counts."""
    keys, numbers = np.unique(np.concatenate([images, true_images]), return_inverse=True)
    of_detections, of_truths = np.split(numbers, [len(images)])
    for replicate in range(count):
        times = counts_of(keys, replicate)
        total = float((weights * times[of_truths]).sum())
        curve = make_curve(scores, found, total, times[of_detections]) if total > 0 else None
        yield curve.average_precision() if curve else math.nan


def best_of(curve: Curve) -> tuple[float, float, float, float] | None:
    """Returns score, precision, recall and F1 where F1 is best, at the highest of several scores.

    Only the last of equal scores is a place where a threshold can be.
    """
    if not len(curve.scores):
        return None
    sums = curve.precisions + curve.recalls
    f1 = 2 * curve.precisions * curve.recalls / np.where(sums > 0, sums, 1.0)
    is_last = np.append(curve.scores[1:] != curve.scores[:-1], True)
    at = int(np.argmax(np.where(is_last, f1, -1.0)))
    values = (curve.scores, curve.precisions, curve.recalls, f1)
    return tuple(float(each[at]) for each in values)  # pyrefly: ignore[bad-return]


def _sampled(curve: Curve) -> Iterator[float]:
    envelope = np.maximum.accumulate(np.append(curve.precisions, 0.0)[::-1])[::-1]
    recalls = np.linspace(0.0, 1.0, CURVE_POINTS)
    yield from envelope[np.searchsorted(curve.recalls, recalls, "left")].tolist()
