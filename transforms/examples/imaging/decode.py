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
from collections.abc import Iterator

import numpy as np
import simplejpeg
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from transforms.dataset.failures import PixelError, Reason
from transforms.examples.imaging.header import PILLOW_ERRORS, PictureHeader, open_strictly, to_frame
from transforms.examples.imaging.jpeg_segments import START_OF_SCAN, segments
from transforms.examples.imaging.png import check_chunks, check_pixels

# libjpeg can decode this; its simple interface, which simplejpeg uses, can't describe it.
_UNUSUAL_SAMPLING = "Could not determine subsampling"

# A JPEG is decoded at an eighth, a quarter or half of its size where the result exceeds what is
# wanted by this margin, or is just that. A scaled inverse DCT leaves out high frequencies instead
# of averaging, which shows where little is left to resample: these margins keep photographs at
# 38 dB and more of what averaging the whole picture gives. libjpeg-turbo has fast code for these
# fractions alone (of a 1024 x 768 picture: 1/4 1.9 ms, 3/8 2.8, 1/2 2.3, 3/4 4.9, whole 3.4).
_JPEG_MARGINS = {8: 1.5, 4: 1.2, 2: 1.0}

_STRIP_PIXELS = 1 << 20

#: What decoding may take, of a GiB for a process in all. Only where libjpeg must keep coefficients,
#: or Pillow decode, can a picture of `MAX_PIXELS` need more.
MAX_BYTES = 640 << 20

#: Bytes a pixel where Pillow decodes: it holds four of each, of which three are then copied.
_PILLOW_BYTES = 7
#: Pixels of a PNG that is decoded.
MAX_PNG_PIXELS = MAX_BYTES // _PILLOW_BYTES
_BLOCK_BYTES = 128  # 64 coefficients of 16 bits
_MOST_A_PIXEL = 16  # bytes: of four components' coefficients, and 7 of `_load_unusual_jpeg`


def verify_pixels(data: bytes, header: PictureHeader, max_bytes: int = MAX_BYTES) -> None:
    """Decodes a picture in full and lets no damage pass that the decoder can notice.

    Pillow, OpenCV and TensorFlow fill damaged parts of a JPEG with grey or noise without a word.

    Args:
        data: the stored picture.
        header: what `check_picture` returned for it.
        max_bytes: of memory that decoding may take.

    Raises:
        PixelError: TRUNCATED when the data ends early, CORRUPT for other damage, TOO_MANY_PIXELS
            where memory doesn't suffice: for progressive JPEGs, some rare ones, and large PNGs.
    """
    with _damage_named():
        if header.format == "PNG":
            load_png(data, max_bytes)
            return
        _check_memory(data, header, 0, max_bytes)
        try:
            # An eighth of the size and without colour: all coefficients are still read and checked,
            # and what costs time beyond that can't fail.
            simplejpeg.decode_jpeg(
                data, "GRAY", min_height=1, min_width=1, min_factor=8, strict=True
            )
        except ValueError as error:
            _load_unusual_jpeg(data, header, error, max_bytes)


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


def decode_pixels(
    data: bytes, header: PictureHeader, reduction: int = 1, max_bytes: int = MAX_BYTES
) -> np.ndarray:
    """Decodes a picture to RGB, as strictly as `verify_pixels`.

    Args:
        data: the stored picture.
        header: what `check_picture` returned for it.
        reduction: divisor of the size, from `choose_reduction`. What doesn't divide is rounded up:
            a stored width of 683 reduced by 2 is 342 columns that show 341.5.
        max_bytes: of memory that decoding may take.

    Returns:
        (height, width, 3) uint8, contiguous.

    Raises:
        PixelError: as `verify_pixels` does.
    """
    with _damage_named():
        if header.format == "PNG":
            return _to_rgb(load_png(data, max_bytes), reduction)
        width, height = -(-header.width // reduction), -(-header.height // reduction)
        _check_memory(data, header, 3 * width * height, max_bytes)
        try:
            return simplejpeg.decode_jpeg(
                data,
                "RGB",
                min_width=width,
                min_height=height,
                # Scaled decoding applies it to colour alone, which is halved again in encoding.
                fastdct=reduction > 1,
                strict=True,
            )
        except ValueError as error:
            return _to_rgb(_load_unusual_jpeg(data, header, error, max_bytes), reduction)


@contextlib.contextmanager
def _damage_named() -> Iterator[None]:
    """Turns what the decoders raise into a PixelError with its reason."""
    try:
        yield
    except PILLOW_ERRORS as error:
        early = any(word in str(error).lower() for word in ("premature end of jpeg", "truncated"))
        raise PixelError(Reason.TRUNCATED if early else Reason.CORRUPT, str(error)) from None


def _load_unusual_jpeg(
    data: bytes, header: PictureHeader, error: ValueError, max_bytes: int
) -> Image.Image:
    """Decodes by Pillow what simplejpeg refused with `error` for its sampling alone."""
    if _UNUSUAL_SAMPLING not in str(error):
        raise error
    _check_memory(data, header, _PILLOW_BYTES * header.width * header.height, max_bytes)
    image = open_strictly(JpegImageFile, data)
    image.load()
    return image


def _check_memory(data: bytes, header: PictureHeader, pixel_bytes: int, max_bytes: int) -> None:
    """Refuses a JPEG that takes too much memory, given what its decoded pixels take.

    Raises:
        PixelError: TOO_MANY_PIXELS.
    """
    if header.width * header.height * _MOST_A_PIXEL <= max_bytes:
        return
    coefficients = _coefficient_bytes(data)
    if coefficients + pixel_bytes > max_bytes:
        size = f"{header.width} x {header.height}"
        detail = f"{size}: decoding would take {(coefficients + pixel_bytes) >> 20} MiB"
        raise PixelError(Reason.TOO_MANY_PIXELS, detail)


def _coefficient_bytes(data: bytes) -> int:
    """What libjpeg keeps of coefficients: all where they come in several scans, else none."""
    picture = open_strictly(JpegImageFile, data)
    frame = to_frame(picture)
    scan = next(start for marker, start, _ in segments(data) if marker == START_OF_SCAN)
    if "progressive" not in picture.info and data[scan + 2] == len(frame.sampling):
        return 0
    return frame.blocks * _BLOCK_BYTES


def _to_rgb(image: Image.Image, reduction: int) -> np.ndarray:
    """Returns an image of any mode as (h, w, 3) uint8, averaged over squares of `reduction` pixels.

    Strip by strip, as a copy of a large picture in another mode is larger still.
    """
    width, height = image.size
    pixels = np.empty((-(-height // reduction), -(-width // reduction), 3), np.uint8)
    step = max(1, _STRIP_PIXELS // (width * reduction))
    for top in range(0, len(pixels), step):
        bottom = min((top + step) * reduction, height)
        strip = image.crop((0, top * reduction, width, bottom))
        if strip.mode == "I;16":  # which Pillow clips where it means to convert
            strip = Image.fromarray((np.asarray(strip) >> 8).astype(np.uint8))
        if strip.mode != "RGB":
            strip = strip.convert("RGB")
        pixels[top : top + step] = np.asarray(strip.reduce(reduction) if reduction > 1 else strip)
    return pixels


def load_png(data: bytes, max_bytes: int = MAX_BYTES) -> Image.Image:
    """Decodes a PNG that passed `check_picture`.

    Raises:
        PixelError: what `check_pixels` raises; TOO_MANY_PIXELS where that takes more memory.
        Exception: any of `PILLOW_ERRORS`.
    """
    layout = check_chunks(data)
    most = max_bytes // _PILLOW_BYTES
    if layout.width * layout.height > most:
        detail = f"{layout.width} x {layout.height}: a PNG to be decoded has at most"
        raise PixelError(Reason.TOO_MANY_PIXELS, f"{detail} {most:,} pixels")
    check_pixels(data, layout)
    image = open_strictly(PngImageFile, data)
    image.load()
    image.info.clear()  # of transparency, about which Pillow would warn
    return image
