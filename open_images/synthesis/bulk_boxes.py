"""Bulk rows of the tables that speak of boxes, which all agree on them."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from open_images.synthesis import bulk_pools as pools
from open_images.synthesis.batches import Batch, bits
from open_images.synthesis.columns import (
    UNKNOWN,
    choose,
    coordinate_fields,
    decimals,
    fields,
    hex8,
    join,
    pick,
)
from open_images.synthesis.definitions import boxable_mids

_V3_TRAIN_SOURCES = ("xclick", "activemil", "verification", "xclick")
_V3_SOURCES = ("freeform", "xclick", "freeform", "freeform")
_V7_SOURCES = ("xclick",) * 7 + ("activemil",)
_LAYERS_WITH_MASKS = 16  # the boxes of these layers are of classes that have masks


@dataclass(frozen=True)
class _Boxes:
    """Boxes in steps of 1/65535.

    Attributes:
      edges: int64 (n,) each: XMin, XMax, YMin, YMax, XMin < XMax.
      label: int (n,), the place of the class in `boxable_mids`.
    """

    edges: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    label: np.ndarray

    def texts(self, style: str) -> list[pa.Array]:
        """The coordinates as fields."""
        return [pick(coordinate_fields(style), edge) for edge in self.edges]


def _boxes(batch: Batch, extra_layers: int = 0) -> _Boxes:
    """The box of each row's image and layer, the same for every table that speaks of it."""
    chance = batch.draw("box", extra_layers)
    sides = []
    for first in (0, 32):
        # Squaring makes small boxes common.
        length = 400 + ((bits(chance, first, 16) ** np.uint64(2) >> np.uint64(16)) * 63000 >> 16)
        start = bits(chance, first + 16, 16) * (np.uint64(UNKNOWN - 1) - length) >> np.uint64(16)
        start[bits(chance, first, 3) == 0] = 0
        sides += [start.astype(np.int64), (start + length).astype(np.int64)]
    table = pools.popularity(len(boxable_mids()))
    first_layers = batch.rows.layer + extra_layers < _LAYERS_WITH_MASKS
    limit = np.where(first_layers, pools.segmentable_chances(), pools.CHANCES)
    quantile = bits(batch.draw("box/class", extra_layers), 0, 30).astype(np.int64)
    return _Boxes(tuple(sides), table[quantile * limit >> 30])


def boxes(batch: Batch) -> pa.Array:
    """Rows of boxes: 8, 13 or 21 columns, as release and split want it."""
    box, chance = _boxes(batch), batch.draw("box/row")
    train, v3 = batch.split == "train", batch.release == "v3"
    sources = (_V3_TRAIN_SOURCES if train else _V3_SOURCES) if v3 else _V7_SOURCES
    source = bits(chance, 0, 16).astype(np.int64) % len(sources)
    columns = [
        batch.image_ids(),
        pick(fields(sources), source),
        pick(pools.label_fields(), box.label),
        pick(fields(["1.0"] + ["1"] * 15), bits(chance, 16, 4)),
        *box.texts("six" if train or v3 else "single"),
    ]
    if not (train and v3):
        unknown = np.array([name == "activemil" for name in sources])[source]
        columns.append(pick(pools.flag_fields(), np.where(unknown, 64, bits(chance, 20, 6))))
    if train and not v3:
        clicked = np.array([name == "xclick" for name in sources])[source]
        columns += _clicks(box, chance, clicked)
    return join(*columns, "\n")


def _clicks(box: _Boxes, chance: np.ndarray, clicked: np.ndarray) -> list[pa.Array]:
    """Extreme points on the sides of the box, top, left, bottom, right: all x, then all y."""
    xmin, xmax, ymin, ymax = box.edges
    along = [bits(chance, first, 8).astype(np.int64) for first in (32, 40, 48, 56)]
    across = [xmin + ((xmax - xmin) * along[i] >> 8) for i in (0, 1)]
    down = [ymin + ((ymax - ymin) * along[i] >> 8) for i in (2, 3)]
    places = (across[0], xmin, across[1], xmax, ymin, down[0], ymax, down[1])
    pool = coordinate_fields("six")
    return [pick(pool, np.where(clicked, place, UNKNOWN)) for place in places]


def person_boxes(batch: Batch) -> pa.Array:
    """Rows of the MIAP person boxes."""
    chance = batch.draw("person")
    return join(
        batch.image_ids(),
        ",/m/01g317,1",
        *_boxes(batch).texts("six"),
        pick(pools.flag_fields(), bits(chance, 0, 6)),
        pick(pools.people_fields(), bits(chance, 8, 4)),
    )


def masks(batch: Batch) -> pa.Array:
    """Rows of masks; their boxes are those of the same image and layer in the box table."""
    box, chance = _boxes(batch), batch.draw("mask")
    ids = batch.image_ids()
    # One id in eight has digits only, so that it looks like a number.
    digits = join(decimals(bits(chance, 0, 32), 4), decimals(bits(chance, 16, 32), 4))
    box_ids = choose(bits(chance, 61, 3) == 0, digits, hex8(chance))
    return join(
        ids,
        pick(pools.mask_names(), box.label),
        box_ids,
        ".png,",
        ids,
        pick(pools.label_fields(), box.label),
        ",",
        box_ids,
        *box.texts("short"),
        pick(pools.iou_fields(), bits(chance, 32, 10)),
        pick(pools.click_ends(), bits(chance, 42, 10)),
    )


def relationships(batch: Batch) -> pa.Array:
    """Rows of relationships between an image's box and its next; attributes repeat the box."""
    chance = batch.draw("relationship")
    one, two = _boxes(batch), _boxes(batch, 1)
    attribute = bits(chance, 0, 2) == 0
    first_attribute = len(pools.label_mids())
    attributes = first_attribute + bits(chance, 2, 2).astype(np.int64)
    left, right, top, bottom = (
        np.where(attribute, a, b) for a, b in zip(one.edges, two.edges, strict=True)
    )
    second = _Boxes((left, right, top, bottom), two.label)
    verb = bits(chance, 4, 16).astype(np.int64) % len(pools.VERBS)
    return join(
        batch.image_ids(),
        pick(pools.label_fields(), one.label),
        pick(pools.label_fields(), np.where(attribute, attributes, two.label)),
        *one.texts("short"),
        *second.texts("short"),
        pick(fields([*pools.VERBS, "is"]), np.where(attribute, len(pools.VERBS), verb)),
        "\n",
    )
