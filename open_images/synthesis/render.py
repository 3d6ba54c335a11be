"""Draws a scene, and finds the pixels of each thing."""

from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
from PIL import Image, ImageFilter

from open_images.synthesis.kinds import NAMED, OVERSAMPLING, RGB, Pen
from open_images.synthesis.scenes import Scene, Thing

_MIN_VISIBLE = 0.3  # of a thing's pixels; what is hidden more is not put into the picture at all
_MIN_INSIDE = 0.5
_MIN_PIXELS = 120
_NEAR = 4  # pixels; islands farther away than that are by themselves
_BACKGROUNDS: dict[str, RGB] = {
    "Sky": (150, 196, 236),
    "Wall": (224, 208, 184),
    "Grass": (106, 158, 76),
    "Sea": (52, 112, 160),
    "Snow": (230, 236, 244),
    "Flooring": (160, 122, 92),
}


@dataclass
class Region:
    """A thing in the picture, or a group of them.

    Attributes:
      thing: the thing; of a group its first.
      mask: bool (height, width), its visible pixels in the frame of the picture.
      occluded, truncated: whether something hides a part of it, or the picture's edge does.
    """

    thing: Thing
    mask: np.ndarray
    occluded: bool
    truncated: bool
    is_group: bool = False

    @property
    def name(self) -> str:
        """The display name of its class."""
        return self.thing.kind.name

    @property
    def depiction(self) -> bool:
        """Whether it is a picture of a thing rather than a thing."""
        return self.thing.depicted_in >= 0


@dataclass
class Picture:
    """A drawn scene.

    Attributes:
      pixels: uint8 (height, width, 3).
      regions: what is visible, farthest first.
      upper, lower: bool (height, width), the visible background (sky or wall, and ground).
    """

    scene: Scene
    pixels: np.ndarray
    regions: list[Region]
    upper: np.ndarray
    lower: np.ndarray


def render(scene: Scene, rng: np.random.Generator) -> Picture:
    """Draws the scene upright.

    Args:
      scene: what to draw.
      rng: for texture.

    Returns:
      The picture with the visible pixels of each thing. Things that would be hidden, too small or
      mostly outside are left out of the picture, and so is what they carry.
    """
    layers = {thing.key: _layer(thing, scene) for thing in scene.things}
    things = _showable(scene, layers)
    owners = _owners(scene, things, layers)
    canvas, ground = _backdrop(scene, rng)
    for thing in things:
        layer = layers[thing.key]
        window = canvas[layer.where]
        alpha = layer.alpha[..., None] * (0.6 if thing.transparent else 1.0)
        window += alpha * (layer.colour - window)
    canvas += 3.5 * rng.standard_normal(canvas.shape[:2], np.float32)[..., None]
    return Picture(
        scene,
        np.clip(canvas, 0, 255).astype(np.uint8),
        [_region(thing, things, layers[thing.key], owners) for thing in things],
        (owners < 0) & ~ground,
        (owners < 0) & ground,
    )


def turn(picture: Picture, degrees: int) -> Picture:
    """Turns a picture clockwise, so that turning by `degrees` counter-clockwise sets it upright.

    Args:
      picture: as `render` returns it.
      degrees: 0, 90, 180 or 270.

    Returns:
      The picture with its masks in the turned frame.
    """
    turns = -degrees // 90

    def turned(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.rot90(array, turns))

    regions = [replace(region, mask=turned(region.mask)) for region in picture.regions]
    pixels, upper, lower = map(turned, (picture.pixels, picture.upper, picture.lower))
    return Picture(picture.scene, pixels, regions, upper, lower)


def jpeg(pixels: np.ndarray, quality: int = 90) -> bytes:
    """Returns uint8 (height, width, 3) encoded as JPEG."""
    out = BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality)
    return out.getvalue()


@dataclass
class _Layer:
    """A thing drawn by itself, cut to the picture.

    Attributes:
      where: the rows and columns of the picture it covers.
      colour: float32 (h, w, 3); alpha: float32 (h, w); solid: bool (h, w), what counts as its own.
      whole: number of solid pixels including those outside of the picture.
    """

    where: tuple[slice, ...]
    colour: np.ndarray
    alpha: np.ndarray
    solid: np.ndarray
    whole: int


def _layer(thing: Thing, scene: Scene) -> _Layer:
    left, top = int(np.floor(thing.left)) - 1, int(np.floor(thing.top)) - 1
    width, height = int(np.ceil(thing.width)) + 4, int(np.ceil(thing.height)) + 4
    factor = OVERSAMPLING
    big = Image.new("RGBA", (width * factor, height * factor), (0, 0, 0, 0))
    origin = ((thing.left - left) * factor, (thing.top - top) * factor)
    size = (thing.width * factor, thing.height * factor)
    thing.kind.draw(Pen(big, origin, size, NAMED[thing.colour], thing.variant, thing.smile))
    small = np.asarray(big.reduce(factor), np.float32)
    # Light from the upper left gives flat shapes some body.
    light = 1.08 - 0.2 * np.linspace(0, 1, width) - 0.06 * np.linspace(0, 1, height)[:, None]
    colour = small[..., :3] * light[..., None].astype(np.float32)
    alpha = small[..., 3] / 255
    where = tuple(
        slice(*np.clip((start, start + length), 0, limit).tolist())
        for start, length, limit in ((top, height, scene.height), (left, width, scene.width))
    )
    rows, columns = where
    cut = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    whole = int((alpha >= 0.5).sum())
    return _Layer(where, colour[cut], alpha[cut], alpha[cut] >= 0.5, whole)


def _showable(scene: Scene, layers: dict[int, _Layer]) -> list[Thing]:
    """Leaves out, until nothing changes, what would not be seen well enough."""
    things = scene.things
    while True:
        owners = _owners(scene, things, layers)
        kept = [t for t in things if _is_clear(t, things, layers[t.key], owners)]
        keys = {thing.key for thing in kept}
        kept = [thing for thing in kept if thing.carrier < 0 or thing.carrier in keys]
        if len(kept) == len(things):
            return kept
        things = kept


def _owners(scene: Scene, things: list[Thing], layers: dict[int, _Layer]) -> np.ndarray:
    """Returns the key of the nearest thing at each pixel, int16 (height, width), -1 for none."""
    owners = np.full((scene.height, scene.width), -1, np.int16)
    for thing in things:
        layer = layers[thing.key]
        owners[layer.where][layer.solid] = thing.key
    return owners


def _visible(thing: Thing, things: list[Thing], layer: _Layer, owners: np.ndarray) -> np.ndarray:
    """Returns which pixels of a layer show its thing or what is depicted in that."""
    own = [thing.key] + [other.key for other in things if other.depicted_in == thing.key]
    return np.isin(owners[layer.where], own)


def _is_clear(thing: Thing, things: list[Thing], layer: _Layer, owners: np.ndarray) -> bool:
    inside = int(layer.solid.sum())
    if inside < max(_MIN_PIXELS, _MIN_INSIDE * layer.whole):
        return False
    visible = int(_visible(thing, things, layer, owners)[layer.solid].sum())
    return visible >= max(_MIN_PIXELS, _MIN_VISIBLE * inside)


def _region(thing: Thing, things: list[Thing], layer: _Layer, owners: np.ndarray) -> Region:
    mask = np.zeros(owners.shape, bool)
    mask[layer.where] = _without_specks(_visible(thing, things, layer, owners))
    inside = int(layer.solid.sum())
    visible = int(mask[layer.where][layer.solid].sum())
    return Region(thing, mask, visible < 0.98 * inside, inside < 0.99 * layer.whole)


def _without_specks(mask: np.ndarray) -> np.ndarray:
    """Clears islands of up to three pixels, which no annotator would notice behind a thing."""
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    around = np.asarray(image.filter(ImageFilter.BoxBlur(_NEAR)))
    return mask & (around > 255 * 3.5 / (2 * _NEAR + 1) ** 2)


def _backdrop(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws sky or wall, and ground.

    Returns:
      Colours, float32 (height, width, 3), and which pixels are ground, bool (height, width).
    """
    height, width = scene.height, scene.width
    x, y = np.arange(width), np.arange(height)[:, None]
    hills = 0.0 if scene.setting.name in ("sea", "room") else 0.05 * height
    wave = np.sin(x / width * rng.uniform(3, 9) + rng.uniform(0, 6))
    ground = y >= scene.horizon - hills * (0.5 + 0.5 * wave)
    upper = np.array(_BACKGROUNDS[scene.setting.upper], np.float32)
    lower = np.array(_BACKGROUNDS[scene.setting.lower], np.float32)
    tint = rng.uniform(0.88, 1.06)
    fade = (y / height).astype(np.float32)
    above = upper * tint * (0.86 + 0.26 * fade)[..., None]
    below = lower * tint * (1.14 - 0.3 * fade)[..., None]
    canvas = np.where(ground[..., None], below, above).astype(np.float32)
    canvas += 9 * _clouds(rng, width, height)[..., None]
    return canvas, ground


def _clouds(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Returns soft noise of unit deviation at two scales: float32 (height, width)."""
    total = np.zeros((height, width), np.float32)
    for cells, weight in ((6, 0.8), (40, 0.6)):
        coarse = rng.normal(0, 1, (cells, cells)).astype(np.float32)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        total += weight * np.asarray(smooth)
    return total
