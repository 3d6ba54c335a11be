"""Mask PNGs to boolean arrays."""

import numpy as np
from PIL import Image

from transforms.dataset.failures import PixelError, Reason
from transforms.examples.imaging.decode import load_png
from transforms.examples.imaging.header import MAX_PIXELS, PILLOW_ERRORS, check_picture


def decode_mask(
    data: bytes, size: tuple[int, int] | None = None, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Decodes a mask of any PNG pixel format; where its luminance isn't zero there is the object.

    A palette is resolved through its colours, and an alpha channel ignored.

    Args:
        data: the PNG.
        size: (width, height) to resize to with Pillow's NEAREST; None leaves the mask's own.
        max_pixels: the most pixels it may have as stored.

    Returns:
        (height, width) bool, origin top left.

    Raises:
        PixelError: MASK_CORRUPT, whatever is wrong with it.
    """
    try:
        if check_picture(data, max_pixels).format != "PNG":
            raise PixelError(Reason.FORMAT_NOT_ALLOWED, "a mask must be a PNG")
        image = load_png(data)
    except PixelError as error:
        raise PixelError(Reason.MASK_CORRUPT, str(error)) from None
    except PILLOW_ERRORS as error:
        raise PixelError(Reason.MASK_CORRUPT, f"{type(error).__name__}: {error}") from None
    if image.mode not in ("1", "L"):
        image = image.convert("L")  # clips 16 bits, so what isn't zero stays so
    if size and size != image.size:  # before it is copied, as what gets smaller is cheaper to copy
        image = image.resize(size, Image.Resampling.NEAREST)
    # numpy gets booleans of 255 from mode 1, whose comparisons go wrong.
    return np.asarray(image).view(np.uint8) != 0
