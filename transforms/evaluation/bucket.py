"""The rows of a bucket → its images with their ground truth and detections as arrays."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from transforms.dataset import codes
from transforms.evaluation import coco_results, detection_tables
from transforms.evaluation.class_tree import ClassTree
from transforms.evaluation.kinds import (
    CORNERS,
    DETECTION,
    DETECTIONS,
    PREDICTION_STRINGS,
    TRUE_BOX,
    TRUE_LABEL,
)
from transforms.evaluation.matching import Bucket, Objects
from transforms.exchange.batches import KeyedBatch
from transforms.kinds.boxes import BOXES
from transforms.kinds.image_labels import IMAGE_LABELS
from transforms.kinds.images import IMAGES
from transforms.selection.label_types import are_by_machine

_TYPES = {BOXES.name: TRUE_BOX, IMAGE_LABELS.name: TRUE_LABEL, DETECTIONS.name: DETECTION}
#: Kinds of predictions beside `DETECTIONS`, and those whose boxes are in pixels.
_DETECTED = (
    PREDICTION_STRINGS.name,
    coco_results.NAME,
    detection_tables.NAME,
    detection_tables.IN_PIXELS,
)
_IN_PIXELS = (coco_results.NAME, detection_tables.IN_PIXELS)


class LeftOut(NamedTuple):
    """Rows of predictions that can't be evaluated.

    Attributes:
        source: its index.
        other_images: how many are of images that aren't in the ground truth.
        other_classes: how many have a class that isn't evaluated.
    """

    source: int
    other_images: int
    other_classes: int


class EvaluatedImages(NamedTuple):
    """The images of a bucket.

    Attributes:
        keys: of the images, (k,) uint64, sorted.
        objects: what is in them.
        left_out: rows that can't be evaluated.
    """

    keys: np.ndarray
    objects: Bucket
    left_out: list[LeftOut]


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Rows of one kind: their keys, the indices of their sources, and their structs, (n,) each."""

    keys: np.ndarray
    sources: np.ndarray
    values: pa.StructArray

    def take(self, places: np.ndarray) -> "_Rows":
        values = self.values.take(pa.array(places))
        return _Rows(self.keys[places], self.sources[places], values)


def arrange(
    batches: Iterable[KeyedBatch], kinds: Mapping[int, str], labels: pa.Array, tree: ClassTree
) -> EvaluatedImages:
    """Returns the images of a bucket.

    An image is in the ground truth if a row of it is. Rows of other images, and of classes that
    aren't evaluated, are left out; so are labels by machines.

    Args:
        batches: of the bucket, in order of their tags.
        kinds: of the rows of each origin.
        labels: those that coded labels are the numbers of, as of `codes.encode`.
        tree: the classes that are evaluated.
    """
    by_kind: dict[str, list[KeyedBatch]] = {}
    for batch in batches:
        kind = kinds[batch.origin]
        by_kind.setdefault(DETECTIONS.name if kind in _DETECTED else kind, []).append(batch)
    given = {
        kind: _concatenate(by_kind.get(kind, []), dtype, labels) for kind, dtype in _TYPES.items()
    }
    verified = given[IMAGE_LABELS.name]
    is_human = ~are_by_machine(verified.values.field("source"))
    verified = verified if is_human.all() else verified.take(np.flatnonzero(is_human))
    in_images = [
        batch.rows["key"].to_numpy()
        for kind, some in by_kind.items()
        if kind not in _TYPES
        for batch in some
    ]
    keys = np.unique(np.concatenate([given[BOXES.name].keys, verified.keys, *in_images]))
    truths, true_classes, _ = _evaluated(given[BOXES.name], keys, tree)
    verified, verified_classes, _ = _evaluated(verified, keys, tree)
    detected = given[DETECTIONS.name]
    of_coco = np.isin(detected.sources, _origins(kinds, (coco_results.NAME,)))
    whole = np.where(of_coco, coco_results.whole_keys(detected.keys, keys), detected.keys)
    detected = dataclasses.replace(detected, keys=whole)
    detections, classes, left_out = _evaluated(detected, keys, tree)
    is_in_pixels = np.isin(detections.sources, _origins(kinds, _IN_PIXELS))
    is_group = truths.values.field("is_group_of").fill_null(-1).to_numpy() == 1
    confidence = verified.values.field("confidence").to_numpy(zero_copy_only=False)
    objects = Bucket(
        _objects(truths, true_classes, keys),
        is_group,
        _in_parts(_objects(detections, classes, keys), is_in_pixels, _sizes(by_kind, keys)),
        detections.values.field("score").to_numpy(),
        (np.searchsorted(keys, verified.keys).astype(np.int32), verified_classes),
        confidence > 0,
    )
    return EvaluatedImages(keys, objects, left_out)


def _concatenate(batches: Sequence[KeyedBatch], dtype: pa.StructType, labels: pa.Array) -> _Rows:
    keys = [batch.rows["key"].to_numpy() for batch in batches]
    sources = [np.full(batch.rows.num_rows, batch.origin, np.int32) for batch in batches]
    values = codes.concatenate([batch.rows["value"] for batch in batches], dtype, labels)
    return _Rows(
        np.concatenate([np.zeros(0, np.uint64), *keys]),
        np.concatenate([np.zeros(0, np.int32), *sources]),
        values,
    )


def _evaluated(
    rows: _Rows, keys: np.ndarray, tree: ClassTree
) -> tuple[_Rows, np.ndarray, list[LeftOut]]:
    """Returns the rows of images and classes that are evaluated, their classes, and what isn't."""
    classes = tree.numbers(rows.values.field("label"))
    is_known = np.isin(rows.keys, keys)
    has_class = classes >= 0
    if is_known.all() and has_class.all():
        return rows, classes, []
    left_out = []
    is_out = ~(is_known & has_class)
    for source in np.unique(rows.sources[is_out]).tolist():
        of_source = rows.sources == source
        others = of_source & ~is_known
        unknown = of_source & is_known & ~has_class
        left_out.append(LeftOut(source, int(others.sum()), int(unknown.sum())))
    places = np.flatnonzero(~is_out)
    return rows.take(places), classes[places], left_out


def _origins(kinds: Mapping[int, str], wanted: Sequence[str]) -> list[int]:
    return [origin for origin, kind in kinds.items() if kind in wanted]


def _sizes(by_kind: Mapping[str, Sequence[KeyedBatch]], keys: np.ndarray) -> np.ndarray:
    """Returns the width and height of each image, (k, 2) float64; NaN where they aren't known."""
    sizes = np.full((len(keys), 2), np.nan)
    for batch in by_kind.get(IMAGES.name, []):
        rows = batch.rows
        if "width" in rows.schema.names:
            at = np.searchsorted(keys, rows["key"].to_numpy())
            for side, name in enumerate(("width", "height")):
                sizes[at, side] = rows[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
    return sizes


def _in_parts(objects: Objects, is_in_pixels: np.ndarray, sizes: np.ndarray) -> Objects:
    """Returns objects with boxes as parts of width and height; of an image whose size isn't known,
    a box in pixels becomes NaN."""
    if not is_in_pixels.any():
        return objects
    sides = np.repeat(sizes[objects.images], 2, axis=1)  # xmin, xmax, ymin, ymax
    boxes = np.where(is_in_pixels[:, None], objects.boxes / sides, objects.boxes)
    return objects._replace(boxes=boxes)


def _objects(rows: _Rows, classes: np.ndarray, keys: np.ndarray) -> Objects:
    corners = [rows.values.field(corner).to_numpy(zero_copy_only=False) for corner in CORNERS]
    places = np.searchsorted(keys, rows.keys).astype(np.int32)
    return Objects(places, classes, np.stack(corners, axis=1))
