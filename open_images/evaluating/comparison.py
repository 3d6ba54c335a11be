"""Compares an evaluation with an earlier report of the same ground truth."""

import csv
import dataclasses
import io
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from open_images.evaluating.documents import PER_CLASS, REPORT
from open_images.evaluating.evaluation import (
    ClassChange,
    Comparison,
    Evaluation,
    ProtocolResult,
)
from transforms.errors import UsageError
from transforms.evaluation.bootstrap import interval
from transforms.storage import files
from transforms.storage.objects import StorageError
from transforms.storage.stores import ObjectOptions

#: What `report.json` says of the ground truth of a protocol.
_TRUTH = ("classes_with_ground_truth", "ground_truth")
_COMPARED = ("protocol", "iou", "mean_average_precision", *_TRUTH)


@dataclasses.dataclass(frozen=True)
class EarlierReport:
    """A report that was written before.

    Attributes:
        path: of its folder.
        images: how many images it had, and positive and negative labels of them.
        protocols: `_COMPARED` and `replicates` of each protocol and threshold.
        classes: rows of its `per_class.csv`.
    """

    path: str
    images: Sequence[int]
    protocols: Sequence[Mapping[str, Any]]
    classes: Sequence[Mapping[str, str]]

    @classmethod
    def read(cls, path: str, options: ObjectOptions) -> "EarlierReport":
        """Reads a report.

        Raises:
            UsageError: There is none.
        """
        try:
            content = json.loads(files.read_file(os.path.join(path, REPORT), options))
            images = [content["images"], *content["image_labels"]]
            protocols = [
                {name: each[name] for name in _COMPARED}
                | {"replicates": each.get("replicates", ())}
                for each in content["protocols"]
            ]
            table = files.read_file(os.path.join(path, PER_CLASS), options).decode()
        except (OSError, StorageError, ValueError, LookupError, TypeError):
            raise UsageError(
                f"--compare {path}: no report is there: name the --output of an evaluation"
            ) from None
        return cls(path, images, protocols, list(csv.DictReader(io.StringIO(table))))

    def compare(self, evaluation: Evaluation) -> list[Comparison]:
        """Returns what has changed, of each protocol and threshold that both have.

        Raises:
            UsageError: They have none in common, or the ground truth is another.
        """
        found = []
        for each in evaluation.results:
            mean = each.mean_average_precision
            before = self._of(each)
            if before is None or mean is None:
                continue
            truth = [*self.images, *(before[name] for name in _TRUTH)]
            counts = each.num_classes, sum(one.truths for one in each.classes)
            if truth != [evaluation.images, *evaluation.image_labels, *counts]:
                raise UsageError(
                    f"--compare {self.path}: {each.protocol} has another ground truth there: name "
                    "a report of the same images"
                )
            earlier = before["mean_average_precision"]
            found.append(
                Comparison(
                    each.protocol,
                    each.threshold,
                    earlier,
                    mean,
                    mean - earlier,
                    _interval(before["replicates"], each.replicates),
                    self._changes(each),
                )
            )
        if not found:
            raise UsageError(
                f"--compare {self.path}: it has none of these protocols and thresholds"
            )
        return found

    def _of(self, result: ProtocolResult) -> Mapping[str, Any] | None:
        wanted = result.protocol, result.iou
        return next(
            (
                each
                for each in self.protocols
                if (each["protocol"], each["iou"]) == wanted
                and each["mean_average_precision"] is not None
            ),
            None,
        )

    def _changes(self, result: ProtocolResult) -> list[ClassChange]:
        iou = "" if result.iou is None else str(result.iou)
        before = {
            row["label"]: float(row["average_precision"])
            for row in self.classes
            if (row["protocol"], row["iou"]) == (result.protocol, iou) and row["average_precision"]
        }
        changes = [
            ClassChange(each.label, each.name, before[each.label], each.average_precision)
            for each in result.classes
            if each.average_precision is not None and each.label in before
        ]
        changes = [each for each in changes if each.change]
        return sorted(changes, key=lambda each: (each.change, each.label))


def _interval(
    before: Sequence[float | None], after: Sequence[float | None]
) -> tuple[float, float] | None:
    if len(before) != len(after):
        return None
    return interval(np.array(after, np.float64) - np.array(before, np.float64))
