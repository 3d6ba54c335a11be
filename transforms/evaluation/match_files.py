"""Files of matches: each detection and each missed box, with what became of it."""

import dataclasses
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.dataset.keys import image_ids
from transforms.evaluation.bucket import EvaluatedImages
from transforms.evaluation.class_tree import ClassTree
from transforms.evaluation.kinds import CORNERS
from transforms.evaluation.matching import Matches, Verdict
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

_TEXT = pa.dictionary(pa.int32(), pa.string())
_BOX = {corner: pa.float64() for corner in CORNERS}
#: Columns. A row is a detection, or a box of the ground truth that none has found (`missed`), whose
#: score is null. `label` is the class that it counts by, `given_label` its own; both are MIDs.
#: `true_…` is the box that a detection was held against: in a group, or the one that it overlaps
#: most; null where there is none, as is `overlap`.
SCHEMA = pa.schema(
    {
        "image_id": pa.string(),
        "verdict": _TEXT,
        "label": _TEXT,
        "given_label": _TEXT,
        "score": pa.float64(),
        **_BOX,
        "overlap": pa.float64(),
        "is_group_of": pa.bool_(),
        **{f"true_{corner}": dtype for corner, dtype in _BOX.items()},
    }
)
#: The verdict of a box that no detection has found.
MISSED = "missed"
_VERDICTS = pa.array([*(verdict.name.lower() for verdict in Verdict), MISSED])


@dataclasses.dataclass(frozen=True)
class MatchFiles:
    """Writes Parquet files of matches, one for each run and bucket.

    Attributes:
        folder: local, or in an object store.
        buckets: how many there are.
        options: how object stores are reached.
    """

    folder: str
    buckets: int
    options: ObjectOptions

    def write(
        self, run: str, bucket: int, images: EvaluatedImages, matches: Matches, tree: ClassTree
    ) -> None:
        """Writes the matches of a bucket."""
        path = os.path.join(self.folder, f"{run}-{bucket:05}-of-{self.buckets:05}.parquet")
        table = pa.concat_tables(
            [_detections(images, matches, tree), _missed(images, matches, tree)]
        ).sort_by([("image_id", "ascending")])
        with files.staged(path, None, self.options) as attempt:
            pq.write_table(table, attempt, compression="zstd", use_dictionary=True)


def _detections(images: EvaluatedImages, matches: Matches, tree: ClassTree) -> pa.Table:
    objects = images.objects
    detections = objects.detections.take(matches.detections)
    none = matches.truths < 0
    at = np.append(matches.true_objects, -1)[matches.truths]
    true_boxes = np.append(objects.truths.boxes, np.full((1, 4), np.nan), axis=0)[at]
    is_group = np.append(objects.is_group, False)[at]
    return pa.table(
        {
            "image_id": image_ids(images.keys[detections.images]),
            "verdict": _named(matches.verdicts, _VERDICTS),
            "label": _named(matches.classes, tree.labels),
            "given_label": _named(detections.classes, tree.labels),
            "score": objects.scores[matches.detections],
            **_corners(detections.boxes),
            "overlap": pa.array(matches.overlaps, mask=none),
            "is_group_of": pa.array(is_group, mask=none),
            **{
                f"true_{name}": pa.array(values, mask=none)
                for name, values in _corners(true_boxes).items()
            },
        },
        SCHEMA,
    )


def _missed(images: EvaluatedImages, matches: Matches, tree: ClassTree) -> pa.Table:
    objects = images.objects
    missed = np.flatnonzero(~matches.found())
    at = matches.true_objects[missed]
    truths = objects.truths.take(at)
    boxes = _corners(truths.boxes)
    return pa.table(
        {
            "image_id": image_ids(images.keys[truths.images]),
            "verdict": _named(np.full(len(at), len(Verdict)), _VERDICTS),
            "label": _named(matches.true_classes[missed], tree.labels),
            "given_label": _named(truths.classes, tree.labels),
            "score": pa.nulls(len(at), pa.float64()),
            **boxes,
            "overlap": pa.nulls(len(at), pa.float64()),
            "is_group_of": objects.is_group[at],
            **{f"true_{name}": values for name, values in boxes.items()},
        },
        SCHEMA,
    )


def _named(numbers: np.ndarray, names: pa.Array) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(numbers.astype(np.int32)), names)


def _corners(boxes: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(CORNERS, boxes.T, strict=True))
