"""The classes of objects that scenes are made of, and how they are drawn.

Coordinates are in the unit square of the object's own box, origin top left.
"""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from PIL import Image, ImageDraw

RGB = tuple[int, int, int]

#: Pixels of what a pen draws on to a pixel of the picture, along a side.
OVERSAMPLING = 2
#: Colours with names, so that a narrative can say what a picture shows.
NAMED: dict[str, RGB] = {
    "red": (205, 45, 45),
    "blue": (45, 85, 200),
    "green": (50, 150, 65),
    "yellow": (240, 205, 50),
    "orange": (240, 135, 40),
    "purple": (130, 60, 165),
    "pink": (240, 130, 175),
    "white": (240, 240, 238),
    "black": (45, 45, 48),
    "grey": (140, 142, 146),
    "brown": (135, 88, 52),
}
_BRIGHT = ("red", "blue", "yellow", "orange", "purple", "pink", "white")
_SKINS: tuple[RGB, ...] = ((247, 214, 184), (224, 172, 130), (168, 115, 78), (110, 72, 50))
_HAIRS: tuple[RGB, ...] = ((40, 30, 26), (98, 62, 36), (196, 152, 80), (150, 150, 152))
_GLASS: RGB = (178, 215, 235)
_DARK: RGB = (42, 42, 46)
_WOOD: RGB = (150, 100, 60)
_LEAF: RGB = (60, 140, 62)


class Pen:
    """Draws an object.

    Args:
      image: of Pillow.
      origin, size: of the object's own box there, in pixels.
      colour, variant, smile: what varies between two objects of a kind.
    """

    def __init__(
        self,
        image: Image.Image,
        origin: tuple[float, float],
        size: tuple[float, float],
        colour: RGB,
        variant: int,
        smile: bool,
    ) -> None:
        self._draw = ImageDraw.Draw(image)
        self._origin, self._size = origin, size
        self._stroke = max(1, round(0.006 * size[1]))
        self.colour, self.variant, self.smile = colour, variant, smile

    def poly(self, fill: RGB, *xy: float) -> None:
        """Draws a polygon through x1, y1, x2, y2, ..."""
        self._draw.polygon(self._place(xy), fill, shade(fill, 0.62), self._stroke)

    def oval(self, fill: RGB, *xy: float) -> None:
        """Draws an ellipse in the box x0, y0, x1, y1."""
        self._draw.ellipse(self._place(xy), fill, shade(fill, 0.62), self._stroke)

    def rect(self, fill: RGB, *xy: float) -> None:
        """Draws a rectangle with slightly rounded corners: x0, y0, x1, y1."""
        box = self._place(xy)
        radius = 0.12 * min(box[1][0] - box[0][0], box[1][1] - box[0][1])
        self._draw.rounded_rectangle(box, radius, fill, shade(fill, 0.62), self._stroke)

    def line(self, fill: RGB, width: float, *xy: float) -> None:
        """Draws a line through x1, y1, x2, y2, ...; `width` is a fraction of the box's height."""
        # At least as thick as a pixel and a half, or the string of a balloon would not be solid.
        thickness = max(round(1.5 * OVERSAMPLING), round(width * self._size[1]))
        self._draw.line(self._place(xy), fill, thickness, "curve")

    def _place(self, xy: tuple[float, ...]) -> list[tuple[float, float]]:
        (left, top), (width, height) = self._origin, self._size
        pairs = zip(xy[::2], xy[1::2], strict=True)
        return [(left + x * width, top + y * height) for x, y in pairs]


def _arch(base: float, rise: float) -> tuple[float, ...]:
    """Returns the upper half of an ellipse as wide as the unit square, as x1, y1, x2, y2, ...

    Args:
      base: y of its flat lower side.
      rise: its height.
    """
    turns = [math.pi * step / 16 for step in range(17)]
    return _flat((0.5 - 0.5 * math.cos(t), base - rise * math.sin(t)) for t in turns)


def _flat(points: Iterable[tuple[float, float]]) -> tuple[float, ...]:
    """Returns points as x1, y1, x2, y2, ..."""
    return tuple(value for point in points for value in point)


def shade(colour: RGB, factor: float) -> RGB:
    """Returns a colour darkened (factor below 1) or lightened (above 1)."""
    red, green, blue = (max(0, min(255, round(channel * factor))) for channel in colour)
    return red, green, blue


class Kind(NamedTuple):
    """One class of objects."""

    name: str  # the display name of a boxable class
    draw: Callable[[Pen], None]
    aspect: float  # width by height
    height: float  # relative to a man's
    colours: tuple[str, ...] = _BRIGHT
    grip: tuple[float, float] = (0.5, 0.5)  # where a hand holds it, in its unit square


def _person(pen: Pen, dress: bool = False, child: bool = False) -> None:
    """A standing person; the right hand, at (0.92, 0.44), is free to hold something."""
    skin, hair = _SKINS[pen.variant % 4], _HAIRS[pen.variant // 4 % 4]
    head_low = 0.32 if child else 0.26
    trousers = skin if child else shade(pen.colour, 0.5)
    eye = 0.46 * head_low
    if dress:
        pen.oval(hair, 0.2, 0.0, 0.72, head_low + 0.08)
    for x in (0.3, 0.5):
        pen.rect(skin if dress else trousers, x, 0.6, x + 0.13, 0.96)
        pen.oval(_DARK, x - 0.05, 0.93, x + 0.17, 1.0)
    if dress:
        pen.poly(pen.colour, 0.32, 0.27, 0.6, 0.27, 0.85, 0.74, 0.07, 0.74)
    else:
        if child:
            pen.rect(shade(pen.colour, 0.6), 0.26, 0.56, 0.67, 0.75)
        pen.rect(pen.colour, 0.23, 0.27, 0.69, 0.64)
    pen.line(pen.colour, 0.05, 0.29, 0.33, 0.13, 0.55)
    pen.oval(skin, 0.05, 0.53, 0.19, 0.6)
    pen.line(pen.colour, 0.05, 0.63, 0.33, 0.86, 0.44)
    pen.oval(skin, 0.82, 0.405, 0.98, 0.475)
    pen.oval(skin, 0.27, 0.02, 0.65, head_low)
    pen.poly(hair, 0.27, eye - 0.03, 0.3, 0.03, 0.46, 0.0, 0.62, 0.03, 0.65, eye - 0.03)
    pen.oval(_DARK, 0.36, eye, 0.41, eye + 0.02)
    pen.oval(_DARK, 0.51, eye, 0.56, eye + 0.02)
    mouth = head_low - 0.07
    smile = _flat((0.38 + 0.02 * i, mouth + 0.025 * math.sin(math.pi * i / 8)) for i in range(9))
    xy = smile if pen.smile else (0.4, mouth, 0.52, mouth)
    pen.line((150, 50, 50), 0.008, *xy)


def _hat(pen: Pen) -> None:
    """A hat with a band."""
    pen.oval(pen.colour, 0.0, 0.62, 1.0, 1.0)
    pen.rect(pen.colour, 0.22, 0.0, 0.78, 0.86)
    pen.rect(shade(pen.colour, 0.5), 0.22, 0.55, 0.78, 0.76)


def _ball(pen: Pen) -> None:
    """A striped ball."""
    pen.oval(pen.colour, 0.0, 0.0, 1.0, 1.0)
    pen.oval(shade(pen.colour, 1.35), 0.3, 0.0, 0.7, 1.0)
    pen.oval((250, 250, 250), 0.2, 0.16, 0.36, 0.32)


def _car(pen: Pen) -> None:
    """A car seen from the side."""
    pen.poly(pen.colour, 0.14, 0.45, 0.29, 0.02, 0.7, 0.02, 0.87, 0.45)
    pen.rect(pen.colour, 0.0, 0.38, 1.0, 0.82)
    pen.poly(_GLASS, 0.22, 0.4, 0.32, 0.1, 0.47, 0.1, 0.47, 0.4)
    pen.poly(_GLASS, 0.51, 0.4, 0.51, 0.1, 0.67, 0.1, 0.79, 0.4)
    pen.oval((255, 240, 150), 0.93, 0.45, 0.99, 0.58)
    for x in (0.12, 0.68):
        pen.oval(_DARK, x, 0.58, x + 0.2, 1.0)
        pen.oval((190, 190, 195), x + 0.055, 0.695, x + 0.145, 0.885)


def _tree(pen: Pen) -> None:
    """A leafy tree."""
    pen.poly(_WOOD, 0.44, 0.5, 0.58, 0.5, 0.62, 1.0, 0.39, 1.0)
    pen.oval(pen.colour, 0.0, 0.22, 0.62, 0.66)
    pen.oval(shade(pen.colour, 0.9), 0.38, 0.2, 1.0, 0.66)
    pen.oval(shade(pen.colour, 1.1), 0.17, 0.0, 0.83, 0.48)


def _house(pen: Pen) -> None:
    """A house with a roof, a door and two windows."""
    pen.rect((150, 80, 66), 0.72, 0.06, 0.83, 0.4)
    pen.rect(pen.colour, 0.07, 0.4, 0.93, 1.0)
    pen.poly((165, 66, 54), 0.0, 0.45, 0.5, 0.0, 1.0, 0.45)
    pen.rect(_WOOD, 0.42, 0.64, 0.6, 1.0)
    pen.rect(_GLASS, 0.15, 0.56, 0.34, 0.76)
    pen.rect(_GLASS, 0.67, 0.56, 0.86, 0.76)


def _table(pen: Pen) -> None:
    """A wooden table seen from the front."""
    for x in (0.05, 0.87):
        pen.rect(shade(pen.colour, 0.8), x, 0.08, x + 0.08, 1.0)
    pen.rect(pen.colour, 0.0, 0.0, 1.0, 0.16)


def _bottle(pen: Pen) -> None:
    """A bottle with a cap and a label."""
    pen.rect(pen.colour, 0.33, 0.06, 0.67, 0.42)
    pen.poly(pen.colour, 0.33, 0.28, 0.67, 0.28, 0.95, 0.42, 0.05, 0.42)
    pen.rect(pen.colour, 0.02, 0.38, 0.98, 1.0)
    pen.rect(shade(pen.colour, 0.5), 0.28, 0.0, 0.72, 0.1)
    pen.rect((250, 250, 245), 0.02, 0.56, 0.98, 0.8)


def _cat(pen: Pen) -> None:
    """A cat looking at the camera, its tail up."""
    pen.line(pen.colour, 0.09, 0.86, 0.7, 0.95, 0.4, 0.92, 0.12)
    pen.oval(pen.colour, 0.22, 0.4, 0.94, 0.88)
    for x in (0.28, 0.45, 0.66, 0.8):
        pen.rect(shade(pen.colour, 0.75), x, 0.68, x + 0.11, 1.0)
    pen.poly(pen.colour, 0.03, 0.34, 0.04, 0.02, 0.2, 0.18)
    pen.poly(pen.colour, 0.24, 0.18, 0.41, 0.02, 0.41, 0.34)
    pen.oval(pen.colour, 0.0, 0.13, 0.44, 0.62)
    for x in (0.09, 0.26):
        pen.oval((120, 200, 90), x, 0.29, x + 0.09, 0.39)
    for x in (0.12, 0.29):
        pen.oval(_DARK, x, 0.3, x + 0.03, 0.38)
    pen.poly((225, 130, 140), 0.19, 0.44, 0.25, 0.44, 0.22, 0.49)


def _flower(pen: Pen) -> None:
    """A flower on its stem."""
    pen.line(_LEAF, 0.05, 0.5, 0.3, 0.5, 1.0)
    pen.oval(_LEAF, 0.5, 0.66, 0.95, 0.8)
    for i in range(6):
        x = 0.5 + 0.28 * math.cos(math.pi * i / 3)
        y = 0.25 + 0.14 * math.sin(math.pi * i / 3)
        pen.oval(pen.colour, x - 0.21, y - 0.105, x + 0.21, y + 0.105)
    pen.oval((250, 200, 60), 0.3, 0.15, 0.7, 0.35)


def _balloon(pen: Pen) -> None:
    """A balloon on a string."""
    pen.line((90, 90, 90), 0.018, 0.5, 0.6, 0.44, 0.75, 0.55, 0.88, 0.5, 0.99)
    pen.poly(pen.colour, 0.5, 0.54, 0.6, 0.63, 0.4, 0.63)
    pen.oval(pen.colour, 0.0, 0.0, 1.0, 0.58)
    pen.oval((255, 255, 255), 0.22, 0.1, 0.38, 0.22)


def _boat(pen: Pen) -> None:
    """A sailing boat."""
    pen.line(_WOOD, 0.03, 0.48, 0.03, 0.48, 0.75)
    pen.poly((246, 244, 236), 0.53, 0.04, 0.53, 0.66, 0.95, 0.66)
    pen.poly((226, 224, 216), 0.43, 0.12, 0.43, 0.66, 0.1, 0.66)
    pen.poly(pen.colour, 0.0, 0.73, 1.0, 0.73, 0.84, 1.0, 0.16, 1.0)


def _umbrella(pen: Pen) -> None:
    """An open umbrella."""
    pen.line(_DARK, 0.03, 0.5, 0.1, 0.5, 1.0)
    pen.poly(pen.colour, *_arch(0.42, 0.4))
    pen.poly(shade(pen.colour, 1.25), 0.36, 0.42, 0.5, 0.02, 0.64, 0.42)


def _kite(pen: Pen) -> None:
    """A diamond kite with a tail."""
    pen.line(_DARK, 0.015, 0.5, 0.6, 0.4, 0.72, 0.6, 0.85, 0.5, 0.99)
    pen.poly(pen.colour, 0.5, 0.0, 1.0, 0.27, 0.5, 0.64, 0.0, 0.27)
    pen.poly(shade(pen.colour, 1.3), 0.5, 0.0, 1.0, 0.27, 0.5, 0.27)
    pen.poly(shade(pen.colour, 0.7), 0.5, 0.64, 0.0, 0.27, 0.5, 0.27)


def _street_light(pen: Pen) -> None:
    """A lamp post."""
    pen.rect(pen.colour, 0.4, 0.1, 0.56, 1.0)
    pen.line(pen.colour, 0.025, 0.48, 0.1, 0.7, 0.03, 0.85, 0.05)
    pen.oval((255, 235, 150), 0.64, 0.03, 1.0, 0.1)
    pen.rect(pen.colour, 0.26, 0.95, 0.7, 1.0)


def _mushroom(pen: Pen) -> None:
    """A spotted mushroom."""
    pen.rect((240, 228, 205), 0.36, 0.48, 0.64, 1.0)
    pen.poly(pen.colour, *_arch(0.55, 0.54))
    pen.oval((250, 250, 250), 0.24, 0.24, 0.38, 0.38)
    pen.oval((250, 250, 250), 0.56, 0.14, 0.74, 0.32)


def _snowman(pen: Pen) -> None:
    """A snowman with a scarf."""
    snow = (248, 250, 253)
    pen.oval(snow, 0.0, 0.5, 1.0, 1.0)
    pen.oval(snow, 0.13, 0.25, 0.87, 0.66)
    pen.oval(snow, 0.25, 0.0, 0.75, 0.33)
    pen.rect(pen.colour, 0.26, 0.28, 0.74, 0.36)
    pen.poly((240, 130, 40), 0.5, 0.15, 0.5, 0.21, 0.82, 0.19)
    pen.oval(_DARK, 0.37, 0.09, 0.44, 0.13)
    pen.oval(_DARK, 0.56, 0.09, 0.63, 0.13)


def _picture_frame(pen: Pen) -> None:
    """A picture frame with a pale canvas."""
    pen.rect(pen.colour, 0.0, 0.0, 1.0, 1.0)
    pen.rect((236, 232, 214), 0.1, 0.1, 0.9, 0.9)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("Man", _person, 0.45, 1.0),
        Kind("Woman", partial(_person, dress=True), 0.45, 0.95),
        Kind("Boy", partial(_person, child=True), 0.48, 0.66),
        Kind("Girl", partial(_person, dress=True, child=True), 0.48, 0.64),
        Kind("Hat", _hat, 1.9, 0.13, ("red", "black", "blue", "yellow", "brown"), (0.5, 0.8)),
        Kind("Ball", _ball, 1.0, 0.26),
        Kind("Car", _car, 2.2, 0.72),
        Kind("Tree", _tree, 0.75, 1.7, ("green", "orange", "pink")),
        Kind("House", _house, 1.1, 1.8, ("white", "yellow", "pink", "grey")),
        Kind("Table", _table, 1.9, 0.5, ("brown",)),
        Kind("Bottle", _bottle, 0.36, 0.3, ("green", "blue", "red", "orange"), (0.5, 0.5)),
        Kind("Cat", _cat, 1.15, 0.36, ("orange", "black", "white", "grey")),
        Kind("Flower", _flower, 0.5, 0.42, _BRIGHT, (0.5, 0.9)),
        Kind("Balloon", _balloon, 0.52, 0.7, _BRIGHT, (0.5, 0.98)),
        Kind("Boat", _boat, 1.1, 0.9, ("red", "blue", "green", "brown")),
        Kind("Umbrella", _umbrella, 1.0, 0.75, _BRIGHT, (0.5, 0.96)),
        Kind("Kite", _kite, 0.6, 0.55),
        Kind("Street light", _street_light, 0.22, 1.6, ("grey", "black", "green")),
        Kind("Mushroom", _mushroom, 1.0, 0.24, ("red", "brown", "orange")),
        Kind("Snowman", _snowman, 0.62, 0.8, ("red", "blue", "green")),
        Kind("Picture frame", _picture_frame, 1.25, 0.75, ("brown", "black", "yellow")),
    )
}
PEOPLE = ("Man", "Woman", "Boy", "Girl")
