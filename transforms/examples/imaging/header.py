"""Checks of a stored picture that need no decoding of its pixels."""

import io
import re
import struct
import warnings
import zlib
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeVar

from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from transforms.dataset.failures import PixelError, Reason
from transforms.examples.imaging.jpeg_segments import Frame, check_segments, plain_frame
from transforms.examples.imaging.png import SIGNATURE, check_chunks

#: Pillow's own default for what isn't taken for a decompression bomb.
MAX_PIXELS = 178_956_970

#: What Pillow raises over data that it can't parse or decode.
PILLOW_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)

_JPEG = b"\xff\xd8\xff"

_OTHER_FORMATS = {
    "GIF": re.compile(rb"GIF8[79]a"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "BMP": re.compile(rb"BM....\0\0\0\0", re.DOTALL),
    "TIFF": re.compile(rb"II[*+]\0|MM\0[*+]"),
    "AVIF or HEIC": re.compile(rb"....ftyp(?:avi[fs]|hei[cfsx]|hev[cx]|mi[fa][1f])", re.DOTALL),
    "JPEG 2000": re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
    "JPEG XL": re.compile(rb"\0\0\0\x0cJXL |\xff\x0a"),
    "Photoshop": re.compile(rb"8BPS"),
    "icon": re.compile(rb"\0\0[\1\2]\0"),
}

_File = TypeVar("_File", bound=ImageFile)


class PictureHeader(NamedTuple):
    """Format and size of a picture: of the stored frame, whatever its EXIF orientation says."""

    format: Literal["JPEG", "PNG"]
    width: int
    height: int


def check_picture(
    data: bytes | memoryview,
    max_pixels: int = MAX_PIXELS,
    is_decoded: Callable[[PictureHeader], bool] = lambda _: False,
) -> PictureHeader:
    """Checks that data is one whole JPEG or PNG, as far as its structure shows.

    Bytes after its end are accepted.

    Args:
        data: the stored picture.
        max_pixels: the most pixels it may have.
        is_decoded: tells of a picture whether it will be decoded, strictly: what shows then needn't
            be looked for, which takes some 3% of the time of making a photograph small.

    Raises:
        PixelError: EMPTY; NOT_IMAGE; FORMAT_NOT_ALLOWED for pictures of other formats, and JPEGs
            that are lossless or arithmetically coded; TRUNCATED when its end is missing; CORRUPT
            when its header is malformed, or a PNG's chunks are such that a reader refuses
            them; TOO_MANY_PIXELS.
    """
    if not data:
        raise PixelError(Reason.EMPTY, "no bytes")
    if data[: len(_JPEG)] == _JPEG:
        frame = _jpeg_frame(data, is_decoded)
        form, width, height = "JPEG", frame.width, frame.height
    elif data[: len(SIGNATURE)] == SIGNATURE:
        frame, form = None, "PNG"
        width, height, *_ = check_chunks(data)
        open_strictly(PngImageFile, data)
    else:
        raise _unwanted(data)
    if width * height > max_pixels:
        raise PixelError(Reason.TOO_MANY_PIXELS, f"{width} x {height} is over {max_pixels}")
    if frame:
        _check_length(data, frame)
    return PictureHeader(form, width, height)


def open_strictly(reader: type[_File], data: bytes | memoryview) -> _File:
    """Parses the header by the one reader, past Pillow's guesses of format and its warnings.

    Raises:
        PixelError: CORRUPT when it can't be parsed.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of EXIF that is damaged, and the like
            return reader(io.BytesIO(data))
    except PILLOW_ERRORS as error:
        raise PixelError(Reason.CORRUPT, f"header: {error}") from None


def to_frame(picture: JpegImageFile) -> Frame:
    """Returns the frame that Pillow has parsed."""
    return Frame(*picture.size, [layer[1:3] for layer in picture.layer])


def _unwanted(data: bytes | memoryview) -> PixelError:
    for name, start in _OTHER_FORMATS.items():
        if start.match(data):
            return PixelError(Reason.FORMAT_NOT_ALLOWED, f"{name}; only JPEG and PNG are")
    return PixelError(Reason.NOT_IMAGE, f"starts with {bytes(data[:16])!r}")


def _jpeg_frame(data: bytes | memoryview, is_decoded: Callable[[PictureHeader], bool]) -> Frame:
    if plain := plain_frame(data):
        frame, position = plain
        header = PictureHeader("JPEG", frame.width, frame.height)
        if not (frame.read_through and is_decoded(header)):
            check_segments(data, position)
        return frame
    check_segments(data)
    return to_frame(open_strictly(JpegImageFile, data))


def _check_length(data: bytes | memoryview, frame: Frame) -> None:
    """Refuses a JPEG of fewer bits than it has blocks, each of which takes one at least.

    Else a few bytes could claim a huge picture, which takes seconds and gigabytes to be found out.
    """
    if not frame.sampling or not all(x and y for x, y in frame.sampling):
        raise PixelError(Reason.CORRUPT, "header: no sampling factors")
    if frame.blocks > 8 * len(data):
        detail = f"header: {frame.width} x {frame.height} can't be in {len(data)} bytes"
        raise PixelError(Reason.CORRUPT, detail)
