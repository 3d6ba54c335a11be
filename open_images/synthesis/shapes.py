"""Shapes: the primitives from which every object is drawn.

Coordinates are in the unit square of the object's own box, origin top left.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from open_images.synthesis.colours import RGB


class Shape(NamedTuple):
    """One filled, outlined shape; `xy` in the object's unit square, origin top left."""

    form: str  # polygon, ellipse, rounded or line
    xy: tuple[float, ...]
    fill: RGB
    width: float = 0.0  # of a line, as a fraction of the object's height


@dataclass(frozen=True)
class Look:
    """What varies between two objects of a kind."""

    colour: RGB
    variant: int = 0
    smile: bool = False


Drawing = Callable[[Look], list[Shape]]


def poly(fill: RGB, *xy: float) -> Shape:
    """A polygon through x1, y1, x2, y2, ..."""
    return Shape("polygon", xy, fill)


def oval(fill: RGB, *xy: float) -> Shape:
    """An ellipse in the box x0, y0, x1, y1."""
    return Shape("ellipse", xy, fill)


def rect(fill: RGB, *xy: float) -> Shape:
    """A rectangle with slightly rounded corners: x0, y0, x1, y1."""
    return Shape("rounded", xy, fill)


def line(fill: RGB, width: float, *xy: float) -> Shape:
    """A thick line through x1, y1, x2, y2, ..."""
    return Shape("line", xy, fill, width)


def arch(base: float, rise: float) -> tuple[float, ...]:
    """The upper half of an ellipse as wide as the unit square.

    Args:
      base: y of its flat lower side.
      rise: its height.

    Returns:
      x1, y1, x2, y2, ... for `poly`.
    """
    turns = [math.pi * step / 16 for step in range(17)]
    return tuple(
        value for t in turns for value in (0.5 - 0.5 * math.cos(t), base - rise * math.sin(t))
    )
