"""Rows of image-level labels and of point labels."""

import numpy as np

from open_images.synthesis.kinds import PEOPLE
from open_images.synthesis.regions import interior, pick
from open_images.synthesis.render import Picture, Region
from open_images.synthesis.text import Row, double, six
from open_images.synthesis.vocabulary import mid_of

_PARENTS = {
    **dict.fromkeys(PEOPLE, ("Person",)),
    "Car": ("Vehicle", "Land vehicle"),
    "Boat": ("Vehicle",),
    "Tree": ("Plant",),
    "Flower": ("Plant",),
    "Cat": ("Animal", "Mammal", "Carnivore"),
    "Table": ("Furniture",),
    "House": ("Building",),
    "Hat": ("Clothing",),
    "Ball": ("Toy",),
}
_ABSENT = (
    *("Dog", "Bicycle", "Elephant", "Guitar", "Airplane", "Laptop", "Pizza", "Horse", "Train"),
    *("Sheep", "Banana", "Fish", "Piano", "Tank", "Camera"),
)
_GUESSES = ("Landscape", "Horizon", "Street", "Beach", "Room", "Meadow")
_CERTAIN = ("1", "1.0", "0.9", "0.8", "0.7")
_POINT_SOURCES = ("ih", "cc", "ff", "cs")


def names_in(picture: Picture, regions: list[Region]) -> list[str]:
    """Returns the classes in a picture: objects, their parents, and the background."""
    names = [region.name for region in regions]
    names += [parent for name in names for parent in _PARENTS.get(name, ())]
    setting = picture.scene.setting
    names += [setting.upper] if picture.upper.any() else []
    names += [setting.lower] if picture.lower.any() else []
    return list(dict.fromkeys(names))


def human_rows(image_id: str, names: list[str], rng: np.random.Generator) -> list[Row]:
    """Returns verified labels: most classes there with confidence 1, some others with 0."""
    rows: list[Row] = []
    present = [name for name in names if rng.random() < 0.8] or names[:1]
    absent = rng.choice(_ABSENT, size=int(rng.integers(2, 5)), replace=False)
    for name, truth in [(n, 1) for n in present] + [(str(n), 0) for n in absent]:
        crowd = rng.random() < 0.25
        source = "crowdsource-verification" if crowd else "verification"
        confidence = f"{truth}" if crowd or rng.random() < 0.3 else f"{truth}.0"
        rows.append((image_id, source, mid_of(name), confidence))
    return rows


def machine_rows(image_id: str, names: list[str], rng: np.random.Generator) -> list[Row]:
    """Returns a classifier's labels: what is there with a high confidence, and weaker guesses."""
    rows: list[Row] = [
        (image_id, "machine", mid_of(name), str(rng.choice(_CERTAIN))) for name in names
    ]
    for name in rng.choice(_GUESSES + _ABSENT, size=int(rng.integers(3, 8)), replace=False):
        rows.append((image_id, "machine", mid_of(str(name)), str(rng.choice(["0.5", "0.6"]))))
    return rows


def point_rows(
    image_id: str, picture: Picture, regions: list[Region], rng: np.random.Generator
) -> list[Row]:
    """Returns point labels on objects and background, with votes that agree with the pixels.

    The answer is `yes` inside a thing of the class, `no` inside something else, and `unsure` on
    outlines.

    Args:
      image_id: of the picture.
      picture: its `upper` and `lower` are asked about, too.
      regions: the objects.
      rng: the source of chance.
    """
    setting = picture.scene.setting
    areas = [(setting.upper, "", picture.upper), (setting.lower, "", picture.lower)]
    areas += [(r.name, r.thing.colour, r.mask) for r in regions if not r.depiction]
    rows: list[Row] = []
    for name, colour, mask in areas:
        inner = interior(mask)
        outline = mask & ~inner
        other = str(rng.choice(_ABSENT))
        for answer, label, where in (
            ("yes", name, inner),
            ("no", other, inner),
            ("unsure", name, outline if rng.random() < 0.3 else outline[:0]),
        ):
            at = pick(where, rng)
            if at is None:
                continue
            write = double if rng.random() < 0.1 else six
            source = str(rng.choice(_POINT_SOURCES))
            votes = _votes(answer, source, rng)
            text = ""
            if source == "ff" and answer == "yes":
                text = f"{name.lower()}, {colour}" if colour else name.lower()
            xy = write(at[0]), write(at[1])
            rows.append((image_id, *xy, mid_of(label), answer, source, *map(str, votes), text))
    return rows


def _votes(answer: str, source: str, rng: np.random.Generator) -> tuple[int, int, int]:
    """Returns yes, no and unsure votes that lead to `answer`, of one person or several."""
    if source in ("ih", "ff"):
        return int(answer == "yes"), int(answer == "no"), int(answer == "unsure")
    most, few = int(rng.integers(3, 8)), int(rng.integers(0, 3))
    if answer == "unsure":
        return few, few, most
    return (most, few, 0) if answer == "yes" else (few, most, 0)
