"""The rows of each table, thousands at a time, as functions of the seed and their positions.

The tables that speak of boxes all agree on them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from open_images.synthesis import bulk_pools as pools
from open_images.synthesis import text
from open_images.synthesis.batches import Batch, bits
from open_images.synthesis.identity import draw
from open_images.synthesis.photos import HOST, LICENSE
from open_images.synthesis.text import choose, decimals, fields, hex8, pick
from transforms.dataset.texts import join

_V3_TRAIN_SOURCES = ("xclick", "activemil", "verification", "xclick")
_V3_SOURCES = ("freeform", "xclick", "freeform", "freeform")
_V7_SOURCES = ("xclick",) * 7 + ("activemil",)
_LAYERS_WITH_MASKS = 16  # the boxes of these layers are of classes that have masks


@dataclass(frozen=True)
class _Boxes:
    """Boxes in steps of 1/65535.

    Attributes:
      edges: int64 (n,) each: XMin, XMax, YMin, YMax, XMin < XMax.
      label: int (n,), the place of the class in `definitions.boxable_mids`.
    """

    edges: list[np.ndarray]
    label: np.ndarray

    def texts(self, write: Callable[[float], str]) -> list[pa.Array]:
        """Returns the coordinates as fields."""
        return [pick(text.coordinate_fields(write), edge) for edge in self.edges]


def _boxes(batch: Batch, extra_layers: int = 0) -> _Boxes:
    """Returns the box of each row's image and layer, the same for every table that speaks of it."""
    chance = batch.draw("box", extra_layers)
    sides = []
    for first in (0, 32):
        # Squaring makes small boxes common.
        length = 400 + ((bits(chance, first, 16) ** np.uint64(2) >> np.uint64(16)) * 63000 >> 16)
        room = np.uint64(text.UNKNOWN - 1) - length
        start = bits(chance, first + 16, 16) * room >> np.uint64(16)
        start[bits(chance, first, 3) == 0] = 0
        sides += [start.astype(np.int64), (start + length).astype(np.int64)]
    first_layers = batch.layer + extra_layers < _LAYERS_WITH_MASKS
    limit = np.where(first_layers, pools.SEGMENTABLE_CHANCES, pools.CHANCES)
    quantile = bits(batch.draw("box/class", extra_layers), 0, 30).astype(np.int64)
    return _Boxes(sides, pools.BOXABLE_QUANTILES[quantile * limit >> 30])


def boxes(batch: Batch) -> pa.Array:
    """Returns rows of boxes: 8, 13 or 21 columns, as release and split want it."""
    box, chance = _boxes(batch), batch.draw("box/row")
    train, v3 = batch.split == "train", batch.release == "v3"
    sources = (_V3_TRAIN_SOURCES if train else _V3_SOURCES) if v3 else _V7_SOURCES
    source = bits(chance, 0, 16).astype(np.int64) % len(sources)
    parts = [
        batch.image_ids(),
        pick(fields(sources), source),
        pick(pools.LABELS, box.label),
        pick(fields(["1.0"] + ["1"] * 15), bits(chance, 16, 4)),
        *box.texts(text.six if train or v3 else text.single),
    ]
    if not (train and v3):
        unknown = np.array([name == "activemil" for name in sources])[source]
        parts.append(pick(pools.FLAGS, np.where(unknown, 64, bits(chance, 20, 6))))
    if train and not v3:
        clicked = np.array([name == "xclick" for name in sources])[source]
        parts += _clicks(box, chance, clicked)
    return join(*parts, "\n")


def _clicks(box: _Boxes, chance: np.ndarray, clicked: np.ndarray) -> list[pa.Array]:
    """Returns the extreme points, top, left, bottom and right of a box: all x, then all y."""
    xmin, xmax, ymin, ymax = box.edges
    along = [bits(chance, first, 8).astype(np.int64) for first in (32, 40, 48, 56)]
    across = [xmin + ((xmax - xmin) * along[i] >> 8) for i in (0, 1)]
    down = [ymin + ((ymax - ymin) * along[i] >> 8) for i in (2, 3)]
    places = (across[0], xmin, across[1], xmax, ymin, down[0], ymax, down[1])
    pool = text.coordinate_fields(text.six)
    return [pick(pool, np.where(clicked, place, text.UNKNOWN)) for place in places]


def person_boxes(batch: Batch) -> pa.Array:
    """Returns rows of the MIAP person boxes."""
    chance = batch.draw("person")
    flags = pick(pools.FLAGS, bits(chance, 0, 6))
    end = pick(pools.PEOPLE_ENDS, bits(chance, 8, 4))
    return join(batch.image_ids(), ",/m/01g317,1", *_boxes(batch).texts(text.six), flags, end)


def masks(batch: Batch) -> pa.Array:
    """Returns rows of masks; their boxes are those of the same image and layer in the box table."""
    box, chance = _boxes(batch), batch.draw("mask")
    ids = batch.image_ids()
    # One id in eight has digits only, so that it looks like a number.
    digits = join(decimals(bits(chance, 0, 32), 4), decimals(bits(chance, 16, 32), 4))
    box_ids = choose(bits(chance, 61, 3) == 0, digits, hex8(chance))
    path = join(ids, pick(pools.MASK_NAMES, box.label), box_ids, ".png")
    label = pick(pools.LABELS, box.label)
    iou = pick(pools.IOUS, bits(chance, 32, 10))
    clicks = pick(pools.CLICK_ENDS, bits(chance, 42, 10))
    return join(path, ",", ids, label, ",", box_ids, *box.texts(text.short), iou, clicks)


def relationships(batch: Batch) -> pa.Array:
    """Returns relationships between an image's box and its next; attributes repeat the box."""
    chance = batch.draw("relationship")
    one, two = _boxes(batch), _boxes(batch, 1)
    attribute = bits(chance, 0, 2) == 0
    attributes = pools.NUM_CLASSES + bits(chance, 2, 2).astype(np.int64)
    edges = [np.where(attribute, a, b) for a, b in zip(one.edges, two.edges, strict=True)]
    verb = bits(chance, 4, 16).astype(np.int64) % len(pools.VERBS)
    first = pick(pools.LABELS, one.label)
    second = pick(pools.LABELS, np.where(attribute, attributes, two.label))
    texts = one.texts(text.short) + _Boxes(edges, two.label).texts(text.short)
    name = pick(fields([*pools.VERBS, "is"]), np.where(attribute, len(pools.VERBS), verb))
    return join(batch.image_ids(), first, second, *texts, name, "\n")


def images(batch: Batch) -> pa.Array:
    """Returns rows of the image table."""
    v3 = batch.release == "v3"
    chance, more = batch.draw("photo"), batch.draw("photo/more")
    account = bits(chance, 0, 32) % np.uint64(1000)
    site = join("synthetic-", decimals(account, 3))
    number = join("3", decimals(bits(chance, 32, 32), 5), decimals(bits(more, 32, 32), 4))
    farm, folder = decimals(bits(more, 0, 6), 1), decimals(bits(more, 6, 20), 4)
    url = join("https://farm", farm, f".{HOST}/", folder, "/", number, "_", hex8(more))
    landing = join("https://www.flickr.example/photos/", site, "/", number)
    thumbnail = choose(bits(more, 0, 12) >= 100, join(url, "_z.jpg"))
    mark = '"' if v3 else ""
    profile = join(f"{mark}https://www.flickr.example/people/", site, f"/{mark}")
    author = pick(pools.author_fields(v3), account)
    title = pick(pools.title_fields(v3), bits(more, 12, 12))
    megabytes = decimals(bits(chance, 40, 20) % np.uint64(50) + np.uint64(10), 2)
    size = join(megabytes, decimals(bits(chance, 8, 30), 5))
    end = "\n" if v3 else pick(pools.ROTATION_ENDS, bits(more, 24, 6))
    checksum = text.md5_base64(chance, more)
    before = join(batch.image_ids(), f",{batch.split},", url, "_o.jpg,", landing, f",{LICENSE},")
    return join(before, profile, author, title, ",", size, ",", checksum, ",", thumbnail, end)


def narratives(batch: Batch) -> pa.Array:
    """Returns lines of narratives."""
    which = bits(batch.draw("narrative"), 0, 6)
    pieces = pools.narrative_pieces(batch.split, batch.narrative_bytes)
    before, between, after = (pick(piece, which) for piece in pieces)
    ids = batch.image_ids()
    return join(before, ids, between, ids, after)


def points(batch: Batch) -> pa.Array:
    """Returns rows of point labels."""
    chance = batch.draw("point")
    x, y = (pick(text.coordinate_fields(text.six), bits(chance, at, 16)) for at in (0, 16))
    label = pick(pools.LABELS, pools.LABEL_QUANTILES[bits(chance, 32, 18)])
    end = pick(pools.POINT_ENDS, bits(chance, 50, 6) % np.uint64(len(pools.POINT_ENDS)))
    return join(batch.image_ids(), x, y, label, end)


def human_labels(batch: Batch) -> pa.Array:
    """Returns rows of verified image labels."""
    chance, label = _labels(batch, "human")
    source = pick(fields(["verification"] * 3 + ["crowdsource-verification"]), bits(chance, 0, 2))
    return join(batch.image_ids(), source, label, pick(pools.HUMAN_ENDS, bits(chance, 2, 4)))


def machine_labels(batch: Batch) -> pa.Array:
    """Returns rows of the classifier's image labels."""
    chance, label = _labels(batch, "machine")
    end = pick(pools.MACHINE_ENDS, bits(chance, 2, 4))
    return join(batch.image_ids(), ",machine", label, end)


def _labels(batch: Batch, stream: str) -> tuple[np.ndarray, pa.Array]:
    """Returns a chance for each row, and labels by Zipf's law that rarely recur in an image."""
    chance = batch.draw(stream)
    # Each of an image's rows draws from a stretch of the distribution that is its own.
    turn = bits(draw(batch.seed, stream + "/turn", batch.image), 0, 16).astype(np.int64)
    stretch = (batch.layer + turn) % batch.layers
    place = ((stretch << 18) + bits(chance, 8, 18).astype(np.int64)) // batch.layers
    return chance, pick(pools.LABELS, pools.LABEL_QUANTILES[place])
