"""The rows that annotate a drawn picture, and the PNGs of its masks."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from open_images.synthesis.kinds import PEOPLE
from open_images.synthesis.regions import (
    Bounds,
    centre_bounds,
    edge_bounds,
    extreme_points,
    interior,
    pick,
)
from open_images.synthesis.render import Picture, Region
from open_images.synthesis.scenes import Relation
from open_images.synthesis.text import Row, double, short, single, six
from open_images.synthesis.vocabulary import mid_of

_V3_TRAIN_SOURCES = (("xclick", "activemil", "verification"), (0.6, 0.25, 0.15))
_V3_SOURCES = (("freeform", "xclick"), (0.7, 0.3))
_V7_SOURCES = (("xclick", "activemil"), (0.86, 0.14))
_MACHINE_SLACK = 0.01  # how far, of the picture, activemil boxes are off

# Of the PNG to the picture: few have its size. Much smaller ones would lose a balloon's string.
_SCALES = (0.8, 1.0, 1.25, 1.6, 2.0, 2.5)
_COVERED = 100  # of 255: from where on a pixel of the PNG belongs to the mask

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

_FEMININE = ("Woman", "Girl")
_YOUNG = ("Boy", "Girl")


@dataclass
class Box:
    """A published box.

    Attributes:
      bounds: its coordinates just as the file has them.
      texts: XMin, XMax, YMin, YMax as written.
    """

    region: Region
    source: str
    bounds: Bounds
    texts: Row
    write: Callable[[float], str]


def box_of(region: Region, release: str, split: str, rng: np.random.Generator) -> Box:
    """Returns a box around a region, by one of the release's ways of annotating.

    Drawn by clicks, it passes through the centres of the outermost pixels.

    Args:
      region: what to enclose.
      release: `v7` or `v3`.
      split: decides on the sources and on how numbers are written.
      rng: the source of chance.
    """
    v3_sources = _V3_TRAIN_SOURCES if split == "train" else _V3_SOURCES
    sources, odds = _V7_SOURCES if release == "v7" else v3_sources
    source = str(rng.choice(sources, p=odds))
    exact = centre_bounds(region.mask) if source == "xclick" else edge_bounds(region.mask)
    slack = _MACHINE_SLACK if source == "activemil" else 0.0
    bounds = np.clip(np.array(exact) + rng.uniform(0, slack, 4) * (-1, 1, -1, 1), 0, 1)
    plain = six if split == "train" or release == "v3" else single
    write = double if rng.random() < 0.06 else plain
    texts = tuple(write(float(value)) for value in bounds)
    return Box(region, source, Bounds(*map(float, texts)), texts, write)


def box_row(image_id: str, box: Box, columns: int, rng: np.random.Generator) -> Row:
    """Returns a row of a box file.

    Args:
      image_id: of the picture.
      box: as `box_of` returns it.
      columns: how many fields: 8, 13 (with flags) or 21 (with clicks).
      rng: for what is unknown.
    """
    region = box.region
    confidence = "1.0" if rng.random() < 0.1 else "1"
    start = (image_id, box.source, mid_of(region.name), confidence, *box.texts)
    flags = ["-1"] * 5
    if box.source != "activemil":
        flags = _flags(region.occluded, region.truncated, region.is_group, region.depiction, False)
        if rng.random() < 0.08:
            flags[3:] = "-1", "-1"
    clicks = ["-1"] * 8
    if box.source == "xclick":
        points = extreme_points(region.mask, box.bounds)
        order = rng.permutation(4)
        clicks = [box.write(points[i][axis]) for axis in (0, 1) for i in order]
    return (*start, *flags, *clicks)[:columns]


def person_row(image_id: str, region: Region, rng: np.random.Generator) -> Row | None:
    """Returns a row of the MIAP person boxes; None for what is no person."""
    if region.name not in PEOPLE:
        return None
    coordinates = tuple(map(six, edge_bounds(region.mask)))
    feminine = region.name in _FEMININE
    grey = region.thing.variant // 4 % 4 == 3
    gender = f"Predominantly {'Feminine' if feminine else 'Masculine'}"
    age = "Young" if region.name in _YOUNG else "Older" if grey else "Middle"
    if region.mask.sum() < 1500:
        gender = age = "Unknown"
    flags = _flags(region.occluded, region.truncated, False, False, False)
    if rng.random() < 0.05:
        flags[4] = "-1"
    return (image_id, mid_of("Person"), "1", *coordinates, *flags, gender, age)


def _flags(*values: bool) -> list[str]:
    return [str(int(value)) for value in values]


def relationship_rows(image_id: str, boxes: list[Box], relations: list[Relation]) -> list[Row]:
    """Returns rows of relationships between boxes of single things; `is` repeats the box.

    Args:
      image_id: of the picture.
      boxes: all boxes of the picture.
      relations: of its scene; those of things that can't be seen are left out.
    """
    by_key = {box.region.thing.key: box for box in boxes if not box.region.is_group}
    rows: list[Row] = []
    for relation in relations:
        subject = by_key.get(relation.subject)
        other = subject if relation.attribute else by_key.get(relation.object)
        if subject is None or other is None:
            continue
        labels = mid_of(subject.region.name), mid_of(relation.attribute or other.region.name)
        numbers = map(short, (*subject.bounds, *other.bounds))
        rows.append((image_id, *labels, *numbers, relation.name))
    return rows


def _box_id(rng: np.random.Generator) -> str:
    """Returns eight hex digits, some of which look like a number: 05580497 or 1234e567."""
    chance = rng.random()
    if chance < 0.12:
        return f"0{int(rng.integers(10**7)):07d}"
    if chance < 0.18:
        return f"{int(rng.integers(10**4)):04d}e{int(rng.integers(10**3)):03d}"
    return f"{int(rng.integers(2**32)):08x}"


def mask_of(image_id: str, box: Box, rng: np.random.Generator) -> tuple[Row, bytes]:
    """Returns a row of a masks file, and the PNG: 1-bit, covering the whole picture.

    Args:
      image_id: of the picture.
      box: from which the annotator drew the mask.
      rng: for clicks, size and id.
    """
    mid, number = mid_of(box.region.name), _box_id(rng)
    path = f"{image_id}_{mid.replace('/', '')}_{number}.png"
    iou = "" if rng.random() < 0.15 else f"{rng.uniform(0.5, 0.99):.5f}"
    coordinates = tuple(map(short, box.bounds))
    clicks = ";".join(_clicks(box.region.mask, rng))
    row = (path, image_id, mid, number, *coordinates, iou, clicks)
    return row, _png(box.region.mask, float(rng.choice(_SCALES)))


def _clicks(mask: np.ndarray, rng: np.random.Generator) -> list[str]:
    """Returns `X Y T`, where the mask was corrected: T is 1 on the object, 0 on the background."""
    clicks = []
    for _ in range(int(rng.integers(2, 8))):
        kind = int(rng.random() < 0.6)
        at = pick(mask if kind else ~mask, rng)
        if at is not None:
            clicks.append(f"{at[0]:.5f} {at[1]:.5f} {kind}")
    return clicks


def _png(mask: np.ndarray, scale: float) -> bytes:
    """Returns a 1-bit PNG of a mask, bool (height, width), with sides scaled by `scale`."""
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    if scale != 1.0:
        size = round(mask.shape[1] * scale), round(mask.shape[0] * scale)
        image = image.resize(size, Image.Resampling.BILINEAR)
    out = BytesIO()
    Image.fromarray(np.asarray(image) >= _COVERED).save(out, "PNG")
    return out.getvalue()


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
