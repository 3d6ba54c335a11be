"""The geometry of regions: groups, boxes and points."""

from typing import NamedTuple

import numpy as np

from open_images.synthesis.render import Region

_GROUP_OF = 5  # Open Images draws one box around more than so many touching instances


class Bounds(NamedTuple):
    """Normalised [0, 1] box, origin top left."""

    xmin: float
    xmax: float
    ymin: float
    ymax: float


def grouped(regions: list[Region]) -> list[Region]:
    """Returns the regions of a picture, those of large groups as one."""
    groups: dict[int, list[Region]] = {}
    for number, region in enumerate(regions):
        group = region.thing.group
        groups.setdefault(group if group >= 0 else -1 - number, []).append(region)
    result = []
    for members in groups.values():
        if len(members) >= _GROUP_OF:
            mask = np.logical_or.reduce([member.mask for member in members])
            truncated = any(member.truncated for member in members)
            # Members hide one another; that says nothing of the group.
            members = [Region(members[0].thing, mask, False, truncated, is_group=True)]
        result += members
    return result


def _pixel_bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Returns first and last column, first and last row (inclusive) of a mask that isn't empty."""
    columns = np.flatnonzero(mask.any(axis=0))
    rows = np.flatnonzero(mask.any(axis=1))
    return int(columns[0]), int(columns[-1]), int(rows[0]), int(rows[-1])


def centre_bounds(mask: np.ndarray) -> Bounds:
    """Returns the box through the centres of the outermost pixels, as extreme clicks give it.

    At the picture's edge it reaches 0 or 1.
    """
    x0, x1, y0, y1 = _pixel_bounds(mask)
    height, width = mask.shape
    return Bounds(
        0.0 if x0 == 0 else (x0 + 0.5) / width,
        1.0 if x1 == width - 1 else (x1 + 0.5) / width,
        0.0 if y0 == 0 else (y0 + 0.5) / height,
        1.0 if y1 == height - 1 else (y1 + 0.5) / height,
    )


def edge_bounds(mask: np.ndarray) -> Bounds:
    """Returns the box along the outer edges of the outermost pixels."""
    x0, x1, y0, y1 = _pixel_bounds(mask)
    height, width = mask.shape
    return Bounds(x0 / width, (x1 + 1) / width, y0 / height, (y1 + 1) / height)


def extreme_points(mask: np.ndarray, bounds: Bounds) -> list[tuple[float, float]]:
    """Returns the top, left, bottom and right extreme points: (x, y) on the object's box."""
    x0, x1, y0, y1 = _pixel_bounds(mask)
    height, width = mask.shape

    def middle(line: np.ndarray) -> int:
        on = np.flatnonzero(line)
        return int(on[len(on) // 2])

    return [
        ((middle(mask[y0]) + 0.5) / width, bounds.ymin),
        (bounds.xmin, (middle(mask[:, x0]) + 0.5) / height),
        ((middle(mask[y1]) + 0.5) / width, bounds.ymax),
        (bounds.xmax, (middle(mask[:, x1]) + 0.5) / height),
    ]


def interior(mask: np.ndarray, margin: int = 3) -> np.ndarray:
    """Returns the pixels of a mask that are `margin` away from its border; all if there are none.

    The edge of the picture is no border.
    """
    padded = np.pad(mask, margin, mode="edge")
    height, width = mask.shape
    inner = mask.copy()
    for dy, dx in ((0, margin), (2 * margin, margin), (margin, 0), (margin, 2 * margin)):
        inner &= padded[dy : dy + height, dx : dx + width]
    return inner if inner.any() else mask


def pick(mask: np.ndarray, rng: np.random.Generator) -> tuple[float, float] | None:
    """Returns the normalised centre (x, y) of a random pixel of a mask; None if it is empty."""
    at = np.flatnonzero(mask)
    if not len(at):
        return None
    y, x = divmod(int(at[rng.integers(len(at))]), mask.shape[1])
    return (x + 0.5) / mask.shape[1], (y + 0.5) / mask.shape[0]
