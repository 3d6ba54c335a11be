"""Natural photographs, and any number of pictures made from them."""

import functools
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import simplejpeg

#: The longer side of the pictures, as in the bucket of Open Images, and the other side's share.
LONGEST = 1024
_SHARES = (3 / 4, 2 / 3, 9 / 16, 1.0)

#: What the bytes of a picture lie between, and the qualities that are tried for that.
SMALLEST, LARGEST = 80_000, 250_000
_QUALITIES = (88, 80, 70, 95, 60, 50, 97, 40, 30)

_PACKAGES = ("scikit-image==0.25.2", "scikit-learn==1.7.2")
_NAMES = (
    *(f"skimage/data/{name}.png" for name in ("astronaut", "chelsea", "coffee", "motorcycle_left")),
    *(f"skimage/data/{name}.jpg" for name in ("hubble_deep_field", "rocket")),
    *(f"sklearn/datasets/images/{name}.jpg" for name in ("china", "flower")),
)


class Photograph(NamedTuple):
    """A photograph: `pixels` is (h, w, 3) uint8 RGB."""

    name: str
    pixels: np.ndarray


def install_photographs(folder: Path) -> None:
    """Brings the packages whose data the photographs are into a folder of their own, once."""
    if not folder.exists():
        command = ("pip", "install", "--quiet", "--no-deps", "--target", str(folder), *_PACKAGES)
        subprocess.run([sys.executable, "-m", *command], check=True, stdout=sys.stderr)


@functools.cache
def read_photographs(folder: Path) -> list[Photograph]:
    """Eight photographs of some 450 to 1000 pixels, in a fixed order."""
    read = []
    for name in _NAMES:
        pixels = cv2.imread(str(folder / name), cv2.IMREAD_COLOR_RGB)
        if pixels is None:
            raise FileNotFoundError(f"{folder / name}: remove {folder}, which is then made anew")
        read.append(Photograph(Path(name).stem, pixels))
    return read


def make_picture(folder: Path, number: int) -> bytes:
    """A picture as JPEG of `SMALLEST` to `LARGEST` bytes, a function of its number alone.

    Two photographs overlaid, each continued by its mirror image where it ends: thus no picture is
    like another, and all are as sharp as photographs are, which enlarged ones aren't.

    Args:
        folder: what `install_photographs` made.
        number: of the picture.
    """
    rng = np.random.default_rng(number)
    width, height = LONGEST, round(LONGEST * _SHARES[number % len(_SHARES)])
    if rng.random() < 0.25:
        width, height = height, width
    chosen = rng.choice(len(_NAMES), 2, replace=False)
    one, other = (_piece(_continued(folder, int(i)), width, height, rng) for i in chosen)
    share = rng.uniform(0.6, 0.95)
    return _encoded(cv2.addWeighted(one, share, other, 1 - share, 0), int(rng.integers(70, 93)))


@functools.cache
def _continued(folder: Path, number: int) -> np.ndarray:
    """A photograph and its mirror images, so large that a picture fits in anywhere."""
    pixels = read_photographs(folder)[number].pixels
    height, width = pixels.shape[:2]
    return np.pad(pixels, ((0, height + LONGEST), (0, width + LONGEST), (0, 0)), "symmetric")


def _piece(pixels: np.ndarray, width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    top, left = (rng.integers(length - LONGEST) for length in pixels.shape[:2])
    return pixels[top : top + height, left : left + width]


def _encoded(pixels: np.ndarray, first: int) -> bytes:
    for quality in (first, *_QUALITIES):
        data = simplejpeg.encode_jpeg(pixels, quality, "RGB", "420")
        if SMALLEST <= len(data) <= LARGEST:
            return data
    raise ValueError(f"no quality gives {SMALLEST} to {LARGEST} bytes")
