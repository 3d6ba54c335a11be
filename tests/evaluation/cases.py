"""Drawn ground truth and detections: on a coarse grid, so that boxes touch, coincide and overlap by
just the threshold."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from tests.evaluation.oracle import Box, Detection, Label, Pair, Truth
from transforms.dataset import rle
from transforms.evaluation import objects
from transforms.evaluation.class_tree import ClassTree
from transforms.evaluation.curves import make_curve
from transforms.evaluation.matching import Verdict
from transforms.evaluation.objects import ImageLabels, Objects, Pairs, Rle
from transforms.evaluation.protocols import Rules
from transforms.evaluation.tasks import TASKS

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
RELATIONS = ["at", "on"]
_IMAGES = ["0", "1", "2"]
#: Height and width of drawn masks.
MASK_SIZE = (6, 8)


class Case(NamedTuple):
    """Ground truth and detections of a few images."""

    truths: list[Truth]
    labels: list[Label]
    detections: list[Detection]


def _boxes(may_be_reversed: bool) -> st.SearchStrategy:
    def ordered(pair: tuple[int, int]) -> tuple[float, float]:
        low, high = pair if may_be_reversed else sorted(pair)
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


class MaskCase(NamedTuple):
    """A case with a mask of each box, (6, 8) bool, or None, and of each detection."""

    case: Case
    true_masks: list[np.ndarray | None]
    masks: list[np.ndarray]


@st.composite
def mask_cases(draw: st.DrawFn) -> MaskCase:
    """Draws rectangles less some pixels, some of them empty; detections have the boxes of their
    masks."""
    case = draw(cases())
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)

    def mask() -> np.ndarray:
        height, width = MASK_SIZE
        pixels = np.zeros(MASK_SIZE, bool)
        top, left = rng.integers(0, height), rng.integers(0, width)
        pixels[top : top + rng.integers(0, height), left : left + rng.integers(0, width)] = True
        return pixels & (rng.random(MASK_SIZE) < rng.choice([0.7, 1.0]))

    true_masks = [mask() if rng.random() < 0.7 else None for _ in case.truths]
    masks = [mask() for _ in case.detections]
    detections = [
        each._replace(box=box_around(pixels))
        for each, pixels in zip(case.detections, masks, strict=True)
    ]
    return MaskCase(case._replace(detections=detections), true_masks, masks)


def box_around(pixels: np.ndarray) -> Box:
    """Returns the box around a mask; zeros where it has no pixels."""
    if not pixels.any():
        return 0.0, 0.0, 0.0, 0.0
    (rows, columns), (height, width) = np.nonzero(pixels), pixels.shape
    horizontal = columns.min() / width, (columns.max() + 1) / width
    return *horizontal, rows.min() / height, (rows.max() + 1) / height


class PairCase(NamedTuple):
    """Relationships of the ground truth, labels, and detected relationships."""

    truths: list[Pair]
    labels: list[Label]
    detections: list[Pair]


@st.composite
def pair_cases(draw: st.DrawFn) -> PairCase:
    """Draws a case of few boxes, so that relationships repeat, with different scores."""
    boxes = draw(st.lists(_boxes(False), min_size=1, max_size=5))
    box, label = st.sampled_from(boxes), st.sampled_from(LABELS)
    pairs = st.builds(
        Pair,
        image=st.sampled_from(_IMAGES),
        labels=st.tuples(label, label),
        relation=st.sampled_from(RELATIONS),
        boxes=st.tuples(box, box),
    )
    truths = draw(st.lists(pairs, max_size=8))
    labels = draw(st.lists(_LABELS, max_size=8))
    others = draw(st.lists(pairs, max_size=12))
    again = draw(st.lists(st.sampled_from(truths), max_size=12)) if truths else []
    detections = draw(st.permutations([*others, *again]))
    scores = draw(st.permutations(range(len(detections))))
    known = {each.image for each in (*truths, *labels)}
    return PairCase(
        truths,
        labels,
        [
            each._replace(score=score / 32)
            for each, score in zip(detections, scores, strict=True)
            if each.image in known
        ],
    )


def to_rle(pixels: np.ndarray | None) -> Rle:
    """Returns a mask as run lengths; None where it has no pixels."""
    if pixels is None or not pixels.any():
        return None
    return {"size": [*pixels.shape], "counts": rle.encode(pixels)[0]}


def to_arrays(
    case: Case, tree: ClassTree, true_masks: Sequence[Rle] = (), masks: Sequence[Rle] = ()
) -> tuple[objects.Case, ImageLabels]:
    """Returns a case as arrays, with masks of its boxes and detections if there are some."""
    numbers = {label: number for number, label in enumerate(tree.labels.to_pylist())}

    def of(rows: Sequence[Truth] | Sequence[Detection]) -> Objects:
        return Objects(
            np.array([int(row.image) for row in rows], np.int32),
            np.array([numbers[row.label] for row in rows], np.int32),
            np.array([row.box for row in rows], np.float64).reshape(-1, 4),
        )

    arrays = objects.Case(
        of(case.truths),
        np.array([truth.is_group for truth in case.truths], bool),
        of(case.detections),
        np.array([each.score for each in case.detections], np.float64),
        true_masks,
        masks,
    )
    return arrays, _labels(case.labels, numbers)


def _labels(labels: Sequence[Label], numbers: Mapping[str, int]) -> ImageLabels:
    return ImageLabels(
        np.array([int(each.image) for each in labels], np.int32),
        np.array([numbers[each.label] for each in labels], np.int32),
        np.array([each.is_positive for each in labels], bool),
    )


def to_pair_arrays(case: PairCase, tree: ClassTree) -> tuple[objects.Case, ImageLabels]:
    """Returns relationships as arrays; relations are among the labels of the tree."""
    numbers = {label: number for number, label in enumerate(tree.labels.to_pylist())}

    def of(rows: Sequence[Pair]) -> Pairs:
        return Pairs(
            np.array([int(row.image) for row in rows], np.int32),
            np.array([numbers[row.relation] for row in rows], np.int32),
            np.array([row.boxes for row in rows], np.float32).reshape(-1, 2, 4),
            np.array([[numbers[each] for each in row.labels] for row in rows], np.int32).reshape(
                -1, 2
            ),
        )

    arrays = objects.Case(
        of(case.truths),
        np.zeros(len(case.truths), bool),
        of(case.detections),
        np.array([each.score for each in case.detections], np.float64),
    )
    return arrays, _labels(case.labels, numbers)


def average_precisions(
    case: objects.Case,
    labels: ImageLabels,
    tree: ClassTree,
    rules: Rules,
    threshold: float,
    task: str = "boxes",
) -> dict[str, float]:
    """Returns the average precision of each class with ground truth."""
    matches = TASKS[task].match(case, labels, tree, rules, threshold)
    found = {}
    for number, label in enumerate(tree.labels.to_pylist()):
        truths = matches.weights[matches.true_classes == number].sum()
        if truths:
            counts = (matches.classes == number) & (matches.verdicts <= Verdict.FOUND_GROUP)
            scores = case.scores[matches.detections[counts]]
            order = np.argsort(-scores, kind="stable")
            values = np.array([0.0, 1.0, rules.group_weight])[matches.verdicts[counts]]
            curve = make_curve(scores[order], values[order], float(truths))
            found[label] = curve.average_precision()
    return found
