"""One picture of all masks of an image: by mask, or by class."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from transforms.dataset import rle

MAX_INDEX = 65_535


def instance_map(
    counts: Sequence[bytes | None], areas: Sequence[int | None], height: int, width: int
) -> np.ndarray:
    """Draws masks over each other, the smaller on top; of equal ones the later.

    Args:
        counts: each mask as COCO's compressed counts at height x width; None for one that failed.
        areas: each mask's area in pixels.
        height: of the map.
        width: of the map.

    Returns:
        (height, width) uint16: the number, from 1, of the mask on top at each pixel; 0 for none.

    Raises:
        ValueError: for more than 65,535 masks.
    """
    if len(counts) > MAX_INDEX:
        raise ValueError(f"{len(counts)} masks; a 16-bit map holds {MAX_INDEX}")
    # Column by column in memory, as the decoded masks are: drawing runs straight through both.
    drawn = np.zeros((height, width), np.uint16, order="F")
    present = [
        (-area, number, count)
        for number, (count, area) in enumerate(zip(counts, areas, strict=True), 1)
        if count is not None and area is not None
    ]
    for _, number, count in sorted(present):
        np.copyto(drawn, number, where=rle.decode(count, height, width))
    return drawn


def semantic_map(instances: np.ndarray, classes: Sequence[int | None]) -> np.ndarray:
    """An instance map with each mask's number replaced by its class.

    Args:
        instances: (height, width) uint16, from `instance_map`.
        classes: each mask's class index, from 1; None for a class that has none.

    Returns:
        (height, width) uint16; 0 for none.

    Raises:
        ValueError: for a class index outside 1 to 65,535.
    """
    if any(index is not None and not 1 <= index <= MAX_INDEX for index in classes):
        raise ValueError(
            f"a class index outside 1 to {MAX_INDEX}, which is what a 16-bit map holds"
        )
    return np.array([0, *(index or 0 for index in classes)], np.uint16)[instances]


def encode_map(drawn: np.ndarray) -> bytes:
    """Returns a (height, width) uint16 map as a 16-bit grey PNG; equal maps give equal bytes."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(drawn)).save(buffer, "PNG")
    return buffer.getvalue()
