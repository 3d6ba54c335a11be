"""The protocols of evaluation: which rules each has, by name.

All but two are those of the Object Detection API's evaluators
(https://storage.googleapis.com/openimages/web/evaluation.html); `mmdet` is that of MMDetection's
`OpenImagesMetric`, and `coco` that of COCO.
"""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


@dataclasses.dataclass(frozen=True)
class Rules:
    """The rules by which detections count.

    Attributes:
        verified_only: whether detections count only where their class was verified in the image:
            it has a box or an image label of that class, positive or negative. Of relationships
            both classes must have been verified, or one of them to be absent.
        expands_boxes: whether boxes of the ground truth count for the classes above theirs too.
        expands_labels: whether a positive image label verifies the classes above its own too, and a
            negative one those below.
        expands_detections: whether detections count for the classes above theirs too.
        group_weight: how much a box around a group counts where a detection lies in it, and, if
            none does, as missed. With 0 it counts nothing, and detections in it aren't counted.
    """

    verified_only: bool
    expands_boxes: bool
    expands_labels: bool
    expands_detections: bool
    group_weight: float

    def without_truth_expansion(self) -> "Rules":
        """Returns the rules for ground truth that is expanded already."""
        return dataclasses.replace(self, expands_boxes=False, expands_labels=False)


class Protocol(NamedTuple):
    """A set of rules that has a name.

    Attributes:
        metric: what the reference calls the mean average precision; has a place for the IoU.
        task: what it compares, as of `tasks.TASKS`.
        rules: its rules.
        about: one line.
    """

    metric: str
    task: str
    rules: Rules
    about: str


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "oid_v2": Protocol(
            "OpenImagesV2_Precision/mAP@{}IOU",
            "boxes",
            Rules(False, False, False, False, 0.0),
            "boxes as they are; detections within groups don't count",
        ),
        "challenge": Protocol(
            "OpenImagesDetectionChallenge_Precision/mAP@{}IOU",
            "boxes",
            Rules(True, True, True, False, 1.0),
            "ground truth expanded by the hierarchy, verified classes alone, a group counts once",
        ),
        "challenge_segmentation": Protocol(
            "OpenImagesInstanceSegmentationChallenge_Precision/mAP@{}IOU",
            "masks",
            Rules(True, True, True, False, 0.0),
            "masks, as challenge; groups and objects whose mask isn't known don't count",
        ),
        "relationships": Protocol(
            "VRDMetric_Relationships_mAP@{}IOU",
            "relationships",
            Rules(True, False, False, False, 0.0),
            "relationships by both boxes; recall of the best 50 and 100 of each image, too",
        ),
        "phrases": Protocol(
            "VRDMetric_Phrases_mAP@{}IOU",
            "phrases",
            Rules(True, False, False, False, 0.0),
            "relationships by the box around both",
        ),
        "mmdet": Protocol(
            "mAP@{}IOU",
            "boxes",
            Rules(True, True, False, True, 1.0),
            "as MMDetection: detections are expanded by the hierarchy too, image labels aren't",
        ),
        "coco": Protocol(
            "DetectionBoxes_Precision/mAP",
            "coco",
            Rules(False, False, False, False, 0.0),
            "COCO's, at thresholds from 0.5 to 0.95: boxes as they are, groups as crowds",
        ),
    }
)
