"""A stored picture to the picture of an example."""

import dataclasses
from typing import Literal, NamedTuple

from transforms.dataset.failures import PixelError, Reason
from transforms.examples.imaging.decode import choose_reduction, decode_pixels
from transforms.examples.imaging.encode import Encoding, encode_pixels
from transforms.examples.imaging.header import MAX_PIXELS, PictureHeader
from transforms.examples.imaging.resize import Resize, resize_pixels, target_size
from transforms.examples.imaging.rotate import turn, turned_size

_STORED: dict[str, Encoding] = {"JPEG": "jpeg", "PNG": "png"}  # encoding by format


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """What pictures are to become.

    Attributes:
        resize: how the size follows from `image_size`.
        image_size: in pixels; of no account with `resize` none.
        apply_rotation: whether to turn pictures by their published rotation.
        image_encoding: the format; `keep` leaves each picture its own.
        quality: of JPEG and WebP, where a picture is encoded again.
        allow_upscale: whether pictures may get larger, where `resize` keeps the proportions.
        keep_exif_orientation: whether pictures that aren't encoded again keep the orientation in
            their metadata, by which many readers turn them.
    """

    resize: Resize = "none"
    image_size: int = 0
    apply_rotation: bool = False
    image_encoding: Literal["keep"] | Encoding = "keep"
    quality: int = 90
    allow_upscale: bool = False
    keep_exif_orientation: bool = False


class Picture(NamedTuple):
    """An encoded picture; `format` is `JPEG`, `PNG` or `WEBP`, `width` and `height` of `data`."""

    data: bytes | memoryview
    format: str
    width: int
    height: int


def stays_as_stored(header: PictureHeader, spec: ImageSpec, rotation: int | None) -> bool:
    """Returns whether a picture has the size, direction and format asked for; arguments as of
    `process_picture`."""
    size = _size(header, spec)
    turned = spec.apply_rotation and rotation
    return size == header[1:] and not turned and _encoding(header, spec) == _STORED[header.format]


def process_picture(
    data: bytes, header: PictureHeader, spec: ImageSpec, rotation: int | None
) -> Picture:
    """Resizes, turns and encodes a picture as `spec` asks for.

    One that `stays_as_stored` keeps its very bytes, and isn't decoded: `decode.verify_pixels` tells
    whether it can be. Others become 8-bit RGB by the rules of `decode`, and lose EXIF
    and colour profile.

    Args:
        data: the stored picture.
        header: what `check_picture` returned for it.
        spec: what it is to become.
        rotation: as published: 0, 90, 180, 270 or None.

    Raises:
        PixelError: TRUNCATED or CORRUPT when it doesn't decode; TOO_MANY_PIXELS when the result is
            larger than `MAX_PIXELS`, or than its format or memory can hold; TOO_LARGE when it is in
            bytes.
    """
    if stays_as_stored(header, spec, rotation):
        return Picture(data, *header)
    size = _size(header, spec)
    rotation = rotation if spec.apply_rotation else None
    width, height = turned_size(*size, rotation)
    if width * height > MAX_PIXELS:
        raise PixelError(Reason.TOO_MANY_PIXELS, f"{width} x {height} is over {MAX_PIXELS}")
    reduction = choose_reduction(header, *size)
    pixels = decode_pixels(data, header, reduction)
    del data  # makes room, if the caller has let go of it too
    pixels = resize_pixels(pixels, *size, (header.width / reduction, header.height / reduction))
    pixels = turn(pixels, rotation)
    encoding = _encoding(header, spec)
    return Picture(encode_pixels(pixels, encoding, spec.quality), encoding.upper(), width, height)


def _size(header: PictureHeader, spec: ImageSpec) -> tuple[int, int]:
    return target_size(
        header.width, header.height, spec.resize, spec.image_size, spec.allow_upscale
    )


def _encoding(header: PictureHeader, spec: ImageSpec) -> Encoding:
    return _STORED[header.format] if spec.image_encoding == "keep" else spec.image_encoding
