"""Drawn ground truth and detections: on a coarse grid, so that boxes touch, coincide and overlap by
just the threshold."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from tests.evaluation.oracle import Detection, Label, Truth
from transforms.evaluation.class_tree import ClassTree
from transforms.evaluation.curves import make_curve
from transforms.evaluation.matching import Bucket, Objects, Verdict, match_boxes
from transforms.evaluation.protocols import Rules

#: The parents of each class: d has two, and r is the root.
PARENTS: Mapping[str, Sequence[str]] = {
    "r": (),
    "a": ("r",),
    "b": ("r",),
    "c": ("a",),
    "d": ("a", "b"),
    "e": ("d",),
}
LABELS = sorted(PARENTS)
#: The classes above each, the root apart.
ABOVE = {"c": {"a"}, "d": {"a", "b"}, "e": {"a", "b", "d"}}
_IMAGES = ["0", "1", "2"]


class Case(NamedTuple):
    """Ground truth and detections of a few images."""

    truths: list[Truth]
    labels: list[Label]
    detections: list[Detection]


def _boxes(may_be_degenerate: bool) -> st.SearchStrategy:
    def ordered(pair: tuple[int, int]) -> tuple[float, float]:
        low, high = pair if may_be_degenerate else sorted(pair)
        return low / 8, high / 8

    side = st.tuples(st.integers(0, 8), st.integers(0, 8)).map(ordered)
    return st.tuples(side, side).map(lambda sides: (*sides[0], *sides[1]))


_PLACES = {"image": st.sampled_from(_IMAGES), "label": st.sampled_from(LABELS)}
_TRUTHS = st.builds(Truth, **_PLACES, box=_boxes(False), is_group=st.booleans())
_LABELS = st.builds(Label, **_PLACES, is_positive=st.booleans())
_DETECTIONS = st.builds(Detection, **_PLACES, box=_boxes(True), score=st.just(0.0))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draws a case whose scores are all different, some of them 0 or less."""
    truths = draw(st.lists(_TRUTHS, max_size=12))
    labels = draw(st.lists(_LABELS, max_size=8))
    detections = draw(st.lists(_DETECTIONS, max_size=24))
    scores = draw(st.permutations(range(len(detections))))
    scored = [
        each._replace(score=(score - 1) / 32)
        for each, score in zip(detections, scores, strict=True)
    ]
    known = {each.image for each in (*truths, *labels)}
    return Case(truths, labels, [each for each in scored if each.image in known])


def to_bucket(case: Case, tree: ClassTree) -> Bucket:
    """Returns a case as arrays."""
    numbers = {label: number for number, label in enumerate(tree.labels.to_pylist())}

    def objects(rows: Sequence[Truth] | Sequence[Detection]) -> Objects:
        return Objects(
            np.array([int(row.image) for row in rows], np.int32),
            np.array([numbers[row.label] for row in rows], np.int32),
            np.array([row.box for row in rows], np.float64).reshape(-1, 4),
        )

    return Bucket(
        objects(case.truths),
        np.array([truth.is_group for truth in case.truths], bool),
        objects(case.detections),
        np.array([each.score for each in case.detections], np.float64),
        (
            np.array([int(each.image) for each in case.labels], np.int32),
            np.array([numbers[each.label] for each in case.labels], np.int32),
        ),
        np.array([each.is_positive for each in case.labels], bool),
    )


def average_precisions(
    bucket: Bucket, tree: ClassTree, rules: Rules, threshold: float
) -> dict[str, float]:
    """Returns the average precision of each class with ground truth, by `match_boxes`."""
    matches = match_boxes(bucket, tree, rules, threshold)
    worth = np.where(bucket.is_group[matches.true_objects], rules.group_weight, 1.0)
    found = {}
    for number, label in enumerate(tree.labels.to_pylist()):
        truths = worth[matches.true_classes == number].sum()
        if truths:
            counts = (matches.classes == number) & (matches.verdicts <= Verdict.FOUND_GROUP)
            scores = bucket.scores[matches.detections[counts]]
            order = np.argsort(-scores, kind="stable")
            values = np.array([0.0, 1.0, rules.group_weight])[matches.verdicts[counts]]
            curve = make_curve(scores[order], values[order], float(truths))
            found[label] = curve.average_precision()
    return found
