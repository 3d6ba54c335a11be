"""The results of an evaluation."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from transforms.evaluation.bootstrap import interval
from transforms.evaluation.coco_metric import FIGURES
from transforms.evaluation.match import BEST, Run
from transforms.evaluation.protocols import PROTOCOLS
from transforms.evaluation.slices import SLICES
from transforms.evaluation.summary import ClassSummary, Summary
from transforms.evaluation.tasks import TASKS

#: From how many boxes in the ground truth a class is common, and frequent; below it is rare.
FREQUENCIES = {"rare": 0, "common": 10, "frequent": 100}


@dataclasses.dataclass(frozen=True)
class ClassResult:
    """A class by one protocol and threshold.

    Attributes:
        label: MID.
        name: display name; the MID where it isn't known.
        average_precision: None where no ground truth counts.
        truths: how much ground truth counts: boxes, and groups by their weight.
        boxes: how many boxes there are, groups included.
        groups: how many of these are around groups.
        images: how many images have a box of it.
        frequency: one of `FREQUENCIES`, by its boxes.
        depth: steps from the root of the hierarchy; None for a class outside of it.
        low, high: between which the average precision is in 95% of replicates; None without these.
        verdicts: how many detections got each verdict.
        score, precision, recall, f1: where F1 is best; None where nothing was found.
        curve: precision at recalls from 0 to 1, evenly spaced.
    """

    label: str
    name: str
    average_precision: float | None
    truths: float
    boxes: int
    groups: int
    images: int
    frequency: str
    depth: int | None
    low: float | None
    high: float | None
    verdicts: Mapping[str, int]
    score: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    curve: Sequence[float]


@dataclasses.dataclass(frozen=True)
class SliceResult:
    """A part of the ground truth.

    Attributes:
        kind: the property, such as `area`.
        value: such as `small`.
        truths: how much ground truth it has.
        recall: how much of that is found, at whatever score; None where it has none.
        mean_average_precision: over the classes that have some of it; None where it has none.
        classes: how many these are.
    """

    kind: str
    value: str
    truths: float
    recall: float | None
    mean_average_precision: float | None
    classes: int


@dataclasses.dataclass(frozen=True)
class Confusion:
    """Detections of one class that are wrong for one reason.

    Attributes:
        label: MID of the class.
        name: its display name.
        confused_with: MID of the class of the object that they overlap; None where there is none.
        confused_with_name: its display name.
        reason: name of a `Reason`.
        count: how many there are.
    """

    label: str
    name: str
    confused_with: str | None
    confused_with_name: str | None
    reason: str
    count: int


@dataclasses.dataclass(frozen=True)
class ProtocolResult:
    """The figures of one protocol and threshold.

    Attributes:
        protocol: its name.
        iou: the threshold; None for COCO's, from 0.5 to 0.95.
        metric: what the reference calls the mean average precision.
        mean_average_precision: over the classes with ground truth; None where there is none.
        classes: that have ground truth or detections, by MID; of relationships, by their relation.
        weighted_average_precision: of relationships: of all relations as one.
        recalls: of relationships: how much of the ground truth the best detections of each image
            find, by how many these are.
        coco: of `coco`: its figures by name; None for what isn't known.
        replicates: the mean average precision of each replicate; None where no class has one.
        interval: between which it is in 95% of these; None without them.
        slices: of the ground truth, and of the classes by frequency; none of relationships, of
            `coco`, and beyond the first threshold.
        confusions: likewise.
    """

    protocol: str
    iou: float | None
    metric: str
    mean_average_precision: float | None
    classes: Sequence[ClassResult]
    weighted_average_precision: float | None = None
    recalls: Mapping[int, float] = dataclasses.field(default_factory=dict)
    coco: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    replicates: Sequence[float | None] = ()
    interval: tuple[float, float] | None = None
    slices: Sequence[SliceResult] = ()
    confusions: Sequence[Confusion] = ()

    @property
    def threshold(self) -> str:
        """The threshold for people."""
        return "0.5:0.95" if self.iou is None else f"{self.iou:g}"

    @property
    def num_classes(self) -> int:
        """How many classes have ground truth that counts."""
        return sum(each.average_precision is not None for each in self.classes)

    def verdicts(self) -> Counter[str]:
        """Returns how many detections got each verdict."""
        sums: Counter[str] = Counter()
        for each in self.classes:
            sums.update(each.verdicts)
        return sums

    def reasons(self) -> Counter[str]:
        """Returns how many detections are wrong for each reason."""
        sums: Counter[str] = Counter()
        for each in self.confusions:
            sums[each.reason] += each.count
        return sums


@dataclasses.dataclass(frozen=True)
class Step:
    """A step from one protocol to another.

    Attributes:
        text: what changes.
        mean_average_precision: after the step.
        change: the difference that it makes; None for the first.
    """

    text: str
    mean_average_precision: float | None
    change: float | None


@dataclasses.dataclass(frozen=True)
class ClassChange:
    """A class in both reports.

    Attributes:
        label: MID.
        name: display name.
        before: average precision in the earlier report.
        after: average precision now.
    """

    label: str
    name: str
    before: float
    after: float

    @property
    def change(self) -> float:
        """How much was gained."""
        return self.after - self.before


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One protocol and threshold in both reports.

    Attributes:
        protocol: its name.
        threshold: for people.
        before: mean average precision in the earlier report.
        after: now.
        change: how much was gained.
        interval: between which the change is in 95% of replicates of the images, each counted alike
            in both; None where a report has none, or another number of them.
        classes: that have changed, those that lost most first.
    """

    protocol: str
    threshold: str
    before: float
    after: float
    change: float
    interval: tuple[float, float] | None
    classes: Sequence[ClassChange]


@dataclasses.dataclass(frozen=True)
class SourceResult:
    """A file that was read.

    Attributes:
        path: of the file.
        kind: of its rows.
        rows: how many it has.
        bad_rows: which can't be read.
        other_images: of predictions, how many are of images that the ground truth doesn't have.
        other_classes: likewise, of classes.
    """

    path: str
    kind: str
    rows: int
    bad_rows: int
    other_images: int
    other_classes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The results of an evaluation.

    Attributes:
        images: how many the ground truth has.
        detected: how many of them have detections.
        image_labels: how many verified labels it has of them, positive and negative.
        results: by threshold, then by protocol, in the order in which they were asked for.
        steps: from the first protocol to the next, what each rule changes.
        comparisons: with an earlier report.
        sources: the files.
        output: the folder of the report.
        seconds: how long it took.
        notes: messages that were shown.
    """

    images: int
    detected: int
    image_labels: tuple[int, int]
    results: Sequence[ProtocolResult]
    steps: Sequence[Step]
    comparisons: Sequence[Comparison]
    sources: Sequence[SourceResult]
    output: str
    seconds: float
    notes: Sequence[str]

    def metrics(self) -> dict[str, float | None]:
        """Returns means, COCO's figures, recalls and the Challenge's score, by the names that the
        references print."""
        found = {}
        for each in self.results:
            found[each.metric] = each.mean_average_precision
            found |= {f"DetectionBoxes_{name}": value for name, value in each.coco.items()}
            if each.recalls:
                weighted = each.metric.replace("_mAP@", "_weightedAP@")
                found[weighted] = each.weighted_average_precision
            for count, recall in each.recalls.items():
                found[each.metric.replace("_mAP@", f"_Recall@{count}@")] = recall
        for iou in dict.fromkeys(each.iou for each in self.results):
            if (score := self._challenge_score(iou)) is not None:
                found[f"VRDMetric_Score@{iou}IOU"] = score
        return found

    def _challenge_score(self, iou: float | None) -> float | None:
        """Returns what the Challenge ranked relationships by; None where a part of it is lacking.

        https://storage.googleapis.com/openimages/web/vrd_detection_metric.html has the weights.
        """
        by_name = {each.protocol: each for each in self.results if each.iou == iou}
        pairs, phrases = by_name.get("relationships"), by_name.get("phrases")
        if not pairs or not phrases or not pairs.recalls:
            return None
        parts = pairs.mean_average_precision, phrases.mean_average_precision
        if parts[0] is None or parts[1] is None:
            return None
        return 0.4 * parts[0] + 0.2 * pairs.recalls[50] + 0.4 * parts[1]


def make_results(
    summary: Summary, runs: Sequence[Run], classes: Sequence[Mapping[str, Any]]
) -> list[ProtocolResult]:
    """Returns the result of each run.

    Args:
        summary: of the evaluation.
        runs: in the order of the summary.
        classes: as of `build_classes`: labels, names, parents.
    """
    names = {each["label"]: each["name"] for each in classes if each["name"]}
    depths = _depths({each["label"]: each["parents"] for each in classes})
    found = []
    for run, summed in zip(runs, summary.runs, strict=True):
        results = sorted(
            (_class(each, names, depths) for each in summed.classes), key=lambda each: each.label
        )
        protocol = PROTOCOLS.get(run.name)
        pool = summed.pool or {}
        recalls = {}
        if pool.get("truths"):
            counts = zip(BEST, summed.true_among_best, strict=True)
            recalls = {best: count / pool["truths"] for best, count in counts}
        figures = [each.figures for each in summed.classes if each.figures]
        values = np.array(summed.replicates, np.float64)  # None becomes NaN
        found.append(
            ProtocolResult(
                protocol=run.name,
                iou=None if TASKS[run.task].own_thresholds else run.iou,
                metric=protocol.metric.format(run.iou) if protocol else "",
                mean_average_precision=_mean(each.average_precision for each in results),
                classes=results,
                weighted_average_precision=pool.get("average_precision"),
                recalls=recalls,
                coco=_mean_figures([each["coco"] for each in figures if each["coco"]]),
                replicates=summed.replicates,
                interval=interval(values),
                slices=_slices([each["slices"] for each in figures if each["slices"]], results),
                confusions=[
                    Confusion(
                        label,
                        names.get(label, label),
                        other,
                        names.get(other, other) if other else None,
                        reason,
                        count,
                    )
                    for label, other, reason, count in summed.confusions
                ],
            )
        )
    return found


def _mean(values: Iterable[float | None]) -> float | None:
    """Returns the mean of what is known."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _depths(parents: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Returns how many steps classes of a hierarchy are from its roots, at least."""
    depths = {parent: 0 for some in parents.values() for parent in some}
    depths = {label: 0 for label in depths if not parents.get(label)}
    level = depths
    below: dict[str, list[str]] = {}
    for label, some in parents.items():
        for parent in some:
            below.setdefault(parent, []).append(label)
    while level:
        level = {
            label: depth + 1
            for parent, depth in level.items()
            for label in below.get(parent, ())
            if label not in depths
        }
        depths |= level
    return depths


def _slices(
    classes: Sequence[Sequence[tuple[float, float, float | None]]],
    results: Sequence[ClassResult],
) -> list[SliceResult]:
    """Returns the slices of the ground truth, those of the classes by frequency last."""
    if not classes:
        return []
    found = []
    for (kind, value), figures in zip(SLICES, zip(*classes, strict=True), strict=True):
        truths = sum(each[0] for each in figures)
        recall = sum(each[1] for each in figures) / truths if truths else None
        precisions = [each[2] for each in figures]
        count = sum(each is not None for each in precisions)
        found.append(SliceResult(kind, value, truths, recall, _mean(precisions), count))
    for name in FREQUENCIES:
        own = [each for each in results if each.frequency == name and each.truths]
        truths = sum(each.truths for each in own)
        hits = sum(each.verdicts["true_positive"] + each.verdicts["found_group"] for each in own)
        mean = _mean(each.average_precision for each in own)
        recall = hits / truths if truths else None
        found.append(SliceResult("frequency", name, truths, recall, mean, len(own)))
    return found


def _mean_figures(classes: Sequence[Sequence[float | None]]) -> dict[str, float | None]:
    """Returns the means of COCO's figures over the classes that have them."""
    columns = zip(*classes, strict=True)
    return {name: _mean(values) for name, values in zip(FIGURES, columns, strict=False)}


def _class(each: ClassSummary, names: Mapping[str, str], depths: Mapping[str, int]) -> ClassResult:
    figures = each.figures or {}
    score, precision, recall, f1 = figures.get("best") or (None, None, None, None)
    low, high = figures.get("interval") or (None, None)
    boxes = figures.get("boxes", 0)
    return ClassResult(
        label=each.label,
        name=names.get(each.label) or each.label,
        average_precision=figures.get("average_precision"),
        truths=figures.get("truths", 0.0),
        boxes=boxes,
        groups=figures.get("groups", 0),
        images=figures.get("images", 0),
        frequency=[name for name, least in FREQUENCIES.items() if boxes >= least][-1],
        depth=depths.get(each.label),
        low=low,
        high=high,
        verdicts=each.verdicts,
        score=score,
        precision=precision,
        recall=recall,
        f1=f1,
        curve=figures.get("curve", ()),
    )
