"""Tasks: boxes, masks, or relationships by both boxes or the one around both."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import pyarrow as pa

from transforms.evaluation import arrange
from transforms.evaluation.arrange import Rows
from transforms.evaluation.class_tree import ClassTree
from transforms.evaluation.kinds.detections import DETECTIONS, MASK_DETECTIONS, PAIR_DETECTIONS
from transforms.evaluation.kinds.strings import BOX_STRINGS, MASK_STRINGS, PAIR_STRINGS
from transforms.evaluation.layouts import LAYOUTS
from transforms.evaluation.matching import Matches, match_boxes, match_masks, match_pairs
from transforms.evaluation.objects import Case, ImageLabels
from transforms.evaluation.protocols import Rules
from transforms.kinds.boxes import BOXES
from transforms.kinds.masks import MASKS
from transforms.kinds.relationships import RELATIONSHIPS

_BOX_KINDS = (DETECTIONS.name, BOX_STRINGS.name, *LAYOUTS)


class Task(NamedTuple):
    """A comparison of detections with the ground truth.

    Attributes:
        noun: what is detected, in plural.
        truths: kinds of the ground truth that it needs, image labels apart.
        detections: kinds of predictions, any of which will do.
        arrange: makes a case of the rows of a bucket.
        match: matches it; None where classes are matched as they are measured (`coco_metric`).
        pools: whether average precision is also measured over all classes at once, and how much
            is found by the best detections of each image.
        own_thresholds: whether it is measured at thresholds of its own, whatever a run's is.
    """

    noun: str
    truths: Sequence[str]
    detections: Sequence[str]
    arrange: Callable[[Mapping[pa.StructType, Rows]], Case]
    match: Callable[[Case, ImageLabels, ClassTree, Rules, float], Matches] | None
    pools: bool = False
    own_thresholds: bool = False


_BOXES = Task("boxes", (BOXES.name,), _BOX_KINDS, arrange.of_boxes, match_boxes)
_PAIRS = Task(
    "relationships",
    (RELATIONSHIPS.name,),
    (PAIR_DETECTIONS.name, PAIR_STRINGS.name),
    arrange.of_pairs,
    match_pairs,
    pools=True,
)

TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "boxes": _BOXES,
        "coco": _BOXES._replace(match=None, own_thresholds=True),
        "masks": Task(
            "masks",
            (BOXES.name, MASKS.name),
            (MASK_DETECTIONS.name, MASK_STRINGS.name),
            arrange.of_masks,
            match_masks,
        ),
        "relationships": _PAIRS,
        "phrases": _PAIRS._replace(arrange=arrange.of_phrases),
    }
)
