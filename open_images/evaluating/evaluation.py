"""What an evaluation has found, and the files of its report."""

import csv
import dataclasses
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from transforms.evaluation.coco_metric import FIGURES
from transforms.evaluation.match import BEST, Run
from transforms.evaluation.protocols import PROTOCOLS
from transforms.evaluation.summary import ClassSummary, Summary
from transforms.releases.documents import to_json

#: Files of a report.
REPORT, PER_CLASS, MATCHES = "report.json", "per_class.csv", "matches"


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
    verdicts: Mapping[str, int]
    score: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    curve: Sequence[float]


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
    """

    protocol: str
    iou: float | None
    metric: str
    mean_average_precision: float | None
    classes: Sequence[ClassResult]
    weighted_average_precision: float | None = None
    recalls: Mapping[int, float] = dataclasses.field(default_factory=dict)
    coco: Mapping[str, float | None] = dataclasses.field(default_factory=dict)

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


@dataclasses.dataclass(frozen=True)
class Step:
    """A step from one protocol to another.

    Attributes:
        text: what changes.
        mean_average_precision: from then on.
        change: by it; None for the first.
    """

    text: str
    mean_average_precision: float | None
    change: float | None


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
    """What an evaluation has found.

    Attributes:
        images: how many the ground truth has.
        results: by protocol and threshold, in the order in which they were asked for.
        steps: from the first protocol to the next, what each rule changes.
        sources: the files.
        output: the folder of the report.
        seconds: how long it took.
        notes: messages that were shown.
    """

    images: int
    results: Sequence[ProtocolResult]
    steps: Sequence[Step]
    sources: Sequence[SourceResult]
    output: str
    seconds: float
    notes: Sequence[str]

    def metrics(self) -> dict[str, float | None]:
        """Returns the mean average precisions by the names that the reference has for them."""
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
    summary: Summary, runs: Sequence[Run], names: Mapping[str, str]
) -> list[ProtocolResult]:
    """Returns the result of each run.

    Args:
        summary: of the evaluation.
        runs: in the order of the summary.
        names: display names of classes by MID.
    """
    found = []
    for run, summed in zip(runs, summary.runs, strict=True):
        results = sorted(
            (_class(each, names) for each in summed.classes), key=lambda each: each.label
        )
        precisions = [
            each.average_precision for each in results if each.average_precision is not None
        ]
        protocol = PROTOCOLS.get(run.name)
        metric = protocol.metric.format(run.iou) if protocol else ""
        mean = float(np.mean(precisions)) if precisions else None
        pool = summed.pool or {}
        recalls = {}
        if pool.get("truths"):
            counts = zip(BEST, summed.true_among_best, strict=True)
            recalls = {best: count / pool["truths"] for best, count in counts}
        weighted = pool.get("average_precision")
        figures = [each.figures for each in summed.classes if each.figures]
        of_coco = _mean_figures([each["coco"] for each in figures if each["coco"]])
        iou = None if run.task == "coco" else run.iou
        found.append(
            ProtocolResult(run.name, iou, metric, mean, results, weighted, recalls, of_coco)
        )
    return found


def _mean_figures(classes: Sequence[Sequence[float | None]]) -> dict[str, float | None]:
    """Returns the means of COCO's figures over the classes that have them."""
    means: dict[str, float | None] = {}
    for name, values in zip(FIGURES, zip(*classes, strict=True), strict=False):
        known = [value for value in values if value is not None]
        means[name] = float(np.mean(known)) if known else None
    return means


def _class(each: ClassSummary, names: Mapping[str, str]) -> ClassResult:
    figures = each.figures or {}
    score, precision, recall, f1 = figures.get("best") or (None, None, None, None)
    return ClassResult(
        each.label,
        names.get(each.label) or each.label,
        figures.get("average_precision"),
        figures.get("truths", 0.0),
        figures.get("boxes", 0),
        figures.get("groups", 0),
        figures.get("images", 0),
        each.verdicts,
        score,
        precision,
        recall,
        f1,
        figures.get("curve", ()),
    )


def encode_report(evaluation: Evaluation) -> bytes:
    """Returns the content of `report.json`; it is the same wherever the evaluation ran."""
    return to_json(
        {
            "images": evaluation.images,
            "metrics": evaluation.metrics(),
            "protocols": [
                {
                    "protocol": each.protocol,
                    "iou": each.iou,
                    "mean_average_precision": each.mean_average_precision,
                    **_of_relationships(each),
                    "classes_with_ground_truth": each.num_classes,
                    "ground_truth": sum(one.truths for one in each.classes),
                    **({"figures": each.coco} if each.coco else {}),
                    "verdicts": each.verdicts(),
                }
                for each in evaluation.results
            ],
            "steps": [dataclasses.asdict(each) for each in evaluation.steps],
            "sources": [dataclasses.asdict(each) for each in evaluation.sources],
        }
    )


def _of_relationships(result: ProtocolResult) -> dict[str, float | None]:
    if not result.recalls:
        return {}
    recalls = {f"recall_at_{best}": recall for best, recall in result.recalls.items()}
    return {"weighted_average_precision": result.weighted_average_precision, **recalls}


def encode_classes(results: Sequence[ProtocolResult]) -> bytes:
    """Returns the content of `per_class.csv`: a class in each run a row."""
    sink = io.StringIO()
    verdicts = sorted({name for each in results for one in each.classes for name in one.verdicts})
    fields = [
        field.name
        for field in dataclasses.fields(ClassResult)
        if field.name not in ("verdicts", "curve")
    ]
    table = csv.writer(sink, lineterminator="\n")
    table.writerow(["protocol", "iou", *fields, *verdicts])
    for result in results:
        for each in result.classes:
            values: list[Any] = [getattr(each, name) for name in fields]
            counts = [each.verdicts.get(name, 0) for name in verdicts]
            table.writerow([result.protocol, result.iou, *map(_text, values), *counts])
    return sink.getvalue().encode()


def _text(value: Any) -> Any:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value
