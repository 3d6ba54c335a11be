"""Precision, recall and average precision of one class, as `metrics` of the Object Detection API
defines them."""

from typing import NamedTuple

import numpy as np


class Curve(NamedTuple):
    """Precision and recall after each detection, the highest score first.

    Attributes:
        scores: (n,) float64.
        precisions: (n,) float64.
        recalls: (n,) float64.
    """

    scores: np.ndarray
    precisions: np.ndarray
    recalls: np.ndarray

    def average_precision(self) -> float:
        """Returns the area under the curve, where each precision is the best of those at its recall
        or a higher one; 0 without detections."""
        if not len(self.scores):
            return 0.0
        recalls = np.concatenate([[0.0], self.recalls, [1.0]])
        precisions = np.concatenate([[0.0], self.precisions, [0.0]])
        envelope = np.maximum.accumulate(precisions[::-1])[::-1]
        steps = np.flatnonzero(recalls[1:] != recalls[:-1]) + 1
        return float(np.sum((recalls[steps] - recalls[steps - 1]) * envelope[steps]))


def make_curve(
    scores: np.ndarray, found: np.ndarray, truths: float, times: np.ndarray | None = None
) -> Curve:
    """Returns the curve of a class.

    Args:
        scores: of its detections that count, (n,) float64, the highest first.
        found: how much of the ground truth each has found, (n,) float64: 1, the weight of a group,
            or 0 for a false positive.
        truths: how much ground truth there is, more than 0.
        times: how often each detection counts, (n,) float64; None for once.
    """
    is_false = (found <= 0).astype(np.float64)
    if times is not None:
        found, is_false = found * times, is_false * times
        some = times > 0
        scores, found, is_false = scores[some], found[some], is_false[some]
    true, false = np.cumsum(found), np.cumsum(is_false)
    return Curve(scores, true / (true + false), true / truths)
