"""Objects of images as arrays: of the ground truth, and detected."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, Self, TypeVar

import numpy as np

from transforms.evaluation.class_tree import ClassTree

#: A mask as COCO's compressed run lengths: `{"size": [height, width], "counts": bytes}`.
Rle = dict[str, Any]


def class_keys(images: np.ndarray, classes: np.ndarray, tree: ClassTree) -> np.ndarray:
    """Returns a number for each image and its class, (n,) int64.

    Args:
        images: their places in the bucket, (n,) int32.
        classes: (n,) int32.
        tree: the classes.
    """
    return images.astype(np.int64) * len(tree.labels) + classes


@dataclasses.dataclass(frozen=True)
class Objects:
    """Objects of images.

    Attributes:
        images: (n,) int32, the place of the image of each in the bucket.
        classes: (n,) int32, by which they are ranked.
        boxes: (n, 4): xmin, xmax, ymin, ymax in the frame of the picture; float64, and float32 of
            phrases.
    """

    images: np.ndarray
    classes: np.ndarray
    boxes: np.ndarray

    def take(self, places: np.ndarray) -> Self:
        """Returns those at some places."""
        taken = {
            field.name: getattr(self, field.name)[places] for field in dataclasses.fields(self)
        }
        return dataclasses.replace(self, **taken)

    def join(self, others: Self) -> Self:
        """Returns these, followed by others."""
        joined = {
            field.name: np.concatenate([getattr(self, field.name), getattr(others, field.name)])
            for field in dataclasses.fields(self)
        }
        return dataclasses.replace(self, **joined)

    def keys(self, tree: ClassTree) -> np.ndarray:
        """Returns a number for what each may be matched with, (n,) int64: its image and class."""
        return class_keys(self.images, self.classes, tree)


@dataclasses.dataclass(frozen=True)
class Pairs(Objects):
    """Relationships, ranked by their relation; two boxes each, (n, 2, 4) float32.

    Attributes:
        ends: classes of subject and object, (n, 2) int32.
    """

    ends: np.ndarray

    def keys(self, tree: ClassTree) -> np.ndarray:
        """Likewise: its image, both classes and relation."""
        keys = self.images.astype(np.int64)
        for each in (self.ends[:, 0], self.ends[:, 1], self.classes):
            keys = keys * len(tree.labels) + each
        return keys


_Objects = TypeVar("_Objects", bound=Objects, covariant=True)


class Case(NamedTuple, Generic[_Objects]):
    """Objects of one sort in the images of a bucket.

    Attributes:
        truths: of the ground truth.
        is_group: which of them are around a group, (m,) bool.
        detections: detected.
        scores: of the detections, (n,) float64.
        true_masks: of the ground truth, m of them, None where it isn't known or has no pixels;
            empty where masks aren't asked for.
        masks: likewise of the detections, n of them.
        slices: of the ground truth, (m,) bits as of `slices`; empty where there are none.
    """

    truths: _Objects
    is_group: np.ndarray
    detections: _Objects
    scores: np.ndarray
    true_masks: Sequence[Rle | None] = ()
    masks: Sequence[Rle | None] = ()
    slices: np.ndarray = np.zeros(0, np.int32)

    def of_itself(self) -> Self:
        """Returns the case where the ground truth is what was detected, groups with lower scores:
        so that none takes an object in it."""
        scores = np.where(self.is_group, 0.5, 1.0)
        return self._replace(detections=self.truths, scores=scores, masks=self.true_masks)


class ImageLabels(NamedTuple):
    """Verified labels of the images of a bucket.

    Attributes:
        images: the place of the image of each in the bucket, (k,) int32.
        classes: numbers of their classes, (k,) int32.
        is_positive: (k,) bool.
    """

    images: np.ndarray
    classes: np.ndarray
    is_positive: np.ndarray
