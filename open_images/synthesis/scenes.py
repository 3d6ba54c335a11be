"""A scene: what stands where, who holds what, and how it all relates.

Lengths are pixels of the upright picture, origin top left.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from open_images.synthesis.kinds import Kind


class Setting(NamedTuple):
    """A kind of place: what its upper and lower part are called, and what may happen there."""

    name: str
    upper: str
    lower: str
    vignettes: tuple[str, ...]


@dataclass
class Thing:
    """One object: a kind of thing at a place.

    Attributes:
      left, top, width, height: the object's own box, which may leave the picture.
      depth: larger is nearer; nearer things are drawn later.
      group: things of one group of at least five share a number; -1 for a thing by itself.
      carrier: key of the thing that holds or wears this one; -1 for none.
      depicted_in: key of the picture frame that shows this thing; -1 for a real thing.
    """

    key: int
    kind: Kind
    colour: str
    left: float
    top: float
    width: float
    height: float
    depth: float
    variant: int
    smile: bool = False
    transparent: bool = False
    group: int = -1
    carrier: int = -1
    depicted_in: int = -1


class Relation(NamedTuple):
    """`subject` and `object` are keys of things; `is` names an attribute instead."""

    subject: int
    name: str
    object: int = -1
    attribute: str = ""


@dataclass
class Scene:
    """A picture to be drawn; `things` from the farthest to the nearest."""

    width: int
    height: int
    setting: Setting
    horizon: float
    things: list[Thing] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
