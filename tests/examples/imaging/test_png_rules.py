"""PNGs that a documented reader refuses are refused; those that all of them read are not."""

import io
import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.examples.imaging.pictures import chunk, interlaced, png
from transforms.dataset.failures import PixelError, Reason
from transforms.examples.imaging.decode import decode_pixels, load_png, verify_pixels
from transforms.examples.imaging.header import PictureHeader, check_picture

SIDE = 8
GREY, RGB, PALETTE, RGBA = 0, 2, 3, 6


def header(
    width: int = SIDE, height: int = SIDE, depth: int = 8, colour: int = GREY, methods: bytes = b""
) -> bytes:
    """An IHDR; `methods` are those of compression, filtering and interlacing."""
    fields = struct.pack(">IIBB", width, height, depth, colour)
    return chunk(b"IHDR", fields + methods.ljust(3, b"\0"))


def pixels(channels: int = 1) -> bytes:
    return b"".join(b"\0" + bytes([row]) * SIDE * channels for row in range(SIDE))


def data(stream: bytes) -> bytes:
    return chunk(b"IDAT", stream)


ROWS = zlib.compress(pixels())
IHDR, IDAT, IEND = header(), data(ROWS), chunk(b"IEND")
IN_RGB, RGB_ROWS = header(colour=RGB), data(zlib.compress(pixels(3)))
IN_RGBA, RGBA_ROWS = header(colour=RGBA), data(zlib.compress(pixels(4)))
BY_INDEX, PLTE = header(colour=PALETTE), chunk(b"PLTE", bytes(range(24)))
ANIMATION = chunk(b"acTL", struct.pack(">II", 1, 0))

#: What one of the readers refuses, at least.
REFUSED = {
    "compression of method 1": png(header(methods=b"\1"), IDAT, IEND),
    "filters of method 1": png(header(methods=b"\0\1"), IDAT, IEND),
    "filters of MNG": png(header(colour=RGB, methods=b"\0\x40"), RGB_ROWS, IEND),
    "interlacing of method 2": png(header(methods=b"\0\0\2"), IDAT, IEND),
    "a critical chunk": png(IHDR, chunk(b"ABCD", b"x"), IDAT, IEND),
    "a critical chunk after the pixels": png(IHDR, IDAT, chunk(b"ABCD", b"x"), IEND),
    "Apple's chunk first": png(chunk(b"CgBI", bytes(4)), IHDR, IDAT, IEND),
    "a reserved letter": png(IHDR, chunk(b"abcd", b"x"), IDAT, IEND),
    "two palettes": png(BY_INDEX, PLTE, PLTE, IDAT, IEND),
    "two palettes of no use": png(IN_RGB, PLTE, PLTE, RGB_ROWS, IEND),
    "two palettes in grey": png(IHDR, PLTE, PLTE, IDAT, IEND),
    "a palette before and after": png(BY_INDEX, PLTE, IDAT, PLTE, IEND),
    "a palette after the pixels": png(BY_INDEX, IDAT, PLTE, IEND),
    "no palette": png(BY_INDEX, IDAT, IEND),
    "a palette of 257": png(BY_INDEX, chunk(b"PLTE", bytes(771)), IDAT, IEND),
    "a palette of 23 bytes": png(BY_INDEX, chunk(b"PLTE", bytes(23)), IDAT, IEND),
    "an empty palette": png(BY_INDEX, chunk(b"PLTE"), IDAT, IEND),
    "an empty palette of no use": png(IN_RGB, chunk(b"PLTE"), RGB_ROWS, IEND),
    "an empty palette with alpha": png(IN_RGBA, chunk(b"PLTE"), RGBA_ROWS, IEND),
    "a header of 14 bytes": png(header(methods=bytes(4)), IDAT, IEND),
    "a header of 12 bytes": png(chunk(b"IHDR", struct.pack(">IIBBxx", 8, 8, 8, 0)), IDAT, IEND),
    "two headers": png(IHDR, IHDR, IDAT, IEND),
    "a header after the pixels": png(IHDR, IDAT, IHDR, IEND),
    "no checksum": png(IHDR, data(ROWS[:-4]), IEND),
    "half a checksum": png(IHDR, data(ROWS[:-2]), IEND),
    "another checksum": png(IHDR, data(ROWS[:-1] + b"\0"), IEND),
    "more pixels without a checksum": png(IHDR, data(zlib.compress(pixels() * 2)[:-4]), IEND),
    "a row too few": png(IHDR, data(zlib.compress(pixels()[: -SIDE - 1])), IEND),
    "a byte too few": png(IHDR, data(zlib.compress(pixels()[:-1])), IEND),
    "pixels in two places": png(
        IHDR, data(ROWS[:9]), chunk(b"tEXt", b"a\0b"), data(ROWS[9:]), IEND
    ),
    "an unknown filter": png(IHDR, data(zlib.compress(b"\5" + pixels()[1:])), IEND),
    "a window of 64 KiB": png(IHDR, data(b"\x88\x1c" + ROWS[2:]), IEND),
    "a dictionary": png(IHDR, data(b"\x78\xbb\0\0\0\1" + ROWS[2:]), IEND),
    "a million and one across": png(
        header(1_000_001, 1), data(zlib.compress(bytes(1_000_002))), IEND
    ),
    "a million and one down": png(
        header(1, 1_000_001), data(zlib.compress(bytes(2_000_002))), IEND
    ),
    "nothing across": png(header(0), IDAT, IEND),
    "nothing down": png(header(height=0), IDAT, IEND),
    "3 bits": png(header(depth=3), IDAT, IEND),
    "RGB of 4 bits": png(header(depth=4, colour=RGB), RGB_ROWS, IEND),
    "indices of 16 bits": png(header(depth=16, colour=PALETTE), PLTE, IDAT, IEND),
    "colour type 1": png(header(colour=1), IDAT, IEND),
    "colour type 5": png(header(colour=5), IDAT, IEND),
    "a background of 3 bytes": png(IHDR, chunk(b"bKGD", bytes(3)), IDAT, IEND),
    "a long unknown chunk": png(IHDR, chunk(b"abCd", bytes(9_000_000)), IDAT, IEND),
    "a text of unknown compression": png(IHDR, IDAT, chunk(b"zTXt", b"a\0\5x"), IEND),
    "gamma of 3 bytes": png(IHDR, chunk(b"gAMA", bytes(3)), IDAT, IEND),
    "an animation of no frames": png(IHDR, chunk(b"acTL", bytes(8)), IDAT, IEND),
    "a frame without an animation": png(IHDR, chunk(b"fcTL", b"x"), IDAT, IEND),
    "a CRC at the end": png(IHDR, IDAT, IEND)[:-1] + b"x",
    "no CRC at the end": png(IHDR, IDAT, IEND)[:-4],
}

ACCEPTED = {
    "plain": png(IHDR, IDAT, IEND),
    "a million across": png(header(1_000_000, 1), data(zlib.compress(bytes(1_000_001))), IEND),
    "an unknown chunk": png(IHDR, chunk(b"abCd", b"x"), IDAT, IEND),
    "a palette of no use": png(IN_RGB, PLTE, RGB_ROWS, IEND),
    "a palette in grey": png(IHDR, PLTE, IDAT, IEND),
    "a palette of no use after the pixels": png(IN_RGB, RGB_ROWS, PLTE, IEND),
    "a palette longer than its indices": png(
        header(depth=1, colour=PALETTE), PLTE, data(zlib.compress(b"\0\xaa" * SIDE)), IEND
    ),
    "indices beyond the palette": png(BY_INDEX, chunk(b"PLTE", b"abcdef"), IDAT, IEND),
    "pixels in many chunks": png(
        IHDR, *(data(ROWS[at : at + 1]) for at in range(len(ROWS))), data(b""), IEND
    ),
    "bytes behind the stream": png(IHDR, data(ROWS + b"more"), data(b"more"), IEND),
    "a second stream": png(IHDR, IDAT, chunk(b"tEXt", b"a\0b"), IDAT, IEND),
    "an end with a body": png(IHDR, IDAT, chunk(b"IEND", b"x")),
    "bytes behind the end": png(IHDR, IDAT, IEND) + b"trailing",
    "too much transparency": png(BY_INDEX, PLTE, chunk(b"tRNS", bytes(9)), IDAT, IEND),
    "transparency before the palette": png(BY_INDEX, chunk(b"tRNS", bytes(3)), PLTE, IDAT, IEND),
    "transparency beside alpha": png(IN_RGBA, chunk(b"tRNS", bytes(6)), RGBA_ROWS, IEND),
    "a long text": png(IHDR, chunk(b"tEXt", b"a\0" + b"x" * 9_000_000), IDAT, IEND),
    "a broken profile": png(IHDR, chunk(b"iCCP", b"a\0\0xx"), IDAT, IEND),
    "interlaced": interlaced(np.arange(5 * 7, dtype=np.uint8).reshape(5, 7)),
}


def read_by_pillow(picture: bytes) -> np.ndarray | None:
    try:
        with Image.open(io.BytesIO(picture)) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, struct.error, zlib.error):
        return None
    image.info.clear()
    return np.asarray(image.convert("RGB"))


def read_by_opencv(picture: bytes) -> np.ndarray | None:
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.imdecode(np.frombuffer(picture, np.uint8), flags)


def read_by_tensorflow(picture: bytes) -> np.ndarray | None:
    import tensorflow as tf

    try:
        return tf.io.decode_png(picture, channels=3).numpy()
    except tf.errors.InvalidArgumentError:
        return None


READERS = (read_by_pillow, read_by_opencv, read_by_tensorflow)


def verify(picture: bytes, picture_header: PictureHeader) -> None:
    verify_pixels(picture, picture_header)


TREATMENTS = pytest.mark.parametrize("treat", [verify, decode_pixels])


@TREATMENTS
@pytest.mark.parametrize("name", REFUSED)
def test_what_a_reader_refuses(name: str, treat: Callable) -> None:
    assert any(read(REFUSED[name]) is None for read in READERS)
    with pytest.raises(PixelError) as caught:
        treat(REFUSED[name], check_picture(REFUSED[name]))
    assert "\n" not in caught.value.detail
    assert caught.value.reason in {
        *(Reason.CORRUPT, Reason.TRUNCATED),
        *(Reason.TOO_MANY_PIXELS, Reason.FORMAT_NOT_ALLOWED),
    }


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_all_read(name: str) -> None:
    picture_header = check_picture(ACCEPTED[name])
    verify_pixels(ACCEPTED[name], picture_header)
    decoded = decode_pixels(ACCEPTED[name], picture_header)
    for read in READERS:
        assert np.array_equal(read(ACCEPTED[name]), decoded), read.__name__


@TREATMENTS
def test_animations_are_refused_as_readers_differ(treat: Callable) -> None:
    """OpenCV draws some on a background of its own."""
    picture = png(IHDR, ANIMATION, IDAT, IEND)
    with pytest.raises(PixelError) as caught:
        treat(picture, check_picture(picture))
    assert caught.value.reason is Reason.FORMAT_NOT_ALLOWED


@TREATMENTS
@pytest.mark.parametrize("rest", [SIDE + 1, 5_000_000])
def test_more_pixels_than_the_header_says(treat: Callable, rest: int) -> None:
    """Readers pass over them; but a header that says too little is damage."""
    picture = png(IHDR, data(zlib.compress(pixels() + bytes(rest))), IEND)
    with pytest.raises(PixelError, match="more than the 72 bytes"):
        treat(picture, check_picture(picture))


def test_masks_obey_the_same_rules() -> None:
    for name in ("two palettes", "no checksum", "a critical chunk"):
        with pytest.raises(PixelError):
            check_picture(REFUSED[name])
            load_png(REFUSED[name])
