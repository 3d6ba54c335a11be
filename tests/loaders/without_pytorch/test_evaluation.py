"""Matching gives the values of the reference: the Object Detection API's evaluators, and MMEval's
`OIDMeanAP` for the protocol of MMDetection."""

import sys
import types
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.evaluation.cases import (
    ABOVE,
    LABELS,
    PARENTS,
    Case,
    average_precisions,
    cases,
    to_bucket,
)
from transforms.evaluation.class_tree import ClassTree
from transforms.evaluation.protocols import PROTOCOLS, Rules

_TREE = ClassTree.of(LABELS, PARENTS)
_CATEGORIES = [{"id": number, "name": label} for number, label in enumerate(LABELS, 1)]
_IDS = {each["name"]: each["id"] for each in _CATEGORIES}


@pytest.fixture(autouse=True, scope="module")
def surroundings() -> Iterator[None]:
    """What the evaluators were written for: names that NumPy had, and label maps without the
    messages of an old protobuf."""
    label_maps = types.ModuleType("object_detection.utils.label_map_util")
    label_maps.create_category_index = lambda some: {each["id"]: each for each in some}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"float": float, "bool": bool, "NAN": np.nan, "int": int}.items():
            if name not in vars(np):
                patch.setattr(np, name, value, raising=False)
        patch.setitem(sys.modules, label_maps.__name__, label_maps)
        yield


def _expanded(case: Case, rules: Rules) -> Case:
    """Expands a case as the Object Detection API's script expands files."""
    truths, labels, detections = case
    below = {label: {each for each, some in ABOVE.items() if label in some} for label in LABELS}
    if rules.expands_boxes:
        truths = [
            each._replace(label=label)
            for each in truths
            for label in (each.label, *sorted(ABOVE.get(each.label, ())))
        ]
    if rules.expands_labels:
        labels = [
            each._replace(label=label)
            for each in labels
            for label in (
                each.label,
                *sorted((ABOVE if each.is_positive else below).get(each.label, ())),
            )
        ]
    return Case(truths, labels, detections)


def _boxes(rows: list) -> np.ndarray:
    order = [2, 0, 3, 1]  # ymin, xmin, ymax, xmax
    return np.array([row.box for row in rows], float).reshape(-1, 4)[:, order]


def _reference(case: Case, evaluator: object) -> dict[str, float]:
    images = sorted({each.image for some in case for each in some})
    for image in images:
        truths, labels, detections = (
            [each for each in some if each.image == image] for some in case
        )
        evaluator.add_single_ground_truth_image_info(
            image,
            {
                "groundtruth_boxes": _boxes(truths),
                "groundtruth_classes": np.array([_IDS[each.label] for each in truths], int),
                "groundtruth_group_of": np.array([each.is_group for each in truths], bool),
                "groundtruth_image_classes": np.array([_IDS[each.label] for each in labels], int),
            },
        )
        evaluator.add_single_detected_image_info(
            image,
            {
                "detection_boxes": _boxes(detections),
                "detection_scores": np.array([each.score for each in detections], float),
                "detection_classes": np.array([_IDS[each.label] for each in detections], int),
            },
        )
    found = {}
    for name, value in evaluator.evaluate().items():
        if "PerformanceByCategory/AP" in name and not np.isnan(value):
            found[name.rsplit("/", 1)[1]] = float(value)
    return found


@settings(
    max_examples=1000,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(cases(), st.sampled_from(["oid_v2", "challenge"]), st.sampled_from([0.25, 0.5, 0.75]))
def test_the_object_detection_api(case: Case, protocol: str, threshold: float):
    from object_detection.utils import object_detection_evaluation as api

    rules = PROTOCOLS[protocol].rules
    make = {
        "oid_v2": api.OpenImagesDetectionEvaluator,
        "challenge": api.OpenImagesChallengeEvaluator,
    }[protocol]
    evaluator = make(_CATEGORIES, matching_iou_threshold=threshold)
    with np.errstate(all="ignore"):
        expected = _reference(_expanded(case, rules), evaluator)
    found = average_precisions(to_bucket(case, _TREE), _TREE, rules, threshold)
    assert found == pytest.approx(expected, abs=1e-9)


def _without_ties_of_groups(case: Case) -> bool:
    return all(each.score > 0 for each in case.detections)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(cases().filter(_without_ties_of_groups), st.sampled_from([0.25, 0.5]))
def test_mmeval(case: Case, threshold: float):
    from mmeval import OIDMeanAP

    relations = np.eye(len(LABELS))
    for label, some in ABOVE.items():
        for each in some:
            relations[_IDS[label] - 1, _IDS[each] - 1] = 1
    # A box without area is a false positive to it.
    sound = [each for each in case.detections if _has_area(each.box)]
    measure = OIDMeanAP(
        iof_thrs=threshold,
        iou_thrs=threshold,
        num_classes=len(LABELS),
        class_relation_matrix=relations,
        classwise=True,
    )
    images = sorted({each.image for some in (case.truths, case.labels) for each in some})
    predictions, truths = [], []
    for image in images:
        own = [each for each in sound if each.image == image]
        predictions.append(
            {
                "bboxes": _corners(own),
                "scores": np.array([each.score for each in own], float),
                "labels": np.array([_IDS[each.label] - 1 for each in own], int),
            }
        )
        truths.append(
            {
                "instances": [
                    {
                        "bbox": _corners([each])[0].tolist(),
                        "bbox_label": _IDS[each.label] - 1,
                        "is_group_of": each.is_group,
                    }
                    for each in case.truths
                    if each.image == image
                ],
                "image_level_labels": np.array(
                    [_IDS[each.label] - 1 for each in case.labels if each.image == image], int
                ),
            }
        )
    if not case.truths:
        return
    with np.errstate(all="ignore"):
        results = measure(predictions=predictions, groundtruths=truths)
    rules = PROTOCOLS["mmdet"].rules
    found = average_precisions(
        to_bucket(case._replace(detections=sound), _TREE), _TREE, rules, threshold
    )
    assert np.mean(list(found.values())) == pytest.approx(results["mAP"], abs=1e-5)


def _has_area(box: tuple[float, float, float, float]) -> bool:
    return box[0] < box[1] and box[2] < box[3]


def _corners(rows: list) -> np.ndarray:
    return np.array([row.box for row in rows], float).reshape(-1, 4)[:, [0, 2, 1, 3]]
