"""What each rule changes: the steps from one protocol to another."""

import dataclasses
import itertools
from collections.abc import Sequence

from open_images.evaluating.evaluation import ProtocolResult, Step
from transforms.evaluation.match import Run
from transforms.evaluation.protocols import PROTOCOLS, Rules

#: What a step is called, by the rule that changes, in the order of the steps.
_TEXTS = {
    "group_weight": ("a group counts as one box", "groups don't count"),
    "expands_boxes": ("boxes count for the classes above", "boxes count for their class alone"),
    "expands_labels": (
        "image labels verify the classes above and below",
        "image labels verify their class alone",
    ),
    "verified_only": (
        "detections count where their class is verified",
        "detections count whether their class is verified or not",
    ),
    "expands_detections": (
        "detections count for the classes above",
        "detections count for their class alone",
    ),
}


def steps_between(protocols: Sequence[str], iou: float) -> list[Run]:
    """Returns the runs between protocols; each takes one rule more from the next protocol.

    The protocols themselves have runs of their own.
    """
    runs = []
    for first, second in itertools.pairwise(protocols):
        rules, wanted = PROTOCOLS[first].rules, PROTOCOLS[second].rules
        for name in _changes(rules, wanted)[:-1]:
            rules = dataclasses.replace(rules, **{name: getattr(wanted, name)})
            runs.append(Run(f"{first}+{name}", PROTOCOLS[first].task, rules, iou, False))
    return runs


def explain(
    protocols: Sequence[str], results: Sequence[ProtocolResult], between: Sequence[ProtocolResult]
) -> list[Step]:
    """Returns the steps from the first of the protocols to the last.

    Args:
        protocols: names.
        results: of each at one threshold.
        between: of `steps_between`.
    """
    waiting = iter(between)
    before = results[0].mean_average_precision
    steps = [Step(protocols[0], before, None)]
    for place, (first, second) in enumerate(itertools.pairwise(protocols), 1):
        wanted = PROTOCOLS[second].rules
        names = _changes(PROTOCOLS[first].rules, wanted)
        for name in names:
            result = results[place] if name == names[-1] else next(waiting)
            value = result.mean_average_precision
            change = None if value is None or before is None else value - before
            given = getattr(wanted, name)
            text = _TEXTS[name][0 if given else 1]
            steps.append(Step(text, value, change))
            before = value
        steps[-1] = dataclasses.replace(steps[-1], text=f"{steps[-1].text}: {second}")
    return steps


def _changes(rules: Rules, wanted: Rules) -> list[str]:
    return [name for name in _TEXTS if getattr(rules, name) != getattr(wanted, name)]
