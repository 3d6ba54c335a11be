"""Matching equals a naive evaluation, and obeys the rules case by case."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation import oracle
from tests.evaluation.cases import (
    ABOVE,
    LABELS,
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
from tests.evaluation.oracle import Detection, Label, Truth
from transforms.evaluation import matching
from transforms.evaluation.arrange import around
from transforms.evaluation.class_tree import ClassTree
from transforms.evaluation.matching import Verdict, match_boxes
from transforms.evaluation.protocols import PROTOCOLS, Rules

_TREE = ClassTree.of(LABELS, PARENTS)
_ALL_RULES = [
    Rules(*switches, weight)
    for switches in itertools.product([False, True], repeat=4)
    for weight in (0.0, 0.5, 1.0)
]
_WHOLE = (0.0, 1.0, 0.0, 1.0)


@settings(max_examples=400)
@given(cases(), st.sampled_from(_ALL_RULES), st.sampled_from([0.25, 0.5, 1.0]))
def test_average_precisions_equal_those_of_a_naive_evaluation(
    case: Case, rules: Rules, threshold: float
):
    expected = oracle.average_precisions(*case, ABOVE, rules, threshold)
    found = average_precisions(*to_arrays(case, _TREE), _TREE, rules, threshold)
    assert found == pytest.approx(expected, abs=1e-12)


@settings(max_examples=200)
@given(mask_cases(), st.sampled_from([0.25, 0.5, 0.75]))
def test_masks_equal_a_naive_evaluation(drawn: MaskCase, threshold: float):
    case = drawn.case
    known = [mask if mask is not None and mask.any() else None for mask in drawn.true_masks]
    expected = oracle.mask_precisions(
        list(zip(case.truths, known, strict=True)),
        case.labels,
        list(zip(case.detections, drawn.masks, strict=True)),
        ABOVE,
        threshold,
    )
    masks = [to_rle(each) for each in drawn.true_masks], [to_rle(each) for each in drawn.masks]
    arrays = to_arrays(case, _TREE, *masks)
    rules = PROTOCOLS["challenge_segmentation"].rules
    found = average_precisions(*arrays, _TREE, rules, threshold, "masks")
    assert found == pytest.approx(expected, abs=1e-12)


@settings(max_examples=200)
@given(pair_cases(), st.booleans(), st.sampled_from([0.25, 0.5]))
def test_relationships_equal_a_naive_evaluation(case: PairCase, is_phrase: bool, threshold: float):
    if not case.truths:
        return
    tree = ClassTree.of([*LABELS, *RELATIONS], PARENTS)
    with np.errstate(all="ignore"):
        expected = oracle.pair_metrics(*case, threshold, is_phrase)
        arrays, labels = to_pair_arrays(case, tree)
        if is_phrase:
            arrays = arrays._replace(
                truths=around(arrays.truths), detections=around(arrays.detections)
            )
        rules = PROTOCOLS["relationships"].rules
        found = average_precisions(arrays, labels, tree, rules, threshold, "relationships")
    assert {f"AP/{name}": value for name, value in found.items()} == pytest.approx(
        {name: value for name, value in expected.items() if name.startswith("AP/")}, abs=1e-12
    )


@given(cases(), st.sampled_from(_ALL_RULES))
def test_pairs_in_pieces_match_alike(case: Case, rules: Rules):
    arrays = to_arrays(case, _TREE)
    whole = match_boxes(*arrays, _TREE, rules, 0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "_PAIRS", 2)
        pieces = match_boxes(*arrays, _TREE, rules, 0.5)
    for one, other in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(one, other)


def _verdicts(case: Case, protocol: str) -> list[Verdict]:
    matches = match_boxes(*to_arrays(case, _TREE), _TREE, PROTOCOLS[protocol].rules, 0.5)
    return [Verdict(each) for each in matches.verdicts]


def _detect(label: str = "a", box: oracle.Box = _WHOLE, score: float = 0.5) -> Detection:
    return Detection("0", label, box, score)


_HALF = (0.0, 0.5, 0.0, 1.0)
_TRUE, _FALSE = Verdict.TRUE_POSITIVE, Verdict.FALSE_POSITIVE


@pytest.mark.parametrize(
    ("case", "protocol", "expected"),
    [
        # The higher score takes the box, whatever the order; of equal ones the first row.
        (
            Case([Truth("0", "a", _WHOLE, False)], [], [_detect(score=0.1), _detect(score=0.9)]),
            "oid_v2",
            [_FALSE, _TRUE],
        ),
        (
            Case([Truth("0", "a", _WHOLE, False)], [], [_detect(), _detect()]),
            "oid_v2",
            [_TRUE, _FALSE],
        ),
        # Exactly the threshold is enough.
        (
            Case([Truth("0", "a", _WHOLE, False)], [], [_detect(box=_HALF)]),
            "oid_v2",
            [_TRUE],
        ),
        # A detection looks at one box alone, though another would be free.
        (
            Case([Truth("0", "a", _WHOLE, False)] * 2, [], [_detect(score=0.9), _detect()]),
            "oid_v2",
            [_TRUE, _FALSE],
        ),
        # A group is found once, if it counts.
        (
            Case([Truth("0", "a", _WHOLE, True)], [], [_detect(box=_HALF), _detect(score=0.9)]),
            "challenge",
            [Verdict.IN_GROUP, Verdict.FOUND_GROUP],
        ),
        (
            Case([Truth("0", "a", _WHOLE, True)], [], [_detect(box=_HALF), _detect(score=0.9)]),
            "oid_v2",
            [Verdict.IN_GROUP, Verdict.IN_GROUP],
        ),
        # What nobody verified doesn't count; a class that surely isn't there is wrong.
        (
            Case([], [Label("0", "b", False)], [_detect(), _detect("b")]),
            "challenge",
            [Verdict.UNVERIFIED, _FALSE],
        ),
        # Where there is no a, there is nothing below it either.
        (Case([], [Label("0", "a", False)], [_detect("c")]), "challenge", [_FALSE]),
        (Case([], [Label("0", "a", True)], [_detect("c")]), "challenge", [Verdict.UNVERIFIED]),
        # A box of e is one of a, b and d, and none of the root.
        (
            Case([Truth("0", "e", _WHOLE, False)], [], [_detect(label) for label in "abder"]),
            "challenge",
            [_TRUE, _TRUE, _TRUE, _TRUE, Verdict.UNVERIFIED],
        ),
        # Boxes without area, or reversed, don't count.
        (
            Case(
                [Truth("0", "a", _WHOLE, False)],
                [],
                [_detect(box=(0.5, 0.5, 0.0, 1.0)), _detect(box=(0.0, 1.0, 1.0, 0.0))],
            ),
            "oid_v2",
            [Verdict.DEGENERATE, Verdict.DEGENERATE],
        ),
    ],
)
def test_verdicts(case: Case, protocol: str, expected: list[Verdict]):
    assert _verdicts(case, protocol) == expected


def test_only_so_many_detections_count(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(matching, "MOST_DETECTIONS", 2)
    case = Case([Truth("0", "a", _WHOLE, False)], [], [_detect(score=n / 8) for n in range(4)])
    assert _verdicts(case, "oid_v2") == [Verdict.TOO_MANY, Verdict.TOO_MANY, _FALSE, _TRUE]
