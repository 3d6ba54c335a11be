"""Rows about boxes: the boxes themselves, person boxes, and relationships between boxes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from open_images.synthesis.kinds import PEOPLE
from open_images.synthesis.regions import (
    Bounds,
    Region,
    centre_bounds,
    edge_bounds,
    extreme_points,
)
from open_images.synthesis.scenes import Relation
from open_images.synthesis.text import Row, double, short, single, six
from open_images.synthesis.vocabulary import mid_of

_V3_SOURCES = {
    "train": (("xclick", "activemil", "verification"), (0.6, 0.25, 0.15)),
    "validation": (("freeform", "xclick"), (0.7, 0.3)),
    "test": (("freeform", "xclick"), (0.7, 0.3)),
}
_V7_SOURCES = (("xclick", "activemil"), (0.86, 0.14))
_MACHINE_SLACK = 0.01  # how far, of the picture, activemil boxes are off

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
    """Draws a box around a region by one of the release's ways of annotating.

    Args:
      region: what to enclose.
      release: `v7` or `v3`.
      split: decides on the sources and on how numbers are written.
      rng: the source of chance.

    Returns:
      The box; by clicks it passes through the centres of the outermost pixels.
    """
    sources, odds = _V7_SOURCES if release == "v7" else _V3_SOURCES[split]
    source = str(rng.choice(sources, p=odds))
    exact = centre_bounds(region.mask) if source == "xclick" else edge_bounds(region.mask)
    slack = _MACHINE_SLACK if source == "activemil" else 0.0
    bounds = np.clip(np.array(exact) + rng.uniform(0, slack, 4) * (-1, 1, -1, 1), 0, 1)
    plain = six if split == "train" or release == "v3" else single
    write = double if rng.random() < 0.06 else plain
    texts = tuple(write(float(value)) for value in bounds)
    return Box(region, source, Bounds(*map(float, texts)), texts, write)


def box_row(image_id: str, box: Box, columns: int, rng: np.random.Generator) -> Row:
    """A row of a box file.

    Args:
      image_id: of the picture.
      box: as `box_of` gives it.
      columns: 8, 13 (with flags) or 21 (with clicks).
      rng: for what is unknown.

    Returns:
      As many fields as `columns`.
    """
    region = box.region
    confidence = "1.0" if rng.random() < 0.1 else "1"
    start = (image_id, box.source, mid_of(region.name), confidence, *box.texts)
    flags = ["-1"] * 5
    if box.source != "activemil":
        known = (region.occluded, region.truncated, region.group_of, region.depiction, False)
        flags = [str(int(flag)) for flag in known]
        if rng.random() < 0.08:
            flags[3:] = "-1", "-1"
    clicks = ["-1"] * 8
    if box.source == "xclick":
        points = extreme_points(region.mask, box.bounds)
        order = rng.permutation(4)
        clicks = [box.write(points[i][axis]) for axis in (0, 1) for i in order]
    return (*start, *flags, *clicks)[:columns]


def person_row(image_id: str, region: Region, rng: np.random.Generator) -> Row | None:
    """A row of the MIAP person boxes; None for what is no person."""
    if region.name not in PEOPLE:
        return None
    coordinates = tuple(map(six, edge_bounds(region.mask)))
    feminine = region.name in _FEMININE
    grey = region.thing.variant // 4 % 4 == 3
    gender = f"Predominantly {'Feminine' if feminine else 'Masculine'}"
    age = "Young" if region.name in _YOUNG else "Older" if grey else "Middle"
    if region.mask.sum() < 1500:
        gender = age = "Unknown"
    flags = [str(int(flag)) for flag in (region.occluded, region.truncated, False, False, False)]
    if rng.random() < 0.05:
        flags[4] = "-1"
    return (image_id, mid_of("Person"), "1", *coordinates, *flags, gender, age)


def relationship_rows(image_id: str, boxes: list[Box], relations: list[Relation]) -> list[Row]:
    """The relationships between boxes that stand for single things.

    Args:
      image_id: of the picture.
      boxes: all boxes of the picture.
      relations: of its scene; those of things that can't be seen are left out.

    Returns:
      Rows with both boxes; the attributes (`is`) repeat the box.
    """
    by_key = {box.region.thing.key: box for box in boxes if not box.region.group_of}
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
