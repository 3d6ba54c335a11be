"""Files of matches: each detection and each missed box, with what became of it."""

import dataclasses
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.dataset.keys import image_ids
from transforms.evaluation.class_tree import ClassTree
from transforms.evaluation.kinds.rows import BOTH_CORNERS, CORNERS
from transforms.evaluation.matching import Matches, Verdict
from transforms.evaluation.objects import Case, Objects, Pairs
from transforms.evaluation.reasons import Reason, Reasons, no_reasons
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

#: The verdict of an object that no detection has found.
MISSED = "missed"
_REASONS = pa.array([reason.name.lower() for reason in Reason])
_VERDICTS = pa.array([*(verdict.name.lower() for verdict in Verdict), MISSED])


@dataclasses.dataclass(frozen=True)
class MatchFiles:
    """Writes Parquet files of matches, one for each run and bucket.

    A row is a detection, or an object of the ground truth that none has found (`missed`), whose
    score is null. `label` is the class that it counts by, and `given_label` its own; of a
    relationship `label` is its relation, and `label1` and `label2` are its classes. Labels are
    MIDs. `true_…` is the box that a detection was held against: of the group that it lies in, or of
    the object that it overlaps most; null where there is none, as is `overlap`. Of boxes and masks
    `reason` says why a detection is wrong, and `confused_with` what it overlaps: see `reasons`.

    Attributes:
        folder: local, or in an object store.
        buckets: how many there are.
        options: how object stores are reached.
    """

    folder: str
    buckets: int
    options: ObjectOptions

    def write(
        self,
        run: str,
        bucket: int,
        keys: np.ndarray,
        case: Case,
        matches: Matches,
        reasons: Reasons,
        tree: ClassTree,
    ) -> None:
        """Writes the matches of a run and bucket; `keys` are those of its images, (k,) uint64."""
        path = os.path.join(self.folder, f"{run}-{bucket:05}-of-{self.buckets:05}.parquet")
        tables = [
            _detections(keys, case, matches, reasons, tree),
            _missed(keys, case, matches, tree),
        ]
        table = pa.concat_tables(tables).sort_by([("image_id", "ascending")])
        with files.staged(path, None, self.options) as attempt:
            pq.write_table(table, attempt, compression="zstd", use_dictionary=True)


def _detections(
    keys: np.ndarray, case: Case, matches: Matches, reasons: Reasons, tree: ClassTree
) -> pa.Table:
    detections = case.detections.take(matches.detections)
    none = matches.truths < 0
    at = np.append(matches.true_objects, -1)[matches.truths]
    nowhere = np.full((1, *case.truths.boxes.shape[1:]), np.nan, case.truths.boxes.dtype)
    true_boxes = np.append(case.truths.boxes, nowhere, axis=0)[at]
    is_group = np.append(case.is_group, False)[at]
    return pa.table(
        {
            "image_id": image_ids(keys[detections.images]),
            "verdict": _named(matches.verdicts, _VERDICTS),
            "label": _named(matches.classes, tree.labels),
            **_other_labels(detections, tree),
            **_why(detections, reasons, tree),
            "score": case.scores[matches.detections],
            **_corners(detections.boxes),
            "overlap": pa.array(matches.overlaps, mask=none),
            "is_group_of": pa.array(is_group, mask=none),
            **{
                f"true_{name}": pa.array(values, mask=none)
                for name, values in _corners(true_boxes).items()
            },
        }
    )


def _missed(keys: np.ndarray, case: Case, matches: Matches, tree: ClassTree) -> pa.Table:
    missed = np.flatnonzero(~matches.found() & (matches.weights > 0))
    at = matches.true_objects[missed]
    truths = case.truths.take(at)
    boxes = _corners(truths.boxes)
    return pa.table(
        {
            "image_id": image_ids(keys[truths.images]),
            "verdict": _named(np.full(len(at), len(Verdict)), _VERDICTS),
            "label": _named(matches.true_classes[missed], tree.labels),
            **_other_labels(truths, tree),
            **_why(truths, no_reasons(len(at)), tree),
            "score": pa.nulls(len(at), pa.float64()),
            **boxes,
            "overlap": pa.nulls(len(at), pa.float64()),
            "is_group_of": case.is_group[at],
            **{f"true_{name}": values for name, values in boxes.items()},
        }
    )


def _other_labels(objects: Objects, tree: ClassTree) -> dict[str, pa.Array]:
    if isinstance(objects, Pairs):
        return {
            f"label{end}": _named(numbers, tree.labels)
            for end, numbers in enumerate(objects.ends.T, 1)
        }
    return {"given_label": _named(objects.classes, tree.labels)}


def _why(objects: Objects, reasons: Reasons, tree: ClassTree) -> dict[str, pa.Array]:
    if isinstance(objects, Pairs):
        return {}
    return {
        "reason": _named(reasons.reasons, _REASONS),
        "confused_with": _named(reasons.classes, tree.labels),
    }


def _named(numbers: np.ndarray, names: pa.Array) -> pa.DictionaryArray:
    """Returns names by their numbers; null for -1."""
    indices = pa.array(numbers.astype(np.int32), mask=numbers < 0)
    return pa.DictionaryArray.from_arrays(indices, names)


def _corners(boxes: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the coordinates of boxes, or of pairs of boxes, by column; float64."""
    names = BOTH_CORNERS if boxes.ndim == 3 else CORNERS
    columns = boxes.reshape(len(boxes), len(names)).astype(np.float64).T
    return dict(zip(names, columns, strict=True))
