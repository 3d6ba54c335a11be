"""Batches: rows of a table that are made at once, spread over images, with random numbers.

A table is a stack of layers. Layer k holds the k-th row of each of the first so many images of a
split, fewer from layer to layer; so an image has a definite number of rows, most have few and some
have many. A permutation of the stack then scatters an image's rows over the whole file. Every row
is a function of its position alone, so a file of any size can be made piece by piece.
"""

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from open_images.synthesis.identity import draw, image_numbers
from open_images.synthesis.text import hex16

_MOST_ROWS = 1024  # more than any image has of any table


@dataclass(frozen=True)
class Batch:
    """Some consecutive rows of a file.

    Attributes:
      image: uint64 (n,), the number of the row's image in the corpus.
      layer: int64 (n,), the place of the row among those of its image, from 0.
      layers: how many rows an image has at most.
      narrative_bytes: the size of a narrative's line.
    """

    seed: int
    release: str
    split: str
    image: np.ndarray
    layer: np.ndarray
    layers: int
    narrative_bytes: int

    def draw(self, stream: str, extra_layers: int = 0) -> np.ndarray:
        """Returns random uint64 (n,) for each row, by image and layer (or a layer further on)."""
        layer = (self.layer + extra_layers).astype(np.uint64)
        return draw(self.seed, stream, self.image * np.uint64(_MOST_ROWS) + layer)

    def image_ids(self) -> pa.Array:
        """Returns the ImageID of each row."""
        return hex16(image_numbers(self.seed, self.image))


def bits(numbers: np.ndarray, first: int, count: int) -> np.ndarray:
    """Returns `count` bits of uint64 numbers from bit `first` on, as uint64."""
    return (numbers >> np.uint64(first)) & np.uint64((1 << count) - 1)


class Spread:
    """The rows of one table in one split."""

    def __init__(self, images: range, mean: float, share: float) -> None:
        """Spreads rows over images.

        Args:
          images: their numbers in the corpus.
          mean: rows for each image, counting all images.
          share: about which part of the images has any.
        """
        # Layers of sizes share * (1 - k / layers)^2 add up to share * layers / 3 for each image.
        self.layers = 1 if mean <= share else math.ceil(3 * mean / share)
        weights = (1 - (np.arange(self.layers) + 0.5) / self.layers) ** 2
        total = round(mean * len(images))
        ends = np.round(np.cumsum(weights) / weights.sum() * total).astype(np.int64)
        sizes = np.minimum(np.diff(ends, prepend=0), len(images))
        self._ends = np.cumsum(sizes)
        self._first_image = images.start
        self.total = int(self._ends[-1])
        self._stride = _coprime(self.total)
        # Else every file would begin with the same image.
        self._offset = np.uint64(self.total // 3)

    def rows(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns image and layer, as `Batch` has them, at positions `start` to `stop`."""
        position = np.arange(start, stop, dtype=np.uint64)
        place = ((position * self._stride + self._offset) % self.total).astype(np.int64)
        layer = np.searchsorted(self._ends, place, side="right")
        begins = np.concatenate([[0], self._ends[:-1]])
        image = place - begins[layer] + self._first_image
        return image.astype(np.uint64), layer


def _coprime(total: int) -> np.uint64:
    """Returns a stride near the golden section of `total` that reaches every row once."""
    stride = max(1, int(total * 0.6180339887))
    while math.gcd(stride, total) > 1:
        stride += 1
    return np.uint64(stride)
