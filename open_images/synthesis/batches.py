"""A batch: some rows that are made at once, and their random numbers."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from open_images.synthesis.columns import hex16
from open_images.synthesis.identity import draw, image_numbers
from open_images.synthesis.spread import Rows

_MOST_ROWS = 1024  # more than any image has of any table


@dataclass(frozen=True)
class Batch:
    """Some rows to be written.

    Attributes:
      layers: how many rows an image has at most.
      narrative_bytes: the size of a narrative's line.
    """

    seed: int
    release: str
    split: str
    rows: Rows
    layers: int
    narrative_bytes: int

    def draw(self, stream: str, extra_layers: int = 0) -> np.ndarray:
        """Random uint64 (n,) for each row, by image and layer (or a layer further on)."""
        layer = (self.rows.layer + extra_layers).astype(np.uint64)
        return draw(self.seed, stream, self.rows.image * np.uint64(_MOST_ROWS) + layer)

    def image_ids(self) -> pa.Array:
        """The ImageID of each row."""
        return hex16(image_numbers(self.seed, self.rows.image))


def bits(numbers: np.ndarray, first: int, count: int) -> np.ndarray:
    """`count` bits of uint64 numbers from bit `first` on, as uint64."""
    return (numbers >> np.uint64(first)) & np.uint64((1 << count) - 1)
