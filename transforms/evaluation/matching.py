"""Matches the detections of many images with their ground truth, without a loop over images.

The rules are those of the Object Detection API's `per_image_evaluation`. A detection is held
against objects in stages, until one settles it:

1. It looks at the object of its class and image that it overlaps most, groups apart. Where their
   intersection over union reaches the threshold, the detection with the highest score takes the
   object; each can be taken once.
2. It looks at the group that it lies in most, by intersection over its own area. Where that reaches
   the threshold, it isn't a false positive: a group counts as found once, with the highest score.

Masks are first held against masks in this way, and then, by their boxes, against objects whose mask
isn't known, which don't count. Relationships have the first stage alone, by the lesser overlap of
their two boxes, as `per_image_vrd_evaluation` has it.

What the reference leaves open, the order among equal scores, is here the order of the rows.
"""

import dataclasses
import enum
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from transforms.evaluation.boxes import are_degenerate, ioas, ious
from transforms.evaluation.class_tree import ClassTree
from transforms.evaluation.masks import MaskOverlaps
from transforms.evaluation.objects import Case, ImageLabels, Objects, Pairs, class_keys
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
    #: Its box has no area, or its mask no pixels.
    DEGENERATE = 5
    #: It is beyond the `MOST_DETECTIONS`.
    TOO_MANY = 6
    #: It has found an object whose mask isn't known.
    MASK_UNKNOWN = 7


class Matches(NamedTuple):
    """Detections and what became of them; with expanded detections, each as often as it counts.

    Attributes:
        detections: the place in `Case.detections` of each, (n,) int64.
        classes: by which each counts, (n,) int32.
        verdicts: (n,) int8 of `Verdict`.
        truths: the place in `true_objects` of the object that it was held against, (n,) int64; -1
            where there was none.
        overlaps: with it, (n,) float64; 0 where there was none.
        true_objects: the place in `Case.truths` of each object of the ground truth, as often as it
            counts, (m,) int64.
        true_classes: by which each counts, (m,) int32.
        weights: (m,) float64; 0 where an object counts neither as found nor as missed.
    """

    detections: np.ndarray
    classes: np.ndarray
    verdicts: np.ndarray
    truths: np.ndarray
    overlaps: np.ndarray
    true_objects: np.ndarray
    true_classes: np.ndarray
    weights: np.ndarray

    def found(self) -> np.ndarray:
        """Returns which objects of the ground truth were found, (m,) bool."""
        found = np.zeros(len(self.true_objects), bool)
        is_match = np.isin(self.verdicts, [Verdict.TRUE_POSITIVE, Verdict.FOUND_GROUP])
        found[self.truths[is_match]] = True
        return found


#: Gives the overlaps, (p,), of pairs of places: of detections and of objects of the ground truth.
Measure = Callable[[np.ndarray, np.ndarray], np.ndarray]


class _Stage(NamedTuple):
    """Objects that detections are held against.

    Attributes:
        candidates: which objects, (m,) bool.
        measure: the overlap with one.
        first: what becomes of the first detection that reaches the threshold with an object; None
            for what becomes of others.
        others: what becomes of the others; None for what the next stages say.
    """

    candidates: np.ndarray
    measure: Measure
    first: Verdict | None
    others: Verdict | None


def match_boxes(
    case: Case[Objects], labels: ImageLabels, tree: ClassTree, rules: Rules, threshold: float
) -> Matches:
    """Matches boxes.

    Args:
        case: boxes of the images.
        labels: of the images.
        tree: the classes.
        rules: of the protocol.
        threshold: of intersection over union, and over the area of a detection in a group.
    """
    case, matches = _begin(case, labels, tree, rules)
    stages = [
        _Stage(
            ~case.is_group,
            _of_boxes(ious, case.detections, case.truths),
            Verdict.TRUE_POSITIVE,
            None,
        ),
        _group_stage(case.is_group, _of_boxes(ioas, case.detections, case.truths), rules),
    ]
    return _match(case, matches, tree, threshold, stages)


def match_masks(
    case: Case[Objects], labels: ImageLabels, tree: ClassTree, rules: Rules, threshold: float
) -> Matches:
    """Matches masks; arguments as of `match_boxes`."""
    case, matches = _begin(case, labels, tree, rules)
    has_mask = np.array([each is not None for each in case.true_masks], bool)
    matches = matches._replace(weights=np.where(has_mask, matches.weights, 0.0))
    masks = MaskOverlaps(case.masks, case.true_masks)
    boxes = case.detections, case.truths
    stages = [
        _Stage(has_mask & ~case.is_group, masks.ious, Verdict.TRUE_POSITIVE, None),
        _group_stage(has_mask & case.is_group, masks.ioas, rules),
        _Stage(~has_mask & ~case.is_group, _of_boxes(ious, *boxes), Verdict.MASK_UNKNOWN, None),
        _group_stage(~has_mask & case.is_group, _of_boxes(ioas, *boxes), rules),
    ]
    return _match(case, matches, tree, threshold, stages)


def match_pairs(
    case: Case[Pairs], labels: ImageLabels, tree: ClassTree, rules: Rules, threshold: float
) -> Matches:
    """Matches relationships, by both boxes or by the one around both; arguments as of
    `match_boxes`.

    One counts where both of its classes were verified in the image, or where one of them surely
    isn't in it. Boxes without area are false positives.
    """
    verdicts = np.full(len(case.scores), Verdict.FALSE_POSITIVE, np.int8)
    if rules.verified_only:
        verdicts[~_are_judged(case.truths, case.detections, labels, tree)] = Verdict.UNVERIFIED
    every, size = np.ones(len(case.is_group), bool), len(case.is_group)
    matches = _unmatched(
        np.arange(len(verdicts)),
        case.detections,
        verdicts,
        np.arange(size),
        case.truths,
        np.ones(size),
    )
    measure = _of_pairs if case.detections.boxes.ndim == 3 else _of_boxes
    overlaps = measure(ious, case.detections, case.truths)
    stage = _Stage(every, overlaps, Verdict.TRUE_POSITIVE, None)
    return _match(case, matches, tree, threshold, [stage])


def _are_judged(
    truths: Pairs, detections: Pairs, labels: ImageLabels, tree: ClassTree
) -> np.ndarray:
    """Returns for which relationships the classes are known to be there, or one not to be."""
    there = np.concatenate([class_keys(truths.images, end, tree) for end in truths.ends.T])
    named = class_keys(labels.images, labels.classes, tree)
    both = np.ones(len(detections.images), bool)
    is_absent = ~both
    for end in detections.ends.T:
        keys = class_keys(detections.images, end, tree)
        is_there, is_named = np.isin(keys, there), np.isin(keys, named)
        both &= is_there | is_named
        is_absent |= is_named & ~is_there
    return both | is_absent


def _begin(
    case: Case, labels: ImageLabels, tree: ClassTree, rules: Rules
) -> tuple[Case[Objects], Matches]:
    """Returns the objects as often as they count, and them as matches where none is matched."""
    true_objects, truths = _expand(case.truths, tree, rules.expands_boxes)
    places, detections = _expand(case.detections, tree, rules.expands_detections)
    verdicts = np.full(len(places), Verdict.FALSE_POSITIVE, np.int8)
    if rules.verified_only:
        verified = np.concatenate([truths.keys(tree), _verified(labels, tree, rules)])
        verdicts[~np.isin(detections.keys(tree), verified)] = Verdict.UNVERIFIED
    verdicts[are_degenerate(detections.boxes)] = Verdict.DEGENERATE
    is_group = case.is_group[true_objects]
    expanded = Case(
        truths,
        is_group,
        detections,
        case.scores[places],
        [case.true_masks[at] for at in true_objects] if len(case.true_masks) else (),
        [case.masks[at] for at in places] if len(case.masks) else (),
    )
    weights = np.where(is_group, rules.group_weight, 1.0)
    return expanded, _unmatched(places, detections, verdicts, true_objects, truths, weights)


def _unmatched(
    places: np.ndarray,
    detections: Objects,
    verdicts: np.ndarray,
    true_objects: np.ndarray,
    truths: Objects,
    weights: np.ndarray,
) -> Matches:
    nowhere, none = np.full(len(places), -1, np.int64), np.zeros(len(places))
    return Matches(
        places, detections.classes, verdicts, nowhere, none, true_objects, truths.classes, weights
    )


def _group_stage(groups: np.ndarray, measure: Measure, rules: Rules) -> _Stage:
    first = Verdict.FOUND_GROUP if rules.group_weight else None
    return _Stage(groups, measure, first, Verdict.IN_GROUP)


def _of_boxes(
    overlaps: Callable[[np.ndarray, np.ndarray], np.ndarray], detections: Objects, truths: Objects
) -> Measure:
    return lambda places, objects: overlaps(detections.boxes[places], truths.boxes[objects])


def _of_pairs(
    overlaps: Callable[[np.ndarray, np.ndarray], np.ndarray], detections: Objects, truths: Objects
) -> Measure:
    def measure(places: np.ndarray, objects: np.ndarray) -> np.ndarray:
        first, second = (
            overlaps(detections.boxes[places, end], truths.boxes[objects, end]) for end in (0, 1)
        )
        return np.minimum(first, second)

    return measure


def _match(
    case: Case[Objects],
    unmatched: Matches,
    tree: ClassTree,
    threshold: float,
    stages: Sequence[_Stage],
) -> Matches:
    """Returns matches of detections: by image and class, the highest score first."""
    keys, scores = case.detections.keys(tree), case.scores
    verdicts, truths = unmatched.verdicts.copy(), unmatched.truths.copy()
    overlaps = unmatched.overlaps.copy()
    waiting = np.flatnonzero(verdicts == Verdict.FALSE_POSITIVE)
    waiting = waiting[np.lexsort((waiting, -scores[waiting], keys[waiting]))]
    is_beyond = ranks_among_equals(keys[waiting]) >= MOST_DETECTIONS
    verdicts[waiting[is_beyond]] = Verdict.TOO_MANY
    waiting = waiting[~is_beyond]
    true_keys = case.truths.keys(tree)
    for stage in stages:
        candidates = np.flatnonzero(stage.candidates)
        candidates = candidates[np.argsort(true_keys[candidates], kind="stable")]
        best, overlap = find_best(waiting, keys, candidates, true_keys, stage.measure)
        reaches = (best >= 0) & (overlap >= threshold)
        # Below the threshold a detection keeps its nearest object, groups apart: reasons need it.
        is_nearest = (best >= 0) & (truths[waiting] < 0) & (stage.others is None)
        held = reaches | is_nearest
        truths[waiting[held]] = best[held]
        overlaps[waiting[held]] = overlap[held]
        at, objects = waiting[reaches], best[reaches]
        if stage.others is not None:
            verdicts[at] = stage.others
        if stage.first is not None:
            # A group isn't found by scores that are 0 or less.
            among = scores[at] > 0 if stage.first == Verdict.FOUND_GROUP else None
            verdicts[at[_are_first(objects, among)]] = stage.first
        waiting = waiting[verdicts[waiting] == Verdict.FALSE_POSITIVE]
    return unmatched._replace(verdicts=verdicts, truths=truths, overlaps=overlaps)


def _expand(objects: Objects, tree: ClassTree, expands: bool) -> tuple[np.ndarray, Objects]:
    """Returns objects, if it is asked for under each class above theirs too, and their places."""
    if not expands:
        return np.arange(len(objects.classes)), objects
    places, classes = tree.above.expand(objects.classes)
    return places, dataclasses.replace(objects.take(places), classes=classes)


def _verified(labels: ImageLabels, tree: ClassTree, rules: Rules) -> np.ndarray:
    """Returns keys as of `Objects.keys` of the images and classes that labels verify."""
    if not rules.expands_labels:
        return class_keys(labels.images, labels.classes, tree)
    keys = []
    for reach, some in ((tree.above, labels.is_positive), (tree.below, ~labels.is_positive)):
        places, expanded = reach.expand(labels.classes[some])
        keys.append(class_keys(labels.images[some][places], expanded, tree))
    return np.concatenate(keys)


def ranks_among_equals(keys: np.ndarray) -> np.ndarray:
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


def find_best(
    waiting: np.ndarray,
    keys: np.ndarray,
    candidates: np.ndarray,
    true_keys: np.ndarray,
    measure: Measure,
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the object with the same key that each detection overlaps most, the first of several.

    Args:
        waiting: places of detections, (w,).
        keys: of all detections.
        candidates: places of objects, in order of their keys, (c,).
        true_keys: of all objects.
        measure: gives the overlap of pairs.

    Returns:
        The place of each one's object, or -1, (w,) int64; and their overlaps, (w,).
    """
    found = true_keys[candidates]
    starts = np.searchsorted(found, keys[waiting], "left")
    counts = np.searchsorted(found, keys[waiting], "right") - starts
    best, overlaps = np.full(len(waiting), -1, np.int64), np.zeros(len(waiting))
    some = np.flatnonzero(counts)
    ends = np.cumsum(counts[some])
    while len(some):
        # As many as fit in memory with their pairs, or one.
        fit = max(1, int(np.searchsorted(ends - (ends[0] - counts[some[0]]), _PAIRS, "right")))
        now, some, ends = some[:fit], some[fit:], ends[fit:]
        width = counts[now]
        begin = np.cumsum(width) - width
        objects = candidates[np.arange(width.sum()) - np.repeat(begin - starts[now], width)]
        pair_overlaps = measure(np.repeat(waiting[now], width), objects)
        most = np.maximum.reduceat(pair_overlaps, begin)
        is_most = pair_overlaps == np.repeat(most, width)
        of = np.repeat(np.arange(len(now)), width)[is_most]
        first = np.flatnonzero(np.diff(of, prepend=-1))
        best[now[of[first]]] = objects[is_most][first]
        overlaps[now] = most
    return best, overlaps
