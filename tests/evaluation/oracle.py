"""A naive evaluation: one image, one class and one detection at a time, by the written rules."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from transforms.evaluation.protocols import Rules

Box = tuple[float, float, float, float]


class Truth(NamedTuple):
    """A box of the ground truth: xmin, xmax, ymin, ymax."""

    image: str
    label: str
    box: Box
    is_group: bool


class Label(NamedTuple):
    """A verified label of an image."""

    image: str
    label: str
    is_positive: bool


class Detection(NamedTuple):
    """A detected box."""

    image: str
    label: str
    box: Box
    score: float


def area(box: Box) -> float:
    """Returns the area of a box."""
    return (box[3] - box[2]) * (box[1] - box[0])


def shared(one: Box, other: Box) -> float:
    """Returns the area that two boxes share."""
    width = min(one[1], other[1]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[2], other[2])
    return max(0.0, height) * max(0.0, width)


def iou(one: Box, other: Box) -> float:
    """Returns intersection over union."""
    common = shared(one, other)
    return common / (area(one) + area(other) - common)


def average_precisions(
    truths: Sequence[Truth],
    labels: Sequence[Label],
    detections: Sequence[Detection],
    above: Mapping[str, Iterable[str]],
    rules: Rules,
    threshold: float,
) -> dict[str, float]:
    """Returns the average precision of each class with ground truth.

    Args:
        truths: boxes.
        labels: of images.
        detections: of images with a truth or a label; no two have equal scores.
        above: the classes above each.
        rules: of the protocol.
        threshold: of IoU.
    """
    below = defaultdict(set)
    for label, some in above.items():
        for each in some:
            below[each].add(label)
    if rules.expands_boxes:
        truths = [
            truth._replace(label=label)
            for truth in truths
            for label in (truth.label, *above.get(truth.label, ()))
        ]
    if rules.expands_labels:
        labels = [
            each._replace(label=label)
            for each in labels
            for label in (each.label, *(above if each.is_positive else below).get(each.label, ()))
        ]
    if rules.expands_detections:
        detections = [
            each._replace(label=label)
            for each in detections
            for label in (each.label, *above.get(each.label, ()))
        ]
    verified = {(each.image, each.label) for each in (*truths, *labels)}
    places = {(each.image, each.label) for each in (*truths, *detections)}
    ranked: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for image, label in sorted(places):
        if rules.verified_only and (image, label) not in verified:
            continue
        own = [each for each in detections if (each.image, each.label) == (image, label)]
        own = [each for each in own if each.box[0] < each.box[1] and each.box[2] < each.box[3]]
        some = [each for each in truths if (each.image, each.label) == (image, label)]
        ranked[label] += _rank(own, some, rules.group_weight, threshold)
    found = {}
    for label in {truth.label for truth in truths}:
        worth = sum(
            rules.group_weight if truth.is_group else 1.0
            for truth in truths
            if truth.label == label
        )
        if worth:
            found[label] = _area_under(sorted(ranked[label], reverse=True), worth)
    return found


def _rank(
    detections: Sequence[Detection], truths: Sequence[Truth], weight: float, threshold: float
) -> list[tuple[float, float]]:
    """Returns score and worth of what counts in an image and class."""
    singles = [truth.box for truth in truths if not truth.is_group]
    groups = [truth.box for truth in truths if truth.is_group]
    taken, best, ranked = set(), {}, []
    for each in sorted(detections, key=lambda each: -each.score):
        overlaps = [iou(each.box, box) for box in singles]
        place = overlaps.index(max(overlaps)) if overlaps else -1
        if overlaps and overlaps[place] >= threshold and place not in taken:
            taken.add(place)
            ranked.append((each.score, 1.0))
            continue
        inside = [shared(each.box, box) / area(each.box) for box in groups]
        group = inside.index(max(inside)) if inside else -1
        if inside and inside[group] >= threshold:
            best[group] = max(best.get(group, 0.0), each.score)
            continue
        ranked.append((each.score, 0.0))
    if weight:
        ranked += [(score, weight) for score in best.values() if score > 0]
    return ranked


def _area_under(ranked: Sequence[tuple[float, float]], worth: float) -> float:
    """Returns the area under precision by recall, each precision the best from there on."""
    points, true, false = [], 0.0, 0
    for _, found in ranked:
        true += found
        false += found == 0
        points.append((true / worth, true / (true + false)))
    total, before = 0.0, 0.0
    for place, (recall, _) in enumerate(points):
        if recall > before:
            total += (recall - before) * max(precision for _, precision in points[place:])
            before = recall
    return total


class Pair(NamedTuple):
    """A relationship; its score is 0 in the ground truth."""

    image: str
    labels: tuple[str, str]
    relation: str
    boxes: tuple[Box, Box]
    score: float = 0.0


def pair_metrics(
    truths: Sequence[Pair],
    labels: Sequence[Label],
    detections: Sequence[Pair],
    threshold: float,
    is_phrase: bool,
) -> dict[str, float]:
    """Returns `AP/…` of each relation, `mAP`, `weightedAP` and `Recall@…`.

    Args:
        truths: of the ground truth, some.
        labels: of images.
        detections: of images with a truth or a label; no two have equal scores.
        threshold: of IoU.
        is_phrase: whether the boxes around both are compared.
    """
    there = {(each.image, label) for each in truths for label in each.labels}
    named = {(each.image, each.label) for each in labels}
    ranked: dict[str, list[tuple[float, float]]] = defaultdict(list)
    found, taken = Counter(), set()
    places: Counter[str] = Counter()
    for each in sorted(detections, key=lambda each: -each.score):
        ends = [(each.image, label) for label in each.labels]
        is_absent = any(end in named and end not in there for end in ends)
        if not is_absent and not all(end in named or end in there for end in ends):
            continue
        own = [at for at, truth in enumerate(truths) if truth[:3] == each[:3]]
        overlaps = [_least_iou(each, truths[at], is_phrase) for at in own]
        # Two boxes without area can't be compared, and what can't be compared is what is looked at.
        unknown = [at for at, each in enumerate(overlaps) if math.isnan(each)]
        best = unknown[0] if unknown else overlaps.index(max(overlaps)) if overlaps else -1
        is_true = best >= 0 and overlaps[best] >= threshold and own[best] not in taken
        if is_true:
            taken.add(own[best])
        ranked[each.relation].append((each.score, float(is_true)))
        for most in (50, 100):
            found[most] += is_true and places[each.image] < most
        places[each.image] += 1
    counts = Counter(each.relation for each in truths)
    metrics = {f"AP/{name}": _area_under(ranked[name], count) for name, count in counts.items()}
    every = sorted((each for some in ranked.values() for each in some), reverse=True)
    return {
        **metrics,
        "mAP": sum(metrics.values()) / len(metrics),
        "weightedAP": _area_under(every, len(truths)),
        **{f"Recall@{most}": found[most] / len(truths) for most in (50, 100)},
    }


def _least_iou(one: Pair, other: Pair, is_phrase: bool) -> float:
    if is_phrase:
        return _iou_or_nan(_around(one.boxes), _around(other.boxes))
    both = [_iou_or_nan(*each) for each in zip(one.boxes, other.boxes, strict=True)]
    return math.nan if any(map(math.isnan, both)) else min(both)


def _iou_or_nan(one: Box, other: Box) -> float:
    return iou(one, other) if area(one) or area(other) else math.nan


def _around(boxes: tuple[Box, Box]) -> Box:
    lefts, rights, tops, bottoms = zip(*boxes, strict=True)
    return min(lefts), max(rights), min(tops), max(bottoms)


def _in_size(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns a mask in another size; each pixel is the one where its middle lies."""
    rows = [math.floor((row + 0.5) * mask.shape[0] / height) for row in range(height)]
    columns = [math.floor((column + 0.5) * mask.shape[1] / width) for column in range(width)]
    return mask[rows][:, columns]


def mask_precisions(
    truths: Sequence[tuple[Truth, np.ndarray | None]],
    labels: Sequence[Label],
    detections: Sequence[tuple[Detection, np.ndarray]],
    above: Mapping[str, Iterable[str]],
    threshold: float,
) -> dict[str, float]:
    """Returns the average precision of masks of each class with ground truth, expanded.

    Args:
        truths: boxes with their masks, bool, or None.
        labels: of images.
        detections: with their masks, whose boxes are around them; no two have equal scores.
        above: the classes above each.
        threshold: of IoU.
    """
    below = defaultdict(set)
    for label, some in above.items():
        for each in some:
            below[each].add(label)
    expanded = [
        (truth._replace(label=label), mask)
        for truth, mask in truths
        for label in (truth.label, *above.get(truth.label, ()))
    ]
    verified = {(truth.image, truth.label) for truth, _ in expanded} | {
        (each.image, label)
        for each in labels
        for label in (each.label, *(above if each.is_positive else below).get(each.label, ()))
    }
    ranked: dict[str, list[tuple[float, float]]] = defaultdict(list)
    taken: set[int] = set()
    for each, mask in sorted(detections, key=lambda each: -each[0].score):
        if (each.image, each.label) not in verified or not mask.any():
            continue
        own = [
            at
            for at, (truth, _) in enumerate(expanded)
            if (truth.image, truth.label) == (each.image, each.label)
        ]
        masked = [at for at in own if expanded[at][1] is not None]
        others = [at for at in own if expanded[at][1] is None]

        def best(places: list[int], measure: Callable[[int], float]) -> int | None:
            some = [(measure(at), -at) for at in places]
            return -max(some)[1] if some and max(some)[0] >= threshold else None

        def of_masks(at: int, mask: np.ndarray = mask) -> float:
            true_mask = expanded[at][1]
            mask = _in_size(mask, *true_mask.shape)
            common = np.count_nonzero(mask & true_mask)
            if expanded[at][0].is_group:
                return common / np.count_nonzero(mask)
            return common / np.count_nonzero(mask | true_mask)

        def of_boxes(at: int, box: Box = each.box) -> float:
            if expanded[at][0].is_group:
                return shared(box, expanded[at][0].box) / area(box)
            return iou(box, expanded[at][0].box)

        verdict = 0.0
        for places, measure in ((masked, of_masks), (others, of_boxes)):
            singles = [at for at in places if not expanded[at][0].is_group]
            groups = [at for at in places if expanded[at][0].is_group]
            found = best(singles, measure)
            if found is not None and found not in taken:
                taken.add(found)
                verdict = 1.0 if places is masked else None
                break
            if best(groups, measure) is not None:
                verdict = None
                break
        if verdict is not None:
            ranked[each.label].append((each.score, verdict))
    counts = Counter(
        truth.label for truth, mask in expanded if mask is not None and not truth.is_group
    )
    return {label: _area_under(ranked[label], count) for label, count in counts.items()}
