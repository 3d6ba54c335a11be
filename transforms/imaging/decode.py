"""A picture's pixels, decoded strictly.

Everything becomes 8-bit RGB by the rules that Pillow, OpenCV and TensorFlow share, so that a
decoded picture is what a reader of the stored bytes sees:

- Grey is repeated; 1, 2 and 4 bits are stretched to 8; of 16 bits the higher 8 count.
- A palette gives its colours.
- Alpha and transparent colours are dropped: what lies under them shows.
- CMYK and YCCK are taken as inverted, as Adobe writes them, whether marked as Adobe's or not: R is
  C * K / 255. (TensorFlow takes unmarked ones as not inverted.)
- EXIF orientation, colour profiles and gamma are not applied: annotations are in the stored frame.
"""

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
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

# A JPEG is decoded at an eighth, a quarter or half of its size where the result exceeds what is
# wanted by this margin, or is just that. A scaled inverse DCT leaves out high frequencies instead
# of averaging, which shows where little is left to resample: these margins keep photographs at
# 38 dB and more of what averaging the whole picture gives. libjpeg-turbo has fast code for these
# fractions alone (of a 1024 x 768 picture: 1/4 1.9 ms, 3/8 2.8, 1/2 2.3, 3/4 4.9, whole 3.4).
_JPEG_MARGINS = {8: 1.5, 4: 1.2, 2: 1.0}

_STRIP_PIXELS = 1 << 20
_INFLATED_AT_ONCE = 1 << 16


def verify_pixels(data: bytes, header: PictureHeader) -> None:
    """Decodes a picture in full and lets no damage pass that the decoder can notice.

    Pillow, OpenCV and TensorFlow fill damaged parts of a JPEG with grey or noise without a word.

    Args:
        data: the stored picture.
        header: what `check_picture` returned for it.

    Raises:
        PixelError: TRUNCATED when the data ends early, CORRUPT for other damage.
    """
    with _damage_named():
        if header.format == "JPEG":
            _verify_jpeg(data)
        else:
            load_png(data)


def choose_reduction(header: PictureHeader, width: int, height: int) -> int:
    """By how much smaller than stored a picture can be decoded that is to be resized.

    >>> choose_reduction(PictureHeader("JPEG", 1024, 768), 341, 256)
    2

    Args:
        header: of the picture.
        width: it is to have.
        height: it is to have.

    Returns:
        The divisor of its width and height, 1 where nothing is gained. Of a JPEG it is 1, 2, 4 or
        8; of a PNG any, such that at least twice the size remains.
    """
    if header.format == "PNG":
        return max(1, min(header.width // (2 * width), header.height // (2 * height)))
    for divisor, margin in _JPEG_MARGINS.items():
        least = divisor * margin
        if (header.width >= width * least and header.height >= height * least) or (
            (header.width, header.height) == (width * divisor, height * divisor)
        ):
            return divisor
    return 1


def decode_pixels(data: bytes, header: PictureHeader, reduction: int = 1) -> np.ndarray:
    """Decodes a picture to RGB, as strictly as `verify_pixels`.

    Args:
        data: the stored picture.
        header: what `check_picture` returned for it.
        reduction: divisor of the size, from `choose_reduction`. What doesn't divide is rounded up:
            a stored width of 683 reduced by 2 is 342 columns that show 341.5.

    Returns:
        (height, width, 3) uint8, contiguous.

    Raises:
        PixelError: TRUNCATED when the data ends early, CORRUPT for other damage.
    """
    with _damage_named():
        if header.format == "PNG":
            return _to_rgb(load_png(data), reduction)
        width, height = -(-header.width // reduction), -(-header.height // reduction)
        try:
            return simplejpeg.decode_jpeg(
                data, "RGB", min_width=width, min_height=height, strict=True
            )
        except ValueError as error:
            return _to_rgb(_load_unusual_jpeg(data, error), reduction)


@contextlib.contextmanager
def _damage_named() -> Iterator[None]:
    """Turns what the decoders raise into a PixelError with its reason."""
    try:
        yield
    except PILLOW_ERRORS as error:
        early = any(word in str(error).lower() for word in ("premature end of jpeg", "truncated"))
        raise PixelError(Reason.TRUNCATED if early else Reason.CORRUPT, str(error)) from None


def _verify_jpeg(data: bytes) -> None:
    try:
        # An eighth of the size and without colour: all coefficients are still read and checked, and
        # what costs time beyond that can't fail.
        simplejpeg.decode_jpeg(data, "GRAY", min_height=1, min_width=1, min_factor=8, strict=True)
    except ValueError as error:
        _load_unusual_jpeg(data, error)


def _load_unusual_jpeg(data: bytes, error: ValueError) -> Image.Image:
    """Decodes by Pillow what simplejpeg refused with `error` for its sampling alone."""
    if _UNUSUAL_SAMPLING not in str(error):
        raise error
    image = JpegImageFile(io.BytesIO(data))
    image.load()
    return image


def _to_rgb(image: Image.Image, reduction: int) -> np.ndarray:
    """An image of any mode as (h, w, 3) uint8, averaged over squares of `reduction` pixels.

    Strip by strip, as a copy of a large picture in another mode is larger still.
    """
    width, height = image.size
    pixels = np.empty((-(-height // reduction), -(-width // reduction), 3), np.uint8)
    step = max(1, _STRIP_PIXELS // (width * reduction))
    for top in range(0, len(pixels), step):
        bottom = min((top + step) * reduction, height)
        strip = image.crop((0, top * reduction, width, bottom))
        if strip.mode.startswith("I"):
            # Pillow would clip 16 bits to 8.
            strip = Image.fromarray((np.asarray(strip) >> 8).astype(np.uint8))
        strip.info.clear()  # of transparency, about which Pillow would warn
        strip = strip.convert("RGB")
        pixels[top : top + step] = np.asarray(strip.reduce(reduction) if reduction > 1 else strip)
    return pixels


def load_png(data: bytes) -> Image.Image:
    """Decodes a PNG that passed `check_picture`.

    Raises:
        PixelError: TRUNCATED when rows are missing, which Pillow would leave black.
        Exception: any of `PILLOW_ERRORS`.
    """
    expected = _unpacked_size(data)
    found = _inflated_size(data, expected)
    if found < expected:
        raise PixelError(Reason.TRUNCATED, f"{found} of {expected} bytes of pixels")
    image = PngImageFile(io.BytesIO(data))
    image.load()
    return image


def _inflated_size(data: bytes, enough: int) -> int:
    """The bytes that a PNG's pixels inflate to, not counted much beyond `enough`."""
    inflater = zlib.decompressobj()
    found = 0
    for name, body in png_chunks(data):
        for start in range(0, len(body) if name == b"IDAT" else 0, _INFLATED_AT_ONCE):
            if found >= enough:
                return found
            found += len(inflater.decompress(body[start : start + _INFLATED_AT_ONCE]))
    return found


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
