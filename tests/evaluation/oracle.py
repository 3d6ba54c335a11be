"""A naive evaluation: one image, one class and one detection at a time, by the written rules."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

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
