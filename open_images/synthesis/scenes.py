"""Scenes: what stands where, who holds what, and how it all relates.

Lengths are pixels of the upright picture, origin top left. Everything is drawn from the generator
that is passed in, so a scene is a function of its seed.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from open_images.synthesis.kinds import KINDS, PEOPLE, Kind

_HAND = (0.9, 0.44)  # of a person's unit square
_HEAD = (0.46, 0.075)


class Setting(NamedTuple):
    """A kind of place.

    Attributes:
      upper, lower: what its upper and lower part are called.
      vignettes: what may happen there: a class that stands there alone, or a method of `_Stage`.
    """

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


_SETTINGS = (
    Setting(
        "meadow",
        "Sky",
        "Grass",
        (
            *("holder", "hatted", "tree", "Car", "house", "ball", "flowers", "balloons"),
            *("Street light", "mushrooms", "flyer", "walker"),
        ),
    ),
    Setting("sea", "Sky", "Sea", ("Boat", "Boat", "balloons", "kite")),
    Setting("snow", "Sky", "Snow", ("Snowman", "hatted", "tree", "house", "ball", "Street light")),
    Setting("room", "Wall", "Flooring", ("table", "table", "hatted", "holder", "Cat", "frame")),
)


def compose(rng: np.random.Generator, empty: bool = False) -> Scene:
    """Returns a random scene, its long side 320 to 768 pixels; an empty one is a landscape."""
    long_side = int(rng.integers(320, 769))
    short_side = int(long_side * rng.uniform(0.62, 0.82))
    wide = rng.random() < 0.65
    width, height = (long_side, short_side) if wide else (short_side, long_side)
    setting = _SETTINGS[rng.choice(len(_SETTINGS), p=(0.5, 0.12, 0.14, 0.24))]
    horizon = height * rng.uniform(0.38, 0.6)
    stage = _Stage(rng, Scene(width, height, setting, horizon))
    if not empty:
        count = int(rng.integers(2, 5 if wide else 4))
        names = rng.permutation(list(setting.vignettes))[:count]
        for slot, name in enumerate(names):
            x = width * (slot + 0.5 + rng.uniform(-0.35, 0.35)) / count
            stage.show(str(name), x, rng.uniform(0.15, 0.95))
    stage.scene.things.sort(key=lambda thing: thing.depth)
    return stage.scene


class _Stage:
    """Places vignettes; each method takes the x of the middle and a depth in [0, 1]."""

    def __init__(self, rng: np.random.Generator, scene: Scene) -> None:
        self.rng = rng
        self.scene = scene

    def show(self, name: str, x: float, depth: float) -> None:
        """Places a vignette of a setting."""
        if name in KINDS:
            self.stand(name, x, depth)
        else:
            getattr(self, name)(x, depth)

    def place(
        self,
        name: str,
        at: tuple[float, float],
        scale: float,
        depth: float,
        anchor: tuple[float, float] = (0.5, 1.0),
        **more: Any,
    ) -> Thing:
        """Puts a thing so that `anchor` of its unit square lies `at`; `scale` is a man's height."""
        kind = KINDS[name]
        height = kind.height * scale
        width = kind.aspect * height
        thing = Thing(
            key=len(self.scene.things),
            kind=kind,
            colour=str(self.rng.choice(kind.colours)),
            left=at[0] - anchor[0] * width,
            top=at[1] - anchor[1] * height,
            width=width,
            height=height,
            depth=depth,
            variant=int(self.rng.integers(16)),
            **more,
        )
        self.scene.things.append(thing)
        return thing

    def stand(self, name: str, x: float, depth: float, **more: Any) -> Thing:
        """Puts a thing on the ground: the nearer, the lower and the larger."""
        scene = self.scene
        foot = scene.horizon + (scene.height - scene.horizon) * (0.1 + 0.88 * depth)
        return self.place(name, (x, foot), self.scale(depth), depth, **more)

    def scale(self, depth: float) -> float:
        return (0.24 + 0.42 * depth) * min(self.scene.height, 1.25 * self.scene.width)

    def relate(self, subject: Thing, name: str, thing: Thing) -> None:
        self.scene.relations.append(Relation(subject.key, name, thing.key))

    def attribute(self, thing: Thing, attribute: str) -> None:
        self.scene.relations.append(Relation(thing.key, "is", attribute=attribute))

    def walker(self, x: float, depth: float) -> Thing:
        smile = bool(self.rng.random() < 0.5)
        someone = self.stand(str(self.rng.choice(PEOPLE)), x, depth, smile=smile)
        self.attribute(someone, "Standing")
        if smile:
            self.attribute(someone, "Smile")
        return someone

    def carry(self, someone: Thing, name: str, relation: str, part: tuple[float, float]) -> Thing:
        at = (someone.left + part[0] * someone.width, someone.top + part[1] * someone.height)
        scale, depth = self.scale(someone.depth), someone.depth + 0.001
        thing = self.place(name, at, scale, depth, KINDS[name].grip, carrier=someone.key)
        self.relate(someone, relation, thing)
        return thing

    def holder(self, x: float, depth: float) -> None:
        someone = self.walker(x, depth)
        held = str(self.rng.choice(["Balloon", "Umbrella", "Flower", "Ball", "Bottle"]))
        thing = self.carry(someone, held, "holds", _HAND)
        if held == "Umbrella":
            self.relate(someone, "under", thing)
        if held == "Bottle":
            self.attribute(thing, "Plastic")

    def hatted(self, x: float, depth: float) -> None:
        self.carry(self.walker(x, depth), "Hat", "wears", _HEAD)

    def flyer(self, x: float, depth: float) -> None:
        self.walker(x, depth)
        self.kite(x + 0.2 * self.scene.width, depth)

    def kite(self, x: float, depth: float) -> None:
        y = self.scene.horizon * self.rng.uniform(0.3, 0.6)
        self.place("Kite", (x, y), self.scale(0.4), depth, anchor=(0.5, 0.5))

    def tree(self, x: float, depth: float) -> None:
        tree = self.stand("Tree", x, depth)
        at = x + 0.2 * tree.width, depth + 0.02
        below = self.walker(*at) if self.rng.random() < 0.5 else self.stand("Cat", *at)
        self.relate(below, "under", tree)

    def house(self, x: float, depth: float) -> None:
        self.stand("House", x, depth * 0.4)

    def ball(self, x: float, depth: float) -> None:
        self.attribute(self.stand("Ball", x, depth), "Plastic")

    def flowers(self, x: float, depth: float) -> None:
        self.cluster("Flower", x, depth, spread=0.16)

    def mushrooms(self, x: float, depth: float) -> None:
        self.cluster("Mushroom", x, depth, spread=0.2)

    def cluster(self, name: str, x: float, depth: float, spread: float) -> None:
        group = len(self.scene.things)
        step = spread * self.scale(depth)
        for i in range(6):
            self.stand(name, x + (i - 2.5) * step, depth + 0.02 * (i % 3), group=group)

    def balloons(self, x: float, depth: float) -> None:
        group = len(self.scene.things)
        step = 0.27 * self.scale(0.4)
        y = self.scene.horizon * 0.45
        for i in range(6):
            at = (x + (i % 3 - 1) * step, y + (i // 3 - 0.5) * 1.2 * step)
            self.place("Balloon", at, self.scale(0.3), depth + 0.01 * i, (0.5, 0.5), group=group)

    def table(self, x: float, depth: float) -> None:
        table = self.stand("Table", x, 0.4 + 0.5 * depth)
        self.attribute(table, "Wood")
        guest = self.walker(x + 0.2 * table.width, table.depth - 0.15)
        self.relate(guest, "at", table)
        transparent = bool(self.rng.random() < 0.5)
        at = (x - 0.28 * table.width, table.top + 0.08 * table.height)
        scale, depth = self.scale(table.depth), table.depth + 0.01
        bottle = self.place("Bottle", at, scale, depth, transparent=transparent, carrier=table.key)
        self.attribute(bottle, "Transparent" if transparent else "Plastic")
        self.relate(bottle, "on", table)
        if self.rng.random() < 0.6:
            cat = self.stand("Cat", x - 0.1 * table.width, table.depth - 0.01)
            self.relate(cat, "under", table)

    def frame(self, x: float, depth: float) -> None:
        y = self.scene.horizon * 0.42
        scale = min(self.scale(0.5), self.scene.horizon)
        frame = self.place("Picture frame", (x, y), scale, 0.0, anchor=(0.5, 0.5))
        shown = KINDS[str(self.rng.choice(["Cat", "Flower", "Boat"]))]
        scale = 0.7 * frame.height / shown.height
        key = frame.key
        self.place(shown.name, (x, y), scale, 0.001, (0.5, 0.5), carrier=key, depicted_in=key)
