"""Overlaps of boxes, pair by pair, as `np_box_ops` of the Object Detection API defines them."""

import numpy as np

#: Columns of boxes.
XMIN, XMAX, YMIN, YMAX = range(4)


def areas(boxes: np.ndarray) -> np.ndarray:
    """Returns the areas of boxes, (n, 4) float64, with the columns xmin, xmax, ymin, ymax."""
    return (boxes[:, YMAX] - boxes[:, YMIN]) * (boxes[:, XMAX] - boxes[:, XMIN])


def intersections(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns the area that the boxes of each pair share, (n,); 0 where they touch or don't."""
    height = np.minimum(first[:, YMAX], second[:, YMAX]) - np.maximum(
        first[:, YMIN], second[:, YMIN]
    )
    width = np.minimum(first[:, XMAX], second[:, XMAX]) - np.maximum(
        first[:, XMIN], second[:, XMIN]
    )
    return np.maximum(0.0, height) * np.maximum(0.0, width)


def ious(detections: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """Returns intersection over union of each pair, (n,); NaN where both have no area."""
    shared = intersections(detections, truths)
    return shared / (areas(detections) + areas(truths) - shared)


def ioas(detections: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """Returns the intersection over the area of the detection, of each pair, (n,)."""
    return intersections(detections, truths) / areas(detections)


def are_degenerate(boxes: np.ndarray) -> np.ndarray:
    """Returns which boxes have no area or are reversed, (n,) bool; NaN is degenerate too."""
    is_sound = (boxes[:, YMIN] < boxes[:, YMAX]) & (boxes[:, XMIN] < boxes[:, XMAX])
    return ~is_sound
