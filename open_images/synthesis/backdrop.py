"""The place where a scene happens: sky or wall, and ground."""

import numpy as np
from PIL import Image

from open_images.synthesis.colours import RGB
from open_images.synthesis.scenes import Scene

_STUFF: dict[str, RGB] = {
    "Sky": (150, 196, 236),
    "Wall": (224, 208, 184),
    "Grass": (106, 158, 76),
    "Sea": (52, 112, 160),
    "Snow": (230, 236, 244),
    "Flooring": (160, 122, 92),
}


def backdrop(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws the empty place.

    Args:
      scene: gives size, setting and horizon.
      rng: for texture.

    Returns:
      Colours, float32 (height, width, 3), and which pixels are ground, bool (height, width).
    """
    height, width = scene.height, scene.width
    x, y = np.arange(width), np.arange(height)[:, None]
    hills = 0.0 if scene.setting.name in ("sea", "room") else 0.05 * height
    wave = np.sin(x / width * rng.uniform(3, 9) + rng.uniform(0, 6))
    ground = y >= scene.horizon - hills * (0.5 + 0.5 * wave)
    upper = np.array(_STUFF[scene.setting.upper], np.float32)
    lower = np.array(_STUFF[scene.setting.lower], np.float32)
    tint = rng.uniform(0.88, 1.06)
    fade = (y / height).astype(np.float32)
    above = upper * tint * (0.86 + 0.26 * fade)[..., None]
    below = lower * tint * (1.14 - 0.3 * fade)[..., None]
    canvas = np.where(ground[..., None], below, above).astype(np.float32)
    canvas += 9 * _clouds(rng, width, height)[..., None]
    return canvas, ground


def _clouds(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Soft noise of unit deviation at two scales: float32 (height, width)."""
    total = np.zeros((height, width), np.float32)
    for cells, weight in ((6, 0.8), (40, 0.6)):
        coarse = rng.normal(0, 1, (cells, cells)).astype(np.float32)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        total += weight * np.asarray(smooth)
    return total
