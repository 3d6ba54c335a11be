"""Evaluates some images of a corpus of `benchmarks.evaluation` by the code of others, and prints
the seconds that it took beyond reading and importing.

Usage: python benchmarks/evaluation_peers.py NAME CORPUS IMAGES
"""

import csv
import itertools
import sys
import time
import types
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_THRESHOLD = 0.5


class Image(NamedTuple):
    """An image: boxes are rows of xmin, ymin, xmax, ymax, and classes numbers from 0."""

    boxes: np.ndarray
    classes: np.ndarray
    is_group: np.ndarray
    verified: np.ndarray
    detections: np.ndarray
    detected: np.ndarray
    scores: np.ndarray


def read_corpus(corpus: Path, images: int) -> tuple[list[Image], int]:
    """Returns the first images, and the number of classes."""
    rows: dict[str, dict[str, list[dict[str, str]]]] = defaultdict(lambda: defaultdict(list))
    names = {
        "truth/validation-annotations-bbox.csv": "boxes",
        "truth/validation-annotations-human-imagelabels-boxable.csv": "labels",
        "detections.csv": "detections",
    }
    wanted: dict[str, None] = {}
    for path, kind in names.items():
        with open(corpus / path, newline="") as file:
            for row in csv.DictReader(file):
                image = row["ImageID"]
                if image not in wanted:
                    if len(wanted) == images:
                        if kind == "boxes":
                            break
                        continue
                    wanted[image] = None
                rows[image][kind].append(row)
    every = {row["LabelName"] for some in rows.values() for each in some.values() for row in each}
    numbers = {label: number for number, label in enumerate(sorted(every))}
    return [_image(rows[image], numbers) for image in wanted], len(numbers)


def _image(rows: dict[str, list[dict[str, str]]], numbers: dict[str, int]) -> Image:
    def corners(some: list[dict[str, str]]) -> np.ndarray:
        sides = ("XMin", "YMin", "XMax", "YMax")
        return np.array([[float(row[side]) for side in sides] for row in some]).reshape(-1, 4)

    def classes(some: list[dict[str, str]]) -> np.ndarray:
        return np.array([numbers[row["LabelName"]] for row in some], int)

    return Image(
        corners(rows["boxes"]),
        classes(rows["boxes"]),
        np.array([row["IsGroupOf"] == "1" for row in rows["boxes"]], bool),
        classes(rows["labels"]),
        corners(rows["detections"]),
        classes(rows["detections"]),
        np.array([float(row["Score"]) for row in rows["detections"]]),
    )


def by_reference(images: list[Image], classes: int) -> float:
    """The Object Detection API's evaluator of the Challenge."""
    for name, value in {"float": float, "bool": bool, "NAN": np.nan, "int": int}.items():
        if name not in vars(np):  # of the NumPy that it was written for
            setattr(np, name, value)
    # Label maps would need the protobuf that it was written for.
    label_maps: Any = types.ModuleType("object_detection.utils.label_map_util")
    label_maps.create_category_index = lambda some: {each["id"]: each for each in some}
    sys.modules[label_maps.__name__] = label_maps
    from object_detection.utils import object_detection_evaluation as api

    categories = [{"id": number + 1, "name": str(number)} for number in range(classes)]
    evaluator = api.OpenImagesChallengeEvaluator(categories)
    order = [1, 0, 3, 2]
    begin = time.perf_counter()
    for number, image in enumerate(images):
        evaluator.add_single_ground_truth_image_info(
            number,
            {
                "groundtruth_boxes": image.boxes[:, order],
                "groundtruth_classes": image.classes + 1,
                "groundtruth_group_of": image.is_group,
                "groundtruth_image_classes": image.verified + 1,
            },
        )
        evaluator.add_single_detected_image_info(
            number,
            {
                "detection_boxes": image.detections[:, order],
                "detection_scores": image.scores,
                "detection_classes": image.detected + 1,
            },
        )
    evaluator.evaluate()
    return time.perf_counter() - begin


def by_mmeval(images: list[Image], classes: int) -> float:
    """MMEval's `OIDMeanAP`, in two processes."""
    from mmeval import OIDMeanAP

    predictions = [
        {"bboxes": each.detections, "scores": each.scores, "labels": each.detected}
        for each in images
    ]
    truths = [
        {
            "instances": [
                {"bbox": box.tolist(), "bbox_label": int(label), "is_group_of": bool(group)}
                for box, label, group in zip(each.boxes, each.classes, each.is_group, strict=True)
            ],
            "image_level_labels": each.verified,
        }
        for each in images
    ]
    measure = OIDMeanAP(
        iof_thrs=_THRESHOLD,
        iou_thrs=_THRESHOLD,
        num_classes=classes,
        class_relation_matrix=np.eye(classes),
        nproc=2,
    )
    begin = time.perf_counter()
    measure(predictions=predictions, groundtruths=truths)
    return time.perf_counter() - begin


def by_faster_coco_eval(images: list[Image], classes: int) -> float:
    """faster-coco-eval at one threshold, with groups as crowds."""
    from faster_coco_eval import COCO, COCOeval_faster

    def box(corners: np.ndarray) -> list[float]:
        left, top, right, bottom = (corners * 1000).tolist()
        return [left, top, right - left, bottom - top]

    ids = itertools.count(1)
    truth = {
        "images": [{"id": n, "width": 1000, "height": 1000} for n in range(len(images))],
        "categories": [{"id": n, "name": str(n)} for n in range(classes)],
        "annotations": [
            {
                "id": next(ids),
                "image_id": number,
                "category_id": int(label),
                "bbox": box(corners),
                "area": box(corners)[2] * box(corners)[3],
                "iscrowd": int(group),
            }
            for number, each in enumerate(images)
            for corners, label, group in zip(each.boxes, each.classes, each.is_group, strict=True)
        ],
    }
    found = [
        {"image_id": n, "category_id": int(label), "bbox": box(corners), "score": float(score)}
        for n, each in enumerate(images)
        for corners, label, score in zip(each.detections, each.detected, each.scores, strict=True)
    ]
    begin = time.perf_counter()
    dataset = COCO(truth)
    evaluation: Any = COCOeval_faster(dataset, dataset.loadRes(found), "bbox")
    evaluation.params.iouThrs = np.array([_THRESHOLD])
    evaluation.evaluate()
    evaluation.accumulate()
    return time.perf_counter() - begin


EVALUATORS: dict[str, Callable[[list[Image], int], float]] = {
    "reference": by_reference,
    "mmeval": by_mmeval,
    "faster_coco_eval": by_faster_coco_eval,
}


def main(name: str, corpus: str, images: str) -> int:
    """Runs an evaluator and prints its seconds; the exit code."""
    print(EVALUATORS[name](*read_corpus(Path(corpus), int(images))))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
