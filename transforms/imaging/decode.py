"""Whether a picture's pixels decode, strictly."""

import io
import struct
import zlib

import simplejpeg
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from transforms.failures import PixelError, Reason
from transforms.imaging.header import PILLOW_ERRORS, PictureHeader, png_chunks

_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type

# First column, first row, and steps between columns and rows of the passes of an interlaced PNG.
_WHOLE = [(0, 0, 1, 1)]
_ADAM7 = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
]

# libjpeg can decode this; its simple interface, which simplejpeg uses, can't describe it.
_UNUSUAL_SAMPLING = "Could not determine subsampling"


def verify_pixels(data: bytes, header: PictureHeader) -> None:
    """Decodes a picture in full and lets no damage pass that the decoder can notice.

    Pillow, OpenCV and TensorFlow fill damaged parts of a JPEG with grey or noise without a word.

    Args:
        data: the stored picture.
        header: what `check_picture` returned for it.

    Raises:
        PixelError: TRUNCATED when the data ends early, CORRUPT for other damage.
    """
    try:
        if header.format == "JPEG":
            _verify_jpeg(data)
        else:
            load_png(data)
    except PILLOW_ERRORS as error:
        early = any(word in str(error).lower() for word in ("premature end of jpeg", "truncated"))
        raise PixelError(Reason.TRUNCATED if early else Reason.CORRUPT, str(error)) from None


def _verify_jpeg(data: bytes) -> None:
    try:
        # An eighth of the size and without colour: all coefficients are still read and checked, and
        # what costs time beyond that can't fail.
        simplejpeg.decode_jpeg(data, "GRAY", min_height=1, min_width=1, min_factor=8, strict=True)
    except ValueError as error:
        if _UNUSUAL_SAMPLING not in str(error):
            raise
        JpegImageFile(io.BytesIO(data)).load()


def load_png(data: bytes) -> Image.Image:
    """Decodes a PNG that passed `check_picture`.

    Raises:
        PixelError: TRUNCATED when rows are missing, which Pillow would leave black.
        Exception: any of `PILLOW_ERRORS`.
    """
    pixels = b"".join(body for name, body in png_chunks(data) if name == b"IDAT")
    expected = _unpacked_size(data)
    found = len(zlib.decompressobj().decompress(pixels, expected))
    if found < expected:
        raise PixelError(Reason.TRUNCATED, f"{found} of {expected} bytes of pixels")
    image = PngImageFile(io.BytesIO(data))
    image.load()
    return image


def _unpacked_size(data: bytes) -> int:
    """The bytes that a PNG's inflated pixels take: a filter byte and packed pixels each row."""
    width, height, depth, colour, interlaced = struct.unpack_from(">IIBBxxB", data, 16)
    bits = depth * _PNG_CHANNELS[colour]
    total = 0
    for left, top, across, down in _ADAM7 if interlaced else _WHOLE:
        columns, rows = -((left - width) // across), -((top - height) // down)
        if columns > 0:
            total += max(rows, 0) * (1 + (columns * bits + 7) // 8)
    return total
