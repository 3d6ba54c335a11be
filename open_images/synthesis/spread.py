"""Spreads a table's rows over images: how many each image has, and where its rows lie.

A table is a stack of layers. Layer k holds the k-th row of each of the first so many images of a
split, fewer from layer to layer; so an image has a definite number of rows, most have few and some
have many. A permutation of the stack then scatters an image's rows over the whole file. Every row
is a function of its position alone, so a file of any size can be made piece by piece.
"""

import math
from typing import NamedTuple

import numpy as np


class Proportion(NamedTuple):
    """How a table spreads over images.

    Attributes:
      mean: rows for each image, counting all images.
      share: about which part of the images has any.
    """

    mean: float
    share: float


class Rows(NamedTuple):
    """Some consecutive rows of a file.

    Attributes:
      image: uint64 (n,), the number of the row's image in the corpus.
      layer: int64 (n,), the how-manieth row of its image this is, from 0.
    """

    image: np.ndarray
    layer: np.ndarray


class Spread:
    """The rows of one table in one split."""

    def __init__(self, images: range, proportion: Proportion) -> None:
        """Spreads over `images`, numbers in the corpus, in the given proportion."""
        # Layers of sizes share * (1 - k / layers)^2 add up to share * layers / 3 for each image.
        single = proportion.mean <= proportion.share
        self.layers = 1 if single else math.ceil(3 * proportion.mean / proportion.share)
        weights = (1 - (np.arange(self.layers) + 0.5) / self.layers) ** 2
        total = round(proportion.mean * len(images))
        ends = np.round(np.cumsum(weights) / weights.sum() * total).astype(np.int64)
        sizes = np.minimum(np.diff(ends, prepend=0), len(images))
        self._ends = np.cumsum(sizes)
        self._first_image = images.start
        self.total = int(self._ends[-1])
        self._stride = _coprime(self.total)
        # Else every file would begin with the same image.
        self._offset = np.uint64(self.total // 3)

    def rows(self, start: int, stop: int) -> Rows:
        """The rows at positions `start` to `stop` of the file."""
        position = np.arange(start, stop, dtype=np.uint64)
        place = ((position * self._stride + self._offset) % self.total).astype(np.int64)
        layer = np.searchsorted(self._ends, place, side="right")
        begins = np.concatenate([[0], self._ends[:-1]])
        image = place - begins[layer] + self._first_image
        return Rows(image.astype(np.uint64), layer)


def _coprime(total: int) -> np.uint64:
    """A stride near the golden section of `total` that reaches every row once."""
    stride = max(1, int(total * 0.6180339887))
    while math.gcd(stride, total) > 1:
        stride += 1
    return np.uint64(stride)
