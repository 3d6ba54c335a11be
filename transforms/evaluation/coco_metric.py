"""COCO's metric, class by class, by faster-coco-eval; https://cocodataset.org/#detection-eval.

COCO matches and measures each class by itself, and its figures are means over classes: so each
class is measured alone, in the memory that its rows take.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

#: COCO's figures by the names that the Object Detection API prints, and whether they need the sizes
#: of pictures: small is less than 32² pixels, large more than 96².
FIGURES: Mapping[str, bool] = {
    "Precision/mAP": False,
    "Precision/mAP@.50IOU": False,
    "Precision/mAP@.75IOU": False,
    "Precision/mAP (small)": True,
    "Precision/mAP (medium)": True,
    "Precision/mAP (large)": True,
    "Recall/AR@1": False,
    "Recall/AR@10": False,
    "Recall/AR@100": False,
    "Recall/AR@100 (small)": True,
    "Recall/AR@100 (medium)": True,
    "Recall/AR@100 (large)": True,
}
_ALL, _SMALL, _MEDIUM, _LARGE = range(4)  # of areas
_ONE, _TEN, _HUNDRED = range(3)  # of detections an image
#: The slice of thresholds and the area of each figure of precision; below, the area and the number
#: of detections of each figure of recall.
_OF_PRECISION = (
    *((slice(None), _ALL), (slice(0, 1), _ALL), (slice(5, 6), _ALL)),
    *((slice(None), area) for area in (_SMALL, _MEDIUM, _LARGE)),
)
_OF_RECALL = (
    *((_ALL, most) for most in (_ONE, _TEN, _HUNDRED)),
    *((area, _HUNDRED) for area in (_SMALL, _MEDIUM, _LARGE)),
)


class CocoObjects(NamedTuple):
    """Boxes of one class, in order of their images and rows.

    Attributes:
        images: keys, (n,) uint64.
        boxes: left, top, width and height in pixels, (n, 4) float64; in pictures whose size isn't
            known, in other units.
        values: of the ground truth 1 for a group and else 0; of detections their scores; (n,)
            float64.
    """

    images: np.ndarray
    boxes: np.ndarray
    values: np.ndarray


class CocoFigures(NamedTuple):
    """The figures of a class.

    Attributes:
        values: as of `FIGURES`; None where no ground truth counts.
        curve: precision at 101 recalls from 0 to 1, at an IoU of 0.5.
    """

    values: Sequence[float | None]
    curve: Sequence[float]


def measure(truths: CocoObjects, detections: CocoObjects) -> CocoFigures:
    """Returns the figures of one class.

    Args:
        truths: boxes of the ground truth.
        detections: detected boxes of the same class.
    """
    keys, numbers = np.unique(
        np.concatenate([truths.images, detections.images]), return_inverse=True
    )
    images = numbers[: len(truths.images)]
    annotations = [
        {
            "id": number,
            "image_id": int(image),
            "category_id": 1,
            "bbox": box.tolist(),
            "area": float(box[2] * box[3]),
            "iscrowd": int(is_group),
        }
        for number, (image, box, is_group) in enumerate(
            zip(images, truths.boxes, truths.values, strict=True), 1
        )
    ]
    truth = COCO(
        {
            "images": [{"id": number} for number in range(len(keys))],
            "annotations": annotations,
            "categories": [{"id": 1, "name": ""}],
        }
    )
    found = np.column_stack(
        [
            numbers[len(images) :],
            detections.boxes,
            detections.values,
            np.ones(len(detections.images)),
        ]
    )
    evaluation = COCOeval_faster(truth, truth.loadRes(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    # By threshold, recall, class, area, and detections an image; and without recall.
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    precisions = [precision[some, :, 0, area, _HUNDRED] for some, area in _OF_PRECISION]
    recalls = [recall[:, 0, area, most] for area, most in _OF_RECALL]
    values = [_mean(each) for each in (*precisions, *recalls)]
    curve = precision[0, :, 0, _ALL, _HUNDRED]
    return CocoFigures(values, tuple(curve.tolist()) if values[0] is not None else ())


def _mean(values: np.ndarray) -> float | None:
    """Returns the mean of what is known: -1 says that it isn't."""
    known = values[values > -1]
    return float(known.mean()) if known.size else None
