"""Why detections are wrong: what they overlap most, of whatever class."""

import enum
from typing import NamedTuple

import numpy as np

from transforms.evaluation.boxes import ious
from transforms.evaluation.class_tree import ClassTree
from transforms.evaluation.matching import Matches, Verdict, find_best
from transforms.evaluation.objects import Case, Objects

#: Below this overlap, a detection isn't near an object.
NEAR = 0.1


class Reason(enum.IntEnum):
    """Why a detection is a false positive."""

    #: It overlaps an object of its class enough, which another detection has found.
    DUPLICATE = 0
    #: It overlaps an object enough whose class is above or below its own, or that has a class above
    #: it in common with it, the root apart.
    SIMILAR_CLASS = 1
    #: It overlaps an object of any other class enough.
    OTHER_CLASS = 2
    #: It overlaps an object of its class, and not enough.
    LOCALISATION = 3
    #: None of these.
    BACKGROUND = 4


class Reasons(NamedTuple):
    """The reasons of n detections of `Matches`.

    Attributes:
        reasons: (n,) int8 of `Reason`; -1 where the detection isn't a false positive.
        classes: of the object of another class that it overlaps enough, (n,) int32; -1 where there
            is none.
    """

    reasons: np.ndarray
    classes: np.ndarray


def no_reasons(count: int) -> Reasons:
    """Returns the reasons of objects that are no false positives."""
    return Reasons(np.full(count, -1, np.int8), np.full(count, -1, np.int32))


def find_reasons(
    case: Case[Objects], matches: Matches, tree: ClassTree, threshold: float
) -> Reasons:
    """Returns why detections are wrong: by the overlaps of their matches, and by boxes with objects
    of other classes.

    Args:
        case: what was matched.
        matches: what became of it.
        tree: the classes.
        threshold: of intersection over union.
    """
    reasons = np.full(len(matches.verdicts), -1, np.int8)
    others = np.full(len(matches.verdicts), -1, np.int32)
    wrong = np.flatnonzero(matches.verdicts == Verdict.FALSE_POSITIVE)
    places = matches.detections[wrong]
    order = np.argsort(case.truths.images, kind="stable")
    best, overlap = find_best(
        places,
        case.detections.images,
        order,
        case.truths.images,
        lambda some, objects: ious(case.detections.boxes[some], case.truths.boxes[objects]),
    )
    is_duplicate = (matches.truths[wrong] >= 0) & (matches.overlaps[wrong] >= threshold)
    is_near = (matches.truths[wrong] >= 0) & (matches.overlaps[wrong] >= NEAR)
    given = np.append(case.truths.classes, -1)[best]
    is_other = (best >= 0) & (overlap >= threshold) & (given != matches.classes[wrong])
    is_related = np.zeros(len(wrong), bool)
    is_related[is_other] = tree.are_related(matches.classes[wrong][is_other], given[is_other])
    reasons[wrong] = np.select(
        [is_duplicate, is_other & is_related, is_other, is_near],
        [Reason.DUPLICATE, Reason.SIMILAR_CLASS, Reason.OTHER_CLASS, Reason.LOCALISATION],
        Reason.BACKGROUND,
    )
    confused_with = is_other & ~is_duplicate
    others[wrong[confused_with]] = given[confused_with]
    return Reasons(reasons, others)
