"""Encoding pixels; equal pixels give equal bytes, for the same version of the libraries."""

import io
import math
from typing import Literal

import numpy as np
import simplejpeg
from PIL import Image

from transforms.dataset.failures import PixelError, Reason
from transforms.examples.imaging.rotate import LARGE_BYTES

#: Formats that can be written.
Encoding = Literal["jpeg", "png", "webp"]

# The longest side that a format, or its library, can hold.
_MAX_SIDE = {"jpeg": 65_500, "webp": 16_383}

#: Bytes of an encoded picture, which is in memory four times while Parquet is written.
MAX_ENCODED_BYTES = 160 << 20


#: The most pixels, which leaves a worker within a GiB. Beside the 3 bytes a pixel of the picture
#: libwebp takes 2.5; Pillow 4, and up to 3 for a PNG that deflating makes no smaller.
MAX_PIXELS = {"png": 64_000_000, "webp": 120_000_000}

# From this quality on, colour is worth its full resolution. Photographs of 341 x 256 at quality 90:
# 4:2:0 25.2 kB, 36.5 dB, 0.35 ms; 4:4:4 32.0 kB, 38.7 dB, 0.56 ms.
_FULL_COLOUR_FROM = 95


def encode_pixels(pixels: np.ndarray, encoding: Encoding, quality: int) -> bytes:
    """Encodes a (h, w, 3) uint8 RGB picture.

    Args:
        pixels: the picture. Above `LARGE_BYTES` it may be overwritten.
        encoding: the format. JPEG is baseline, with colour at half the resolution (4:2:0) for a
            quality below 95.
        quality: 1 to 100, of JPEG and WebP; PNG loses nothing.

    Raises:
        PixelError: TOO_MANY_PIXELS when a side is longer than the format can hold, or there are
            more pixels than the limit; TOO_LARGE for more bytes.
    """
    height, width = pixels.shape[:2]
    if max(width, height) > (most := _MAX_SIDE.get(encoding, math.inf)):
        detail = f"{width} x {height}: a side of {encoding} is at most {most}"
        raise PixelError(Reason.TOO_MANY_PIXELS, detail)
    if width * height > (most := MAX_PIXELS.get(encoding, math.inf)):
        detail = f"{width} x {height} is over {most}, the most for {encoding}"
        raise PixelError(Reason.TOO_MANY_PIXELS, detail)
    data = _ENCODERS[encoding](pixels, quality)
    if len(data) > MAX_ENCODED_BYTES:
        detail = f"{len(data)} bytes as {encoding}; at most {MAX_ENCODED_BYTES}"
        raise PixelError(Reason.TOO_LARGE, detail)
    return data


def _encode_jpeg(pixels: np.ndarray, quality: int) -> bytes:
    sampling = "444" if quality >= _FULL_COLOUR_FROM else "420"
    return simplejpeg.encode_jpeg(pixels, quality, "RGB", sampling)


def _encode_png(pixels: np.ndarray, _: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def _encode_webp(pixels: np.ndarray, quality: int) -> bytes:
    from transforms.examples.imaging.opencv import cv2

    # OpenCV gives libwebp the pixels as they are, where Pillow makes two copies.
    place = pixels if pixels.nbytes > LARGE_BYTES else None
    blue_first = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR, place)
    return cv2.imencode(".webp", blue_first, [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()


_ENCODERS = {"jpeg": _encode_jpeg, "png": _encode_png, "webp": _encode_webp}
