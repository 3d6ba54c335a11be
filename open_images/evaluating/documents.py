"""The files of a report."""

import csv
import dataclasses
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

from open_images.evaluating.evaluation import ClassResult, Confusion, Evaluation, ProtocolResult
from transforms.releases.documents import to_json

#: Their names.
REPORT, PER_CLASS, CONFUSIONS = "report.json", "per_class.csv", "confusions.csv"
LEFT_OUT = "left_out.csv"
PAGE = "report.html"
#: The folders of matches and of plots.
MATCHES, PLOTS = "matches", "plots"


def encode_report(evaluation: Evaluation) -> bytes:
    """Returns the content of `report.json`; it is the same wherever the evaluation ran."""
    comparisons = [dataclasses.asdict(each) for each in evaluation.comparisons]
    return to_json(
        {
            "images": evaluation.images,
            "images_with_detections": evaluation.detected,
            "image_labels": evaluation.image_labels,
            "metrics": evaluation.metrics(),
            "protocols": [
                {
                    "protocol": each.protocol,
                    "iou": each.iou,
                    "mean_average_precision": each.mean_average_precision,
                    **_of_replicates(each),
                    **_of_relationships(each),
                    "classes_with_ground_truth": each.num_classes,
                    "ground_truth": sum(one.truths for one in each.classes),
                    **({"figures": each.coco} if each.coco else {}),
                    "verdicts": each.verdicts(),
                    "reasons": each.reasons(),
                    "slices": [dataclasses.asdict(one) for one in each.slices],
                }
                for each in evaluation.results
            ],
            "steps": [dataclasses.asdict(each) for each in evaluation.steps],
            **({"comparisons": comparisons} if comparisons else {}),
            "sources": [dataclasses.asdict(each) for each in evaluation.sources],
        }
    )


def _of_replicates(result: ProtocolResult) -> dict[str, Any]:
    if not result.interval:
        return {}
    return {"interval": result.interval, "replicates": result.replicates}


def _of_relationships(result: ProtocolResult) -> dict[str, float | None]:
    if not result.recalls:
        return {}
    recalls = {f"recall_at_{best}": recall for best, recall in result.recalls.items()}
    return {"weighted_average_precision": result.weighted_average_precision, **recalls}


def encode_classes(results: Sequence[ProtocolResult]) -> bytes:
    """Returns the content of `per_class.csv`: a class in each run a row."""
    verdicts = sorted({name for each in results for one in each.classes for name in one.verdicts})
    fields = [
        field.name
        for field in dataclasses.fields(ClassResult)
        if field.name not in ("verdicts", "curve")
    ]
    rows = (
        [
            *(result.protocol, result.iou),
            *(_text(getattr(each, name)) for name in fields),
            *(each.verdicts.get(name, 0) for name in verdicts),
        ]
        for result in results
        for each in result.classes
    )
    return encode_csv(["protocol", "iou", *fields, *verdicts], rows)


def _text(value: Any) -> Any:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def encode_confusions(results: Sequence[ProtocolResult]) -> bytes:
    """Returns the content of `confusions.csv`: wrong detections by class, reason and class of
    the object that they overlap."""
    rows = (
        [result.protocol, *map(_text, dataclasses.astuple(each))]
        for result in results
        for each in result.confusions
    )
    return encode_csv(["protocol", *(field.name for field in dataclasses.fields(Confusion))], rows)


def encode_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Returns a table as CSV."""
    sink = io.StringIO()
    table = csv.writer(sink, lineterminator="\n")
    table.writerow(header)
    table.writerows(rows)
    return sink.getvalue().encode()
