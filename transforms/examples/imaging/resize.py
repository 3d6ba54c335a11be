"""Sizes of resized pictures, and resizing."""

from typing import Literal

import numpy as np

#: How a picture's size follows from `--image_size`.
Resize = Literal["none", "shortest", "longest", "exact"]

# Up to this ratio bilinear sampling of a JPEG decoded at a fraction of its size comes closer to the
# average over areas of the whole picture than the average over areas does; and it takes half of the
# time. Beyond, it passes over pixels.
_BILINEAR_UP_TO = 1.6


def target_size(
    width: int, height: int, resize: Resize, size: int, allow_upscale: bool
) -> tuple[int, int]:
    """Returns the size that a picture is to have.

    The side that isn't given keeps the proportions, rounded to the nearest pixel (halves up) and at
    least one. Turning before or after makes no difference.

    >>> target_size(1024, 683, "shortest", 256, allow_upscale=False)
    (384, 256)

    Args:
        width: of the picture.
        height: of the picture.
        resize: which side becomes `size`; with `exact`, both do.
        size: in pixels.
        allow_upscale: whether a picture may get larger. If not, one that would is left as it is.
            Ignored with `exact`.

    Returns:
        Width and height.
    """
    if resize == "none":
        return width, height
    if resize == "exact":
        return size, size
    side = min(width, height) if resize == "shortest" else max(width, height)
    if side == size or (side < size and not allow_upscale):
        return width, height
    return _scale(width, size, side), _scale(height, size, side)


def _scale(length: int, numerator: int, denominator: int) -> int:
    return max(1, (2 * length * numerator + denominator) // (2 * denominator))


def resize_pixels(
    pixels: np.ndarray, width: int, height: int, extent: tuple[float, float] | None = None
) -> np.ndarray:
    """Resizes a (h, w, 3) uint8 picture to (height, width, 3).

    Bilinear, or the average over areas where it shrinks by more than `_BILINEAR_UP_TO`.

    Args:
        pixels: the picture.
        width: it is to have.
        height: it is to have.
        extent: its true width and height where decoding to a fraction rounded them up. Left out of
            account, that would shift a picture of odd size by half a pixel, which costs 7 dB.

    Returns:
        The resized picture; `pixels` itself when it has that size already.
    """
    from transforms.examples.imaging.opencv import cv2

    shown = extent or (pixels.shape[1], pixels.shape[0])
    # An axis that grows comes after one that shrinks: averaging over areas is for shrinking both.
    for across, down in (
        (min(width, pixels.shape[1]), min(height, pixels.shape[0])),
        (width, height),
    ):
        if shown != (across, down):
            x, y = across / shown[0], down / shown[1]
            method = cv2.INTER_AREA if min(x, y) * _BILINEAR_UP_TO < 1 else cv2.INTER_LINEAR
            # What lies beyond the true extent may make for one row or column more.
            pixels = cv2.resize(pixels, None, fx=x, fy=y, interpolation=method)[:down, :across]
            shown = across, down
    return pixels
