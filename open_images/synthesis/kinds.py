"""The classes of objects that scenes are made of; each is a real boxable class."""

from typing import NamedTuple

from open_images.synthesis import people, things
from open_images.synthesis.colours import BRIGHT
from open_images.synthesis.shapes import Drawing


class Kind(NamedTuple):
    """One class of objects."""

    name: str  # the display name of a boxable class
    draw: Drawing
    aspect: float  # width by height
    height: float  # relative to a man's
    colours: tuple[str, ...] = BRIGHT
    grip: tuple[float, float] = (0.5, 0.5)  # where a hand holds it, in its unit square


KINDS = {
    kind.name: kind
    for kind in (
        Kind("Man", people.man, 0.45, 1.0),
        Kind("Woman", people.woman, 0.45, 0.95),
        Kind("Boy", people.boy, 0.48, 0.66),
        Kind("Girl", people.girl, 0.48, 0.64),
        Kind("Hat", things.hat, 1.9, 0.13, ("red", "black", "blue", "yellow", "brown"), (0.5, 0.8)),
        Kind("Ball", things.ball, 1.0, 0.26),
        Kind("Car", things.car, 2.2, 0.72),
        Kind("Tree", things.tree, 0.75, 1.7, ("green", "orange", "pink")),
        Kind("House", things.house, 1.1, 1.8, ("white", "yellow", "pink", "grey")),
        Kind("Table", things.table, 1.9, 0.5, ("brown",)),
        Kind("Bottle", things.bottle, 0.36, 0.3, ("green", "blue", "red", "orange"), (0.5, 0.5)),
        Kind("Cat", things.cat, 1.15, 0.36, ("orange", "black", "white", "grey")),
        Kind("Flower", things.flower, 0.5, 0.42, BRIGHT, (0.5, 0.9)),
        Kind("Balloon", things.balloon, 0.52, 0.7, BRIGHT, (0.5, 0.98)),
        Kind("Boat", things.boat, 1.1, 0.9, ("red", "blue", "green", "brown")),
        Kind("Umbrella", things.umbrella, 1.0, 0.75, BRIGHT, (0.5, 0.96)),
        Kind("Kite", things.kite, 0.6, 0.55),
        Kind("Street light", things.street_light, 0.22, 1.6, ("grey", "black", "green")),
        Kind("Mushroom", things.mushroom, 1.0, 0.24, ("red", "brown", "orange")),
        Kind("Snowman", things.snowman, 0.62, 0.8, ("red", "blue", "green")),
        Kind("Picture frame", things.picture_frame, 1.25, 0.75, ("brown", "black", "yellow")),
    )
}
PEOPLE = ("Man", "Woman", "Boy", "Girl")
