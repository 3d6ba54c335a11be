"""Decoded pictures are what Pillow, OpenCV and TensorFlow make of them."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.examples.imaging.pictures import HEIGHT, KINDS, WIDTH, jpeg, photo, save, with_exif
from transforms.dataset.failures import PixelError, Reason
from transforms.examples.imaging.decode import choose_reduction, decode_pixels
from transforms.examples.imaging.header import PictureHeader, check_picture

# Of a pixel's 256 levels. TensorFlow's default for JPEG is the faster inverse DCT, which is known
# to be off at the highest qualities.
FAST_DCT = 6
FAST_DCT_AT_100 = 16
# CMYK is multiplied out with different rounding.
CMYK = 2


def decode(data: bytes) -> np.ndarray:
    return decode_pixels(data, check_picture(data))


def bound_of(name: str) -> int:
    return CMYK if "cmyk" in name or "ycck" in name else 0


def difference(pixels: np.ndarray, others: np.ndarray) -> int:
    assert pixels.shape == others.shape
    return int(np.abs(pixels.astype(int) - others).max())


def test_the_kinds_are_many() -> None:
    assert len(KINDS) >= 40


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", KINDS)
def test_all_become_contiguous_rgb(name: str) -> None:
    pixels = decode(KINDS[name])
    assert (pixels.dtype, pixels.shape[2]) == (np.uint8, 3)
    assert pixels.flags.c_contiguous
    header = check_picture(KINDS[name])
    assert pixels.shape[:2] == (header.height, header.width)


@pytest.mark.filterwarnings("ignore:Palette images")
@pytest.mark.parametrize("name", KINDS)
def test_pillow_agrees(name: str) -> None:
    image = Image.open(io.BytesIO(KINDS[name]))
    if image.mode == "I;16":  # which Pillow clips where it means to convert
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    assert difference(decode(KINDS[name]), np.asarray(image.convert("RGB"))) <= bound_of(name)


@pytest.mark.parametrize("name", KINDS)
def test_opencv_agrees(name: str) -> None:
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    theirs = cv2.imdecode(np.frombuffer(KINDS[name], np.uint8), flags)
    assert difference(decode(KINDS[name]), theirs) <= bound_of(name)


# TensorFlow knows no such sampling, and takes CMYK that isn't marked as Adobe's for not inverted.
@pytest.mark.parametrize(
    "name", [name for name in KINDS if "unusual" not in name and "without Adobe" not in name]
)
def test_tensorflow_agrees(name: str) -> None:
    import tensorflow as tf

    data, pixels = KINDS[name], decode(KINDS[name])
    theirs = tf.io.decode_image(data, channels=3, expand_animations=False).numpy()
    if not name.startswith("jpeg"):
        assert difference(pixels, theirs) == 0
        return
    fast = FAST_DCT_AT_100 if "quality 100" in name else FAST_DCT
    assert difference(pixels, theirs) <= fast + bound_of(name)
    theirs = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE").numpy()
    assert difference(pixels, theirs) <= bound_of(name)


def test_exif_orientation_is_not_applied() -> None:
    assert (decode(with_exif(orientation=6)) == decode(jpeg())).all()


@pytest.mark.parametrize(
    ("stored", "wanted", "reduction"),
    [
        (("JPEG", 1024, 768), (341, 256), 2),
        (("JPEG", 1024, 768), (512, 384), 2),
        (("JPEG", 1024, 768), (513, 384), 1),
        (("JPEG", 1024, 768), (256, 192), 4),
        (("JPEG", 1024, 768), (255, 192), 2),
        (("JPEG", 1024, 768), (213, 160), 4),
        (("JPEG", 1023, 768), (256, 192), 2),
        (("JPEG", 1024, 768), (128, 96), 8),
        (("JPEG", 1024, 768), (85, 64), 8),
        (("JPEG", 1024, 768), (1024, 96), 1),
        (("JPEG", 1024, 768), (2048, 1536), 1),
        (("JPEG", 1, 1), (1, 1), 1),
        (("PNG", 1024, 768), (341, 256), 1),
        (("PNG", 1024, 768), (200, 150), 2),
        (("PNG", 1024, 768), (10, 150), 2),
        (("PNG", 10_000, 10_000), (256, 256), 19),
        (("PNG", 10, 10), (256, 256), 1),
    ],
)
def test_reductions(stored: tuple, wanted: tuple[int, int], reduction: int) -> None:
    assert choose_reduction(PictureHeader(*stored), *wanted) == reduction


@pytest.mark.parametrize("reduction", [2, 4, 8])
@pytest.mark.parametrize("name", KINDS)
def test_a_reduced_picture_is_rounded_up_in_size(name: str, reduction: int) -> None:
    header = check_picture(KINDS[name])
    pixels = decode_pixels(KINDS[name], header, reduction)
    width, height = -(-header.width // reduction), -(-header.height // reduction)
    assert pixels.shape == (height, width, 3)
    if min(header.width, header.height) < 2 * reduction:
        return  # Pillow chooses its scale by a size that is rounded down
    image = Image.open(io.BytesIO(KINDS[name]))
    if image.format == "PNG":
        expected = Image.fromarray(decode(KINDS[name])).reduce(reduction)
    else:
        image.draft(image.mode, (header.width // reduction, header.height // reduction))
        expected = image.convert("RGB")
    # Colour at half size is decoded by the faster inverse DCT, by which Pillow never decodes.
    bound = FAST_DCT if header.format == "JPEG" and reduction == 2 else bound_of(name)
    assert difference(pixels, np.asarray(expected)) <= bound


def test_strips_of_a_tall_picture_join() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (2500, 1001, 3), dtype=np.uint8)
    data = save(Image.fromarray(pixels), "PNG", compress_level=1)
    assert (decode(data) == pixels).all()
    reduced = decode_pixels(data, check_picture(data), 3)
    assert reduced.shape == (834, 334, 3)
    assert (reduced == np.asarray(Image.fromarray(pixels).reduce(3))).all()


@pytest.mark.parametrize("reduction", [1, 2, 8])
def test_damage_is_refused_at_every_scale(reduction: int) -> None:
    data = save(photo().resize((WIDTH * 4, HEIGHT * 4)), "JPEG")
    scan = data.index(b"\xff\xda")
    header = check_picture(data)
    spoiled = data[: scan + 600] + bytes(300) + data[scan + 900 :]
    with pytest.raises(PixelError) as caught:
        decode_pixels(spoiled, header, reduction)
    assert caught.value.reason is Reason.CORRUPT
    with pytest.raises(PixelError):
        decode_pixels(data[:-200] + b"\xff\xd9", header, reduction)
