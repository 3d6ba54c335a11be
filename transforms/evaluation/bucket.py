"""The rows of a bucket → its images, with their ground truth and detections as arrays."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from transforms.dataset import codes
from transforms.dataset.keys import image_ids
from transforms.evaluation import coco_results
from transforms.evaluation.arrange import Rows, labels_of
from transforms.evaluation.class_tree import ClassTree
from transforms.evaluation.kinds.detections import MASK_DETECTIONS, PAIR_DETECTIONS
from transforms.evaluation.kinds.rows import (
    DETECTED_MASK,
    DETECTED_PAIR,
    DETECTION,
    TRUE_BOX,
    TRUE_LABEL,
    TRUE_MASK,
    TRUE_PAIR,
)
from transforms.evaluation.kinds.strings import MASK_STRINGS, PAIR_STRINGS
from transforms.evaluation.kinds.truth import TRUE_MASKS
from transforms.evaluation.layouts import IN_PIXELS
from transforms.evaluation.objects import Case, ImageLabels
from transforms.evaluation.tasks import TASKS
from transforms.exchange.batches import KeyedBatch
from transforms.kinds.boxes import BOXES
from transforms.kinds.image_labels import IMAGE_LABELS
from transforms.kinds.masks import MASKS
from transforms.kinds.relationships import RELATIONSHIPS
from transforms.selection.label_types import are_by_machine

#: The type of the rows of each kind; those of images have none.
_TYPES = {
    BOXES.name: TRUE_BOX,
    MASKS.name: TRUE_MASK,
    TRUE_MASKS.name: TRUE_MASK,
    RELATIONSHIPS.name: TRUE_PAIR,
    IMAGE_LABELS.name: TRUE_LABEL,
    **dict.fromkeys(TASKS["boxes"].detections, DETECTION),
    MASK_DETECTIONS.name: DETECTED_MASK,
    MASK_STRINGS.name: DETECTED_MASK,
    PAIR_DETECTIONS.name: DETECTED_PAIR,
    PAIR_STRINGS.name: DETECTED_PAIR,
}
#: So many rows of each source that are left out are listed of a bucket.
_LISTED = 100


class LeftOutRow(NamedTuple):
    """A row of predictions that can't be evaluated.

    Attributes:
        image_id: of its image.
        label: its class, the one that isn't known if there are several.
        lacks_image: whether the ground truth lacks the image; else it lacks the class.
    """

    image_id: str
    label: str
    lacks_image: bool


class LeftOut(NamedTuple):
    """Rows of predictions that can't be evaluated.

    Attributes:
        source: its index.
        other_images: how many are of images that aren't in the ground truth.
        other_classes: how many have a class that isn't evaluated.
        rows: the first of them.
    """

    source: int
    other_images: int
    other_classes: int
    rows: list[LeftOutRow]


class EvaluatedImages(NamedTuple):
    """The images of a bucket.

    Attributes:
        keys: of the images, (k,) uint64, sorted.
        sizes: their widths and heights, (k, 2) float64; NaN where they aren't known.
        cases: what is in them, by task.
        labels: that were verified.
        left_out: rows that can't be evaluated.
    """

    keys: np.ndarray
    sizes: np.ndarray
    cases: Mapping[str, Case]
    labels: ImageLabels
    left_out: list[LeftOut]


@dataclasses.dataclass(frozen=True)
class _KeyedRows:
    """Rows of one type before images and classes are numbered: keys, (n,) uint64, indices of
    sources, (n,) int32, and structs, (n,)."""

    keys: np.ndarray
    sources: np.ndarray
    values: pa.StructArray

    def take(self, places: np.ndarray) -> "_KeyedRows":
        values = self.values.take(pa.array(places))
        return _KeyedRows(self.keys[places], self.sources[places], values)


def arrange_bucket(
    batches: Iterable[KeyedBatch],
    kinds: Mapping[int, str],
    labels: pa.Array,
    tree: ClassTree,
    tasks: Collection[str],
) -> EvaluatedImages:
    """Returns the images of a bucket.

    An image is in the ground truth if a row of it is. Rows of other images, and of classes that
    aren't evaluated, are left out; so are labels by machines.

    Args:
        batches: of the bucket, in order of their tags.
        kinds: of the rows of each origin.
        labels: MIDs that coded labels are indices of, (k,) string; see `codes.encode`.
        tree: the classes that are evaluated.
        tasks: what is compared.
    """
    by_type: dict[pa.StructType | None, list[KeyedBatch]] = {}
    for batch in batches:
        by_type.setdefault(_TYPES.get(kinds[batch.origin]), []).append(batch)
    given = {
        dtype: _concatenate(by_type.get(dtype, []), dtype, labels)
        for dtype in dict.fromkeys(_TYPES.values())
    }
    verified = given[TRUE_LABEL]
    is_human = ~are_by_machine(verified.values.field("source"))
    given[TRUE_LABEL] = verified if is_human.all() else verified.take(np.flatnonzero(is_human))
    of_images = by_type.get(None, [])
    truths = [given[dtype].keys for dtype in (TRUE_BOX, TRUE_MASK, TRUE_PAIR, TRUE_LABEL)]
    listed = [batch.rows["key"].to_numpy() for batch in of_images]
    keys = np.unique(np.concatenate([*truths, *listed]))
    of_coco = np.isin(given[DETECTION].sources, _origins(kinds, (coco_results.NAME,)))
    given[DETECTION] = dataclasses.replace(
        given[DETECTION],
        keys=np.where(
            of_coco, coco_results.whole_keys(given[DETECTION].keys, keys), given[DETECTION].keys
        ),
    )
    sizes = _sizes(of_images, keys)
    rows, left_out = {}, []
    for dtype, some in given.items():
        rows[dtype], sources, others = _evaluated(some, dtype, keys, tree)
        in_pixels = np.isin(sources, _origins(kinds, IN_PIXELS))
        if in_pixels.any():
            units = np.where(in_pixels[:, None], sizes[rows[dtype].images], 1.0)
            rows[dtype] = dataclasses.replace(rows[dtype], units=units)
        if dtype in (DETECTION, DETECTED_MASK, DETECTED_PAIR):
            left_out += others
    confidence = rows[TRUE_LABEL].floats("confidence")
    return EvaluatedImages(
        keys,
        sizes,
        {task: TASKS[task].arrange(rows) for task in tasks},
        ImageLabels(rows[TRUE_LABEL].images, rows[TRUE_LABEL].classes["label"], confidence > 0),
        left_out,
    )


def _concatenate(
    batches: Sequence[KeyedBatch], dtype: pa.StructType, labels: pa.Array
) -> _KeyedRows:
    keys = [batch.rows["key"].to_numpy() for batch in batches]
    sources = [np.full(batch.rows.num_rows, batch.origin, np.int32) for batch in batches]
    values = codes.concatenate([batch.rows["value"] for batch in batches], dtype, labels)
    return _KeyedRows(
        np.concatenate([np.zeros(0, np.uint64), *keys]),
        np.concatenate([np.zeros(0, np.int32), *sources]),
        values,
    )


def _evaluated(
    given: _KeyedRows, dtype: pa.StructType, keys: np.ndarray, tree: ClassTree
) -> tuple[Rows, np.ndarray, list[LeftOut]]:
    """Returns the rows of images and classes that are evaluated, the indices of their sources, and
    what isn't evaluated."""
    classes = {name: tree.numbers(given.values.field(name)) for name in labels_of(dtype)}
    is_known = np.isin(given.keys, keys)
    has_class = np.all([each >= 0 for each in classes.values()], axis=0)
    is_out = ~(is_known & has_class)
    left_out = [
        _describe(source, given, classes, is_known, is_out)
        for source in np.unique(given.sources[is_out]).tolist()
    ]
    if left_out:
        places = np.flatnonzero(~is_out)
        given = given.take(places)
        classes = {name: each[places] for name, each in classes.items()}
    images = np.searchsorted(keys, given.keys).astype(np.int32)
    return Rows(images, classes, given.values), given.sources, left_out


def _describe(
    source: int,
    given: _KeyedRows,
    classes: Mapping[str, np.ndarray],
    is_known: np.ndarray,
    is_out: np.ndarray,
) -> LeftOut:
    """Returns the rows of a source that are left out."""
    places = np.flatnonzero((given.sources == source) & is_out)
    others = int((~is_known[places]).sum())
    listed = places[:_LISTED]
    rows = given.take(listed)
    # The first class that isn't known, or the first of all.
    unknown = np.array([each[listed] < 0 for each in classes.values()])
    labels = [rows.values.field(name).cast(pa.string()).to_pylist() for name in classes]
    return LeftOut(
        source,
        others,
        len(places) - others,
        [
            LeftOutRow(image_id, labels[at][row], not bool(is_image_known))
            for row, (image_id, at, is_image_known) in enumerate(
                zip(
                    image_ids(rows.keys).to_pylist(),
                    unknown.argmax(axis=0),
                    is_known[listed],
                    strict=True,
                )
            )
        ],
    )


def _origins(kinds: Mapping[int, str], wanted: Sequence[str]) -> list[int]:
    return [origin for origin, kind in kinds.items() if kind in wanted]


def _sizes(batches: Sequence[KeyedBatch], keys: np.ndarray) -> np.ndarray:
    """Returns the width and height of each image, (k, 2) float64; NaN where they aren't known."""
    sizes = np.full((len(keys), 2), np.nan)
    for batch in batches:
        rows = batch.rows
        if "width" in rows.schema.names:
            at = np.searchsorted(keys, rows["key"].to_numpy())
            for side, name in enumerate(("width", "height")):
                sizes[at, side] = rows[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
    return sizes
