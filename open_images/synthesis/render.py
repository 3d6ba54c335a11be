"""Draws a scene and keeps account of which pixel belongs to which thing."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from open_images.synthesis.backdrop import backdrop
from open_images.synthesis.colours import NAMED, shade
from open_images.synthesis.scenes import Scene, Thing
from open_images.synthesis.shapes import Look, Shape

_OVERSAMPLING = 2
_MIN_VISIBLE = 0.3  # of a thing's pixels; what is hidden more is not put into the picture at all
_MIN_INSIDE = 0.5
_MIN_PIXELS = 120
_NEAR = 4  # pixels; islands farther away than that are by themselves


@dataclass
class Seen:
    """A thing in the picture.

    Attributes:
      mask: bool (height, width), its visible pixels in the frame of the picture.
      occluded, truncated: whether something hides a part of it, or the picture's edge does.
    """

    thing: Thing
    mask: np.ndarray
    occluded: bool
    truncated: bool


@dataclass
class Picture:
    """A drawn scene.

    Attributes:
      pixels: uint8 (height, width, 3).
      seen: what is visible, farthest first.
      upper, lower: bool (height, width), the visible background (sky or wall, and ground).
    """

    scene: Scene
    pixels: np.ndarray
    seen: list[Seen]
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
    things = _showable(scene.things, layers)
    canvas, ground = backdrop(scene, rng)
    owner = np.full(ground.shape, -1, np.int16)
    for thing in things:
        layer = layers[thing.key]
        window = canvas[layer.where]
        alpha = layer.alpha[..., None] * (0.6 if thing.transparent else 1.0)
        window += alpha * (layer.colour - window)
        owner[layer.where][layer.solid] = thing.key
    canvas += 3.5 * rng.standard_normal(canvas.shape[:2], np.float32)[..., None]
    return Picture(
        scene,
        np.clip(canvas, 0, 255).astype(np.uint8),
        [_see(thing, things, layers[thing.key], owner) for thing in things],
        (owner < 0) & ~ground,
        (owner < 0) & ground,
    )


def turn(picture: Picture, degrees: int) -> Picture:
    """Turns a picture clockwise, so that turning by `degrees` counter-clockwise sets it upright.

    Args:
      picture: as `render` gives it.
      degrees: 0, 90, 180 or 270.

    Returns:
      The picture with its masks in the turned frame.
    """
    turns = -degrees // 90

    def turned(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.rot90(array, turns))

    seen = [Seen(s.thing, turned(s.mask), s.occluded, s.truncated) for s in picture.seen]
    pixels, upper, lower = map(turned, (picture.pixels, picture.upper, picture.lower))
    return Picture(picture.scene, pixels, seen, upper, lower)


def jpeg(pixels: np.ndarray, quality: int = 90) -> bytes:
    """Encodes uint8 (height, width, 3) as JPEG."""
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

    where: tuple[slice, slice]
    colour: np.ndarray
    alpha: np.ndarray
    solid: np.ndarray
    whole: int


def _layer(thing: Thing, scene: Scene) -> _Layer:
    left, top = int(np.floor(thing.left)) - 1, int(np.floor(thing.top)) - 1
    width, height = int(np.ceil(thing.width)) + 4, int(np.ceil(thing.height)) + 4
    factor = _OVERSAMPLING
    big = Image.new("RGBA", (width * factor, height * factor), (0, 0, 0, 0))
    pen = ImageDraw.Draw(big)
    look = Look(NAMED[thing.colour], thing.variant, thing.smile)
    origin = ((thing.left - left) * factor, (thing.top - top) * factor)
    size = (thing.width * factor, thing.height * factor)
    for shape in thing.kind.draw(look):
        _draw(pen, shape, origin, size)
    small = np.asarray(big.reduce(factor), np.float32)
    # Light from the upper left gives flat shapes some body.
    light = 1.08 - 0.2 * np.linspace(0, 1, width) - 0.06 * np.linspace(0, 1, height)[:, None]
    colour = small[..., :3] * light[..., None].astype(np.float32)
    alpha = small[..., 3] / 255
    rows = _span(top, height, scene.height)
    columns = _span(left, width, scene.width)
    cut = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    whole = int((alpha >= 0.5).sum())
    return _Layer((rows, columns), colour[cut], alpha[cut], alpha[cut] >= 0.5, whole)


def _span(start: int, length: int, limit: int) -> slice:
    """The part of `length` pixels from `start` on that lies in 0 to `limit`; it may be empty."""
    return slice(min(max(0, start), limit), min(max(0, start + length), limit))


def _draw(
    pen: ImageDraw.ImageDraw, shape: Shape, origin: tuple[float, float], size: tuple[float, float]
) -> None:
    xy = [
        (origin[0] + x * size[0], origin[1] + y * size[1])
        for x, y in zip(shape.xy[::2], shape.xy[1::2], strict=True)
    ]
    edge = shade(shape.fill, 0.62)
    stroke = max(1, round(0.006 * size[1]))
    if shape.form == "polygon":
        pen.polygon(xy, fill=shape.fill, outline=edge, width=stroke)
    elif shape.form == "ellipse":
        pen.ellipse(xy, fill=shape.fill, outline=edge, width=stroke)
    elif shape.form == "rounded":
        radius = 0.12 * min(xy[1][0] - xy[0][0], xy[1][1] - xy[0][1])
        pen.rounded_rectangle(xy, radius, fill=shape.fill, outline=edge, width=stroke)
    else:
        # At least as thick as a pixel and a half, or the string of a balloon would not be solid.
        thickness = max(round(1.5 * _OVERSAMPLING), round(shape.width * size[1]))
        pen.line(xy, fill=shape.fill, width=thickness, joint="curve")


def _showable(things: list[Thing], layers: dict[int, _Layer]) -> list[Thing]:
    """Leaves out, until nothing changes, what would not be seen well enough."""
    while True:
        kept = [thing for thing in things if _is_clear(thing, things, layers)]
        keys = {thing.key for thing in kept}
        kept = [thing for thing in kept if thing.carrier < 0 or thing.carrier in keys]
        if len(kept) == len(things):
            return kept
        things = kept


def _is_clear(thing: Thing, things: list[Thing], layers: dict[int, _Layer]) -> bool:
    layer = layers[thing.key]
    inside = int(layer.solid.sum())
    if inside < max(_MIN_PIXELS, _MIN_INSIDE * layer.whole):
        return False
    free = layer.solid.copy()
    for other in things[things.index(thing) + 1 :]:
        if other.depicted_in != thing.key:
            _cut(free, layer, layers[other.key])
    return int(free.sum()) >= max(_MIN_PIXELS, _MIN_VISIBLE * inside)


def _cut(free: np.ndarray, layer: _Layer, other: _Layer) -> None:
    """Removes from `free`, in the window of `layer`, what `other` covers."""
    mine, theirs = [], []
    for a, b in zip(layer.where, other.where, strict=True):
        start, stop = max(a.start, b.start), min(a.stop, b.stop)
        if start >= stop:
            return
        mine.append(slice(start - a.start, stop - a.start))
        theirs.append(slice(start - b.start, stop - b.start))
    free[tuple(mine)] &= ~other.solid[tuple(theirs)]


def _see(thing: Thing, things: list[Thing], layer: _Layer, owner: np.ndarray) -> Seen:
    own = [thing.key] + [other.key for other in things if other.depicted_in == thing.key]
    mask = np.zeros(owner.shape, bool)
    mask[layer.where] = _without_specks(np.isin(owner[layer.where], own))
    inside = int(layer.solid.sum())
    visible = int(mask[layer.where][layer.solid].sum())
    return Seen(thing, mask, visible < 0.98 * inside, inside < 0.99 * layer.whole)


def _without_specks(mask: np.ndarray) -> np.ndarray:
    """Clears islands of up to three pixels, which no annotator would notice behind a thing."""
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    around = np.asarray(image.filter(ImageFilter.BoxBlur(_NEAR)))
    return mask & (around > 255 * 3.5 / (2 * _NEAR + 1) ** 2)
