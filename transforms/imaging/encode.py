"""Encoding pixels; equal pixels give equal bytes, for the same version of the libraries."""

import io
from typing import Literal

import numpy as np
import simplejpeg
from PIL import Image

from transforms.failures import PixelError, Reason

#: Formats that can be written.
Encoding = Literal["jpeg", "png", "webp"]

# The longest side that a format, or its library, can hold.
_MAX_SIDE = {"jpeg": 65_500, "webp": 16_383}

# From this quality on, colour is worth its full resolution. Photographs of 341 x 256 at quality 90:
# 4:2:0 25.2 kB, 36.5 dB, 0.35 ms; 4:4:4 32.0 kB, 38.7 dB, 0.56 ms.
_FULL_COLOUR_FROM = 95


def encode_pixels(pixels: np.ndarray, encoding: Encoding, quality: int) -> bytes:
    """Encodes a (h, w, 3) uint8 RGB picture.

    Args:
        pixels: the picture.
        encoding: the format. JPEG is baseline, with colour at half the resolution (4:2:0) for a
            quality below 95.
        quality: 1 to 100, of JPEG and WebP; PNG loses nothing.

    Raises:
        PixelError: TOO_MANY_PIXELS when a side is longer than the format can hold.
    """
    height, width = pixels.shape[:2]
    if max(width, height) > (limit := _MAX_SIDE.get(encoding, max(width, height))):
        detail = f"{width} x {height}: a side of {encoding} is at most {limit}"
        raise PixelError(Reason.TOO_MANY_PIXELS, detail)
    if encoding == "jpeg":
        sampling = "444" if quality >= _FULL_COLOUR_FROM else "420"
        return simplejpeg.encode_jpeg(pixels, quality, "RGB", sampling)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, encoding, quality=quality)
    return buffer.getvalue()
