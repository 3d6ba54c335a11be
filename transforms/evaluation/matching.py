"""Matches the detections of many images with their ground truth, without a loop over images.

The rules are those of the Object Detection API's `per_image_evaluation`:

1. A detection looks at the box of its class and image that it overlaps most, groups apart. Where
   their intersection over union reaches the threshold, the detection with the highest score takes
   the box; each box can be taken once.
2. Any other detection looks at the group that it lies in most, by intersection over its own area.
   Where that reaches the threshold, it isn't a false positive: a group counts as found once, with
   the highest score.

What the reference leaves open, the order among equal scores, is here the order of the rows.
"""

import dataclasses
import enum
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from transforms.evaluation.boxes import are_degenerate, ioas, ious
from transforms.evaluation.class_tree import ClassTree
from transforms.evaluation.protocols import Rules

#: The most detections of a class in an image that count, as in the reference.
MOST_DETECTIONS = 10_000
_PAIRS = 1 << 21  # whose overlaps are in memory at once


class Verdict(enum.IntEnum):
    """What becomes of a detection."""

    FALSE_POSITIVE = 0
    TRUE_POSITIVE = 1
    #: It stands for the group that it lies in.
    FOUND_GROUP = 2
    #: It lies in a group that was found already, or that doesn't count.
    IN_GROUP = 3
    #: Nobody verified whether its class is in the image.
    UNVERIFIED = 4
    #: Its box has no area.
    DEGENERATE = 5
    #: It is beyond the `MOST_DETECTIONS`.
    TOO_MANY = 6


class Objects(NamedTuple):
    """Boxes of images, of the ground truth or detected.

    Attributes:
        images: (n,) int32, the place of the image of each in the bucket.
        classes: (n,) int32.
        boxes: (n, 4) float64: xmin, xmax, ymin, ymax in the frame of the picture.
    """

    images: np.ndarray
    classes: np.ndarray
    boxes: np.ndarray

    def take(self, places: np.ndarray) -> "Objects":
        """Returns those at some places."""
        return Objects(self.images[places], self.classes[places], self.boxes[places])

    def keys(self, tree: ClassTree) -> np.ndarray:
        """Returns a number for the image and class of each, (n,) int64."""
        return self.images.astype(np.int64) * len(tree.labels) + self.classes


@dataclasses.dataclass(frozen=True)
class Bucket:
    """The images of a bucket, with classes as numbers of a `ClassTree`.

    Attributes:
        truths: boxes of the ground truth.
        is_group: which of them are around a group, bool.
        detections: detected boxes.
        scores: of them, (n,) float64.
        labels: the image and class of each verified image label, (m,) int32 twice.
        is_positive: which of these are positive, bool.
    """

    truths: Objects
    is_group: np.ndarray
    detections: Objects
    scores: np.ndarray
    labels: tuple[np.ndarray, np.ndarray]
    is_positive: np.ndarray


class Matches(NamedTuple):
    """Detections and what became of them; with expanded detections, each as often as it counts.

    Attributes:
        detections: the place in `Bucket.detections` of each, (n,) int64.
        classes: by which each counts, (n,) int32.
        verdicts: (n,) int8 of `Verdict`.
        truths: the place in `true_objects` of the box that it was held against, (n,) int64; -1
            where there was none.
        overlaps: with it, (n,) float64; 0 where there was none.
        true_objects: the place in `Bucket.truths` of each box of the ground truth, as often as it
            counts, (m,) int64.
        true_classes: by which each counts, (m,) int32.
    """

    detections: np.ndarray
    classes: np.ndarray
    verdicts: np.ndarray
    truths: np.ndarray
    overlaps: np.ndarray
    true_objects: np.ndarray
    true_classes: np.ndarray

    def found(self) -> np.ndarray:
        """Returns which boxes of the ground truth were found, (m,) bool."""
        found = np.zeros(len(self.true_objects), bool)
        is_match = np.isin(self.verdicts, [Verdict.TRUE_POSITIVE, Verdict.FOUND_GROUP])
        found[self.truths[is_match]] = True
        return found


def match_boxes(bucket: Bucket, tree: ClassTree, rules: Rules, threshold: float) -> Matches:
    """Matches boxes.

    Args:
        bucket: the images.
        tree: the classes.
        rules: of the protocol.
        threshold: of intersection over union, and over the area of a detection in a group.
    """
    true_objects, truths = _expand(bucket.truths, tree, rules.expands_boxes)
    places, detections = _expand(bucket.detections, tree, rules.expands_detections)
    scores = bucket.scores[places]
    verdicts = np.full(len(places), Verdict.FALSE_POSITIVE, np.int8)
    keys = detections.keys(tree)
    if rules.verified_only:
        verified = np.concatenate([truths.keys(tree), _verified(bucket, tree, rules)])
        verdicts[~np.isin(keys, verified)] = Verdict.UNVERIFIED
    verdicts[are_degenerate(detections.boxes)] = Verdict.DEGENERATE

    # From here on by image and class, the highest score first.
    counted = np.flatnonzero(verdicts == Verdict.FALSE_POSITIVE)
    counted = counted[np.lexsort((counted, -scores[counted], keys[counted]))]
    is_beyond = _ranks(keys[counted]) >= MOST_DETECTIONS
    verdicts[counted[is_beyond]] = Verdict.TOO_MANY
    counted = counted[~is_beyond]

    matched = np.full(len(places), -1, np.int64)
    overlaps = np.zeros(len(places))
    is_group = bucket.is_group[true_objects]
    truth_keys = truths.keys(tree)
    for of_groups, measure in ((False, ious), (True, ioas)):
        candidates = np.flatnonzero(is_group == of_groups)
        candidates = candidates[np.argsort(truth_keys[candidates], kind="stable")]
        best, overlap = _best(
            detections.boxes[counted],
            keys[counted],
            truths.boxes[candidates],
            truth_keys[candidates],
            measure,
        )
        reaches = (best >= 0) & (overlap >= threshold)
        held = reaches if of_groups else best >= 0
        matched[counted[held]] = candidates[best[held]]
        overlaps[counted[held]] = overlap[held]
        at, truth = counted[reaches], best[reaches]
        if of_groups:
            verdicts[at] = Verdict.IN_GROUP
            if rules.group_weight:
                is_first = _are_first(truth, scores[at] > 0)
                verdicts[at[is_first]] = Verdict.FOUND_GROUP
        else:
            verdicts[at[_are_first(truth)]] = Verdict.TRUE_POSITIVE
            counted = counted[verdicts[counted] == Verdict.FALSE_POSITIVE]
    return Matches(
        places,
        detections.classes,
        verdicts,
        matched,
        overlaps,
        true_objects,
        truths.classes,
    )


def _expand(objects: Objects, tree: ClassTree, expands: bool) -> tuple[np.ndarray, Objects]:
    """Returns objects, if it is asked for under each class above theirs too, and their places."""
    if not expands:
        return np.arange(len(objects.classes)), objects
    places, classes = tree.above.expand(objects.classes)
    return places, Objects(objects.images[places], classes, objects.boxes[places])


def _verified(bucket: Bucket, tree: ClassTree, rules: Rules) -> np.ndarray:
    """Returns keys as of `Objects.keys` of the images and classes that labels verify."""
    images, classes = bucket.labels
    images = images.astype(np.int64)
    if not rules.expands_labels:
        return images * len(tree.labels) + classes
    keys = []
    for reach, some in ((tree.above, bucket.is_positive), (tree.below, ~bucket.is_positive)):
        places, expanded = reach.expand(classes[some])
        keys.append(images[some][places] * len(tree.labels) + expanded)
    return np.concatenate(keys)


def _ranks(keys: np.ndarray) -> np.ndarray:
    """Returns the place of each of sorted keys among those that equal it, (n,) int64."""
    starts = np.flatnonzero(np.diff(keys, prepend=keys[:1] - 1))
    counts = np.diff(np.append(starts, len(keys)))
    return np.arange(len(keys)) - np.repeat(starts, counts)


def _are_first(values: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
    """Returns where values occur for the first time, (n,) bool; only `among` some of them."""
    places = np.arange(len(values)) if among is None else np.flatnonzero(among)
    is_first = np.zeros(len(values), bool)
    is_first[places[np.unique(values[places], return_index=True)[1]]] = True
    return is_first


def _best(
    boxes: np.ndarray,
    keys: np.ndarray,
    truths: np.ndarray,
    truth_keys: np.ndarray,
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the truth with the same key that each box overlaps most, the first of several.

    Args:
        boxes: (n, 4).
        keys: (n,), of their images and classes.
        truths: (m, 4).
        truth_keys: (m,), sorted.
        measure: gives the overlap of pairs.

    Returns:
        The place of each one's truth, or -1, (n,) int64; and their overlaps, (n,).
    """
    starts = np.searchsorted(truth_keys, keys, "left")
    counts = np.searchsorted(truth_keys, keys, "right") - starts
    best, overlaps = np.full(len(keys), -1, np.int64), np.zeros(len(keys))
    some = np.flatnonzero(counts)
    ends = np.cumsum(counts[some])
    while len(some):
        # As many as fit in memory with their pairs, or one.
        fit = max(1, int(np.searchsorted(ends - (ends[0] - counts[some[0]]), _PAIRS, "right")))
        now, some, ends = some[:fit], some[fit:], ends[fit:]
        width = counts[now]
        begin = np.cumsum(width) - width
        pair_truths = np.arange(width.sum()) - np.repeat(begin - starts[now], width)
        pair_overlaps = measure(np.repeat(boxes[now], width, axis=0), truths[pair_truths])
        most = np.maximum.reduceat(pair_overlaps, begin)
        is_most = pair_overlaps == np.repeat(most, width)
        of = np.repeat(np.arange(len(now)), width)[is_most]
        first = np.flatnonzero(np.diff(of, prepend=-1))
        best[now[of[first]]] = pair_truths[is_most][first]
        overlaps[now] = most
    return best, overlaps
