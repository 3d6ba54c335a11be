"""Composes scenes.

Everything is drawn from the generator that is passed in, so a scene is a function of its seed.
"""

from typing import Any

import numpy as np

from open_images.synthesis.kinds import KINDS, PEOPLE
from open_images.synthesis.scenes import Relation, Scene, Setting, Thing

HAND = (0.9, 0.44)  # of a person's unit square
HEAD = (0.46, 0.075)

SETTINGS = (
    Setting(
        "meadow",
        "Sky",
        "Grass",
        (
            *("holder", "hatted", "tree", "car", "house", "ball", "flowers", "balloons"),
            *("lamp", "mushrooms", "flyer", "walker"),
        ),
    ),
    Setting("sea", "Sky", "Sea", ("boat", "boat", "balloons", "kite")),
    Setting("snow", "Sky", "Snow", ("snowman", "hatted", "tree", "house", "ball", "lamp")),
    Setting("room", "Wall", "Flooring", ("table", "table", "hatted", "holder", "cat", "frame")),
)


def compose(rng: np.random.Generator, empty: bool = False) -> Scene:
    """Draws up a scene.

    Args:
      rng: the source of chance.
      empty: a landscape without anything in it.

    Returns:
      The scene, its long side 320 to 768 pixels.
    """
    long_side = int(rng.integers(320, 769))
    short_side = int(long_side * rng.uniform(0.62, 0.82))
    wide = rng.random() < 0.65
    width, height = (long_side, short_side) if wide else (short_side, long_side)
    setting = SETTINGS[rng.choice(len(SETTINGS), p=(0.5, 0.12, 0.14, 0.24))]
    horizon = height * rng.uniform(0.38, 0.6)
    stage = _Stage(rng, Scene(width, height, setting, horizon))
    if not empty:
        count = int(rng.integers(2, 5 if wide else 4))
        names = rng.permutation(list(setting.vignettes))[:count]
        for slot, name in enumerate(names):
            x = width * (slot + 0.5 + rng.uniform(-0.35, 0.35)) / count
            getattr(stage, name)(x, rng.uniform(0.15, 0.95))
    stage.scene.things.sort(key=lambda thing: thing.depth)
    return stage.scene


class _Stage:
    """Places vignettes; each method takes the x of the middle and a depth in [0, 1]."""

    def __init__(self, rng: np.random.Generator, scene: Scene) -> None:
        self.rng = rng
        self.scene = scene

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
        thing = self.place(
            name,
            at,
            self.scale(someone.depth),
            someone.depth + 0.001,
            anchor=KINDS[name].grip,
            carrier=someone.key,
        )
        self.relate(someone, relation, thing)
        return thing

    def holder(self, x: float, depth: float) -> None:
        someone = self.walker(x, depth)
        held = str(self.rng.choice(["Balloon", "Umbrella", "Flower", "Ball", "Bottle"]))
        thing = self.carry(someone, held, "holds", HAND)
        if held == "Umbrella":
            self.relate(someone, "under", thing)
        if held == "Bottle":
            self.attribute(thing, "Plastic")

    def hatted(self, x: float, depth: float) -> None:
        someone = self.walker(x, depth)
        self.carry(someone, "Hat", "wears", HEAD)

    def flyer(self, x: float, depth: float) -> None:
        self.walker(x, depth)
        self.kite(x + 0.2 * self.scene.width, depth)

    def kite(self, x: float, depth: float) -> None:
        y = self.scene.horizon * self.rng.uniform(0.3, 0.6)
        self.place("Kite", (x, y), self.scale(0.4), depth, anchor=(0.5, 0.5))

    def tree(self, x: float, depth: float) -> None:
        tree = self.stand("Tree", x, depth)
        below = self.walker if self.rng.random() < 0.5 else self.cat
        self.relate(below(x + 0.2 * tree.width, depth + 0.02), "under", tree)

    def cat(self, x: float, depth: float) -> Thing:
        return self.stand("Cat", x, depth)

    def car(self, x: float, depth: float) -> None:
        self.stand("Car", x, depth)

    def house(self, x: float, depth: float) -> None:
        self.stand("House", x, depth * 0.4)

    def ball(self, x: float, depth: float) -> None:
        ball = self.stand("Ball", x, depth)
        self.attribute(ball, "Plastic")

    def lamp(self, x: float, depth: float) -> None:
        self.stand("Street light", x, depth)

    def snowman(self, x: float, depth: float) -> None:
        self.stand("Snowman", x, depth)

    def boat(self, x: float, depth: float) -> None:
        self.stand("Boat", x, depth)

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
        bottle = self.place(
            "Bottle",
            (x - 0.28 * table.width, table.top + 0.08 * table.height),
            self.scale(table.depth),
            table.depth + 0.01,
            transparent=transparent,
            carrier=table.key,
        )
        self.attribute(bottle, "Transparent" if transparent else "Plastic")
        self.relate(bottle, "on", table)
        if self.rng.random() < 0.6:
            self.relate(self.cat(x - 0.1 * table.width, table.depth - 0.01), "under", table)

    def frame(self, x: float, depth: float) -> None:
        y = self.scene.horizon * 0.42
        scale = min(self.scale(0.5), self.scene.horizon)
        frame = self.place("Picture frame", (x, y), scale, 0.0, anchor=(0.5, 0.5))
        shown = KINDS[str(self.rng.choice(["Cat", "Flower", "Boat"]))]
        self.place(
            shown.name,
            (x, y),
            0.7 * frame.height / shown.height,
            0.001,
            anchor=(0.5, 0.5),
            carrier=frame.key,
            depicted_in=frame.key,
        )
