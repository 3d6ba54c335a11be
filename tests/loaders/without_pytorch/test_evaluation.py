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
    MASK_SIZE,
    PARENTS,
    RELATIONS,
    Case,
    MaskCase,
    PairCase,
    average_precisions,
    cases,
    mask_cases,
    pair_cases,
    to_arrays,
    to_pair_arrays,
    to_rle,
)
from tests.evaluation.oracle import Pair, pair_metrics
from transforms.evaluation.arrange import around
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


def _reference(
    case: Case,
    evaluator: object,
    true_masks: list[np.ndarray] | None = None,
    masks: list[np.ndarray] | None = None,
) -> dict[str, float]:
    images = sorted({each.image for some in case for each in some})
    for image in images:
        truths, labels, detections = (
            [each for each in some if each.image == image] for some in case
        )
        more, found = {}, {}
        if true_masks is not None and masks is not None:
            more = {"groundtruth_instance_masks": _of_image(true_masks, case.truths, image)}
            found = {"detection_masks": _of_image(masks, case.detections, image)}
        evaluator.add_single_ground_truth_image_info(
            image,
            {
                "groundtruth_boxes": _boxes(truths),
                "groundtruth_classes": np.array([_IDS[each.label] for each in truths], int),
                "groundtruth_group_of": np.array([each.is_group for each in truths], bool),
                "groundtruth_image_classes": np.array([_IDS[each.label] for each in labels], int),
                **more,
            },
        )
        evaluator.add_single_detected_image_info(
            image,
            {
                "detection_boxes": _boxes(detections),
                "detection_scores": np.array([each.score for each in detections], float),
                "detection_classes": np.array([_IDS[each.label] for each in detections], int),
                **found,
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
    found = average_precisions(*to_arrays(case, _TREE), _TREE, rules, threshold)
    assert found == pytest.approx(expected, abs=1e-9)


def _of_image(masks: list[np.ndarray], rows: list, image: str) -> np.ndarray:
    """Returns the masks of an image, (n, height, width)."""
    own = [mask for mask, row in zip(masks, rows, strict=True) if row.image == image]
    return np.array(own, np.uint8).reshape(-1, *MASK_SIZE)


@settings(
    max_examples=500,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(mask_cases(), st.sampled_from([0.25, 0.5, 0.75]))
def test_masks(drawn: MaskCase, threshold: float):
    from object_detection.utils import object_detection_evaluation as api

    rules = PROTOCOLS["challenge_segmentation"].rules
    evaluator = api.OpenImagesInstanceSegmentationChallengeEvaluator(
        _CATEGORIES, matching_iou_threshold=threshold
    )
    expanded = _expanded(drawn.case, rules)
    pixels = [np.zeros(MASK_SIZE, bool) if each is None else each for each in drawn.true_masks]
    true_masks = [
        mask
        for truth, mask in zip(drawn.case.truths, pixels, strict=True)
        for _ in (truth.label, *ABOVE.get(truth.label, ()))
    ]
    with np.errstate(all="ignore"):
        expected = _reference(expanded, evaluator, true_masks, drawn.masks)
    rles = [to_rle(each) for each in drawn.true_masks], [to_rle(each) for each in drawn.masks]
    arrays = to_arrays(drawn.case, _TREE, *rles)
    found = average_precisions(*arrays, _TREE, rules, threshold, "masks")
    assert found == pytest.approx(expected, abs=1e-9)


_PAIR_TREE = ClassTree.of([*LABELS, *RELATIONS], PARENTS)
_PAIR_IDS = {name: number for number, name in enumerate([*LABELS, *RELATIONS])}


@settings(
    max_examples=1000,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(pair_cases(), st.sampled_from(["relationships", "phrases"]), st.sampled_from([0.25, 0.5]))
def test_relationships(case: PairCase, protocol: str, threshold: float):
    from object_detection.utils import vrd_evaluation as api

    make = {
        "relationships": api.VRDRelationDetectionEvaluator,
        "phrases": api.VRDPhraseDetectionEvaluator,
    }[protocol]
    evaluator = make(matching_iou_threshold=threshold)
    for image in sorted({each.image for some in (case.truths, case.labels) for each in some}):
        truths, labels, detections = (
            [each for each in some if each.image == image] for some in case
        )
        verified = np.array([_PAIR_IDS[each.label] for each in labels], int)
        evaluator.add_single_ground_truth_image_info(
            image,
            {
                "groundtruth_boxes": _pair_boxes(truths, api),
                "groundtruth_classes": _pair_labels(truths, api),
                "groundtruth_image_classes": verified,
            },
        )
        evaluator.add_single_detected_image_info(
            image,
            {
                "detection_boxes": _pair_boxes(detections, api),
                "detection_classes": _pair_labels(detections, api),
                "detection_scores": np.array([each.score for each in detections], float),
            },
        )
    if not case.truths or not case.detections:
        return
    with np.errstate(all="ignore"):
        metrics = evaluator.evaluate()
    expected = {
        name: metrics[f"{evaluator._metric_prefix}AP@{threshold}IOU/{_PAIR_IDS[name]}"]
        for name in RELATIONS
        if any(each.relation == name for each in case.truths)
    }
    arrays, labels = to_pair_arrays(case, _PAIR_TREE)
    if protocol == "phrases":
        arrays = arrays._replace(truths=around(arrays.truths), detections=around(arrays.detections))
    rules = PROTOCOLS[protocol].rules
    with np.errstate(all="ignore"):
        found = average_precisions(arrays, labels, _PAIR_TREE, rules, threshold, protocol)
    assert found == pytest.approx(expected, abs=1e-9)
    # What pools all relations is measured by `tests/evaluation` against these.
    with np.errstate(all="ignore"):
        naive = pair_metrics(*case, threshold, protocol == "phrases")
    for name in ("mAP", "weightedAP", "Recall@50", "Recall@100"):
        value = metrics[f"{evaluator._metric_prefix}{name}@{threshold}IOU"]
        assert naive[name] == pytest.approx(value, abs=1e-9)


def _pair_boxes(pairs: list[Pair], api: types.ModuleType) -> np.ndarray:
    boxes = np.zeros(len(pairs), api.vrd_box_data_type)
    for at, name in enumerate(("subject", "object")):
        corners = np.array([each.boxes[at] for each in pairs], np.float32).reshape(-1, 4)
        boxes[name] = corners[:, [2, 0, 3, 1]]
    return boxes


def _pair_labels(pairs: list[Pair], api: types.ModuleType) -> np.ndarray:
    labels = np.zeros(len(pairs), api.label_data_type)
    for at, name in enumerate(("subject", "object")):
        labels[name] = [_PAIR_IDS[each.labels[at]] for each in pairs]
    labels["relation"] = [_PAIR_IDS[each.relation] for each in pairs]
    return labels


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
        *to_arrays(case._replace(detections=sound), _TREE), _TREE, rules, threshold
    )
    assert np.mean(list(found.values())) == pytest.approx(results["mAP"], abs=1e-5)


def _has_area(box: tuple[float, float, float, float]) -> bool:
    return box[0] < box[1] and box[2] < box[3]


def _corners(rows: list) -> np.ndarray:
    return np.array([row.box for row in rows], float).reshape(-1, 4)[:, [0, 2, 1, 3]]
