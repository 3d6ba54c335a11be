"""The rows of a bucket → its images with their ground truth and detections as arrays."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import in_one_piece
from transforms.evaluation.class_tree import ClassTree
from transforms.evaluation.matching import Bucket, Objects
from transforms.evaluation.rows import DETECTION, TRUE_BOX, TRUE_LABEL
from transforms.exchange.batches import KeyedBatch

#: What the rows of a source are.
IMAGES, BOXES, LABELS, DETECTIONS = "images", "boxes", "labels", "detections"
_TYPES = {BOXES: TRUE_BOX, LABELS: TRUE_LABEL, DETECTIONS: DETECTION}
_CORNERS = ("xmin", "xmax", "ymin", "ymax")


class RowCount(NamedTuple):
    """Rows of a source that can't be evaluated.

    Attributes:
        source: its index.
        other_images: how many are of images that aren't in the ground truth.
        other_classes: how many have a class that isn't evaluated.
    """

    source: int
    other_images: int
    other_classes: int


@dataclasses.dataclass(frozen=True)
class EvaluatedImages:
    """The images of a bucket, and the rows that their objects come from.

    Attributes:
        keys: of the images, (k,) uint64, sorted.
        bucket: their objects.
        truths: rows of `TRUE_BOX`, one for each box of `bucket.truths`.
        detections: rows of `DETECTION`, one for each of `bucket.detections`.
        sources: of these, (n,) int32.
        lines: likewise, (n,) int64.
        left_out: rows that can't be evaluated.
    """

    keys: np.ndarray
    bucket: Bucket
    truths: pa.StructArray
    detections: pa.StructArray
    sources: np.ndarray
    lines: np.ndarray
    left_out: list[RowCount]


class _Rows(NamedTuple):
    keys: np.ndarray
    sources: np.ndarray
    lines: np.ndarray
    values: pa.StructArray

    def take(self, places: np.ndarray) -> "_Rows":
        values = self.values.take(pa.array(places))
        return _Rows(self.keys[places], self.sources[places], self.lines[places], values)


def arrange(
    batches: Iterable[KeyedBatch], roles: Mapping[int, str], tree: ClassTree
) -> EvaluatedImages:
    """Returns the images of a bucket.

    An image is in the ground truth if a row of it is. Rows of other images and of classes that
    aren't evaluated are left out.

    Args:
        batches: of the bucket, in order of their tags.
        roles: what the rows of each source are, by its index.
        tree: the classes that are evaluated.
    """
    by_role: dict[str, list[KeyedBatch]] = {}
    for batch in batches:
        by_role.setdefault(roles[batch.origin], []).append(batch)
    true_keys = [
        batch.rows["key"].to_numpy()
        for role, some in by_role.items()
        if role != DETECTIONS
        for batch in some
    ]
    keys = np.unique(np.concatenate([np.zeros(0, np.uint64), *true_keys]))
    truths, true_classes, _ = _evaluated(by_role.get(BOXES, []), BOXES, keys, tree, "label")
    labels, label_classes, _ = _evaluated(by_role.get(LABELS, []), LABELS, keys, tree, "label")
    detections, classes, left_out = _evaluated(
        by_role.get(DETECTIONS, []), DETECTIONS, keys, tree, "label"
    )
    bucket = Bucket(
        len(keys),
        _objects(truths, true_classes, keys),
        (truths.values.field("is_group_of").to_numpy(zero_copy_only=False) == 1),
        _objects(detections, classes, keys),
        detections.values.field("score").to_numpy(zero_copy_only=False),
        (np.searchsorted(keys, labels.keys).astype(np.int32), label_classes),
        labels.values.field("confidence").to_numpy(zero_copy_only=False) > 0,
    )
    return EvaluatedImages(
        keys,
        bucket,
        truths.values,
        detections.values,
        detections.sources,
        detections.lines,
        left_out,
    )


def _evaluated(
    batches: Sequence[KeyedBatch], role: str, keys: np.ndarray, tree: ClassTree, field: str
) -> tuple[_Rows, np.ndarray, list[RowCount]]:
    """Returns the rows of images and classes that are evaluated, their classes, and what isn't."""
    rows = _concatenate(batches, _TYPES[role])
    classes = tree.numbers(rows.values.field(field))
    is_known = np.isin(rows.keys, keys)
    has_class = classes >= 0
    left_out = []
    for source in np.unique(rows.sources[~is_known | ~has_class]).tolist():
        of_source = rows.sources == source
        others = int((of_source & ~is_known).sum())
        left_out.append(RowCount(source, others, int((of_source & is_known & ~has_class).sum())))
    places = np.flatnonzero(is_known & has_class)
    if len(places) < len(rows.keys):
        rows, classes = rows.take(places), classes[places]
    return rows, classes, left_out


def _concatenate(batches: Sequence[KeyedBatch], dtype: pa.StructType) -> _Rows:
    keys = [batch.rows["key"].to_numpy() for batch in batches]
    lines = [batch.rows["line"].to_numpy(zero_copy_only=False) for batch in batches]
    sources = [np.full(batch.rows.num_rows, batch.origin, np.int32) for batch in batches]
    values = pa.chunked_array([batch.rows["value"] for batch in batches], dtype)
    return _Rows(
        np.concatenate([np.zeros(0, np.uint64), *keys]),
        np.concatenate([np.zeros(0, np.int32), *sources]),
        np.concatenate([np.zeros(0, np.int64), *lines]),
        in_one_piece(values),
    )


def _objects(rows: _Rows, classes: np.ndarray, keys: np.ndarray) -> Objects:
    boxes = np.stack(
        [
            pc.struct_field(rows.values, corner).to_numpy(zero_copy_only=False)
            for corner in _CORNERS
        ],
        axis=1,
    )
    return Objects(np.searchsorted(keys, rows.keys).astype(np.int32), classes, boxes)
