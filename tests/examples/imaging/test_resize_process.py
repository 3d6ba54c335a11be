"""Sizes by table, the quality of resizing, and when a picture's bytes stay as stored."""

import io

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from tests.examples.imaging.pictures import jpeg, photo, save
from transforms.dataset.failures import PixelError, Reason
from transforms.examples.imaging.encode import encode_pixels
from transforms.examples.imaging.header import PictureHeader, check_picture
from transforms.examples.imaging.process import ImageSpec, Picture, process_picture
from transforms.examples.imaging.resize import resize_pixels, target_size

JPEG, PNG = jpeg(), save(photo(), "PNG")  # 120 x 75


def process(data: bytes, spec: ImageSpec, rotation: int | None = 0) -> Picture:
    picture = process_picture(data, check_picture(data), spec, rotation)
    image = Image.open(io.BytesIO(picture.data))
    assert (image.format, *image.size) == picture[1:]
    return picture


def psnr(pixels: np.ndarray, reference: np.ndarray) -> float:
    error = np.mean((pixels.astype(float) - reference) ** 2)
    return 10 * np.log10(255**2 / error) if error else np.inf


def landscape(width: int, height: int) -> np.ndarray:
    """A picture with a natural one's spectrum, and edges; as JPEG of 160 to 230 kB, as the larger
    ones of Open Images are."""
    rng = np.random.default_rng(5)
    down, across = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    noise = np.fft.rfft2(rng.normal(size=(height, width)))
    frequency = np.maximum(np.hypot(down, across), 1 / width)
    light = np.fft.irfft2(noise / frequency**1.3, (height, width))
    light *= 45 / light.std()
    tint = cv2.resize(rng.normal(0, 12, (9, 12, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
    pixels = np.clip(128 + light[..., None] + tint, 0, 255).astype(np.uint8)
    cv2.circle(pixels, (width // 3, height // 2), height // 4, (200, 40, 30), -1, cv2.LINE_AA)
    cv2.line(pixels, (0, height), (width, height // 3), (20, 20, 60), 5, cv2.LINE_AA)
    return pixels


@pytest.mark.parametrize(
    ("stored", "resize", "size", "smaller", "anyway"),
    [
        ((1024, 683), "none", 256, (1024, 683), (1024, 683)),
        ((1024, 683), "shortest", 256, (384, 256), (384, 256)),
        ((683, 1024), "shortest", 256, (256, 384), (256, 384)),
        ((1024, 683), "longest", 256, (256, 171), (256, 171)),
        ((1024, 683), "exact", 256, (256, 256), (256, 256)),
        ((1024, 768), "shortest", 768, (1024, 768), (1024, 768)),
        ((1024, 768), "longest", 1024, (1024, 768), (1024, 768)),
        ((1000, 200), "shortest", 256, (1000, 200), (1280, 256)),
        ((100, 50), "longest", 256, (100, 50), (256, 128)),
        ((1000, 200), "exact", 256, (256, 256), (256, 256)),
        ((100, 50), "exact", 256, (256, 256), (256, 256)),
        ((1, 300), "exact", 256, (256, 256), (256, 256)),
        ((1000, 999), "longest", 500, (500, 500), (500, 500)),  # 499.5
        ((5000, 3), "longest", 256, (256, 1), (256, 1)),
        ((1, 1), "shortest", 256, (1, 1), (256, 256)),
    ],
)
def test_sizes(stored: tuple[int, int], resize, size: int, smaller, anyway) -> None:
    assert target_size(*stored, resize, size, allow_upscale=False) == smaller
    assert target_size(*stored, resize, size, allow_upscale=True) == anyway
    turned = target_size(*stored[::-1], resize, size, allow_upscale=False)
    assert turned == smaller[::-1]


@pytest.mark.parametrize("stored", [(1024, 768), (1024, 683), (1023, 767), (577, 1024)])
@pytest.mark.parametrize("size", [50, 100, 160, 192, 256, 300, 384, 500])
def test_reduced_decoding_keeps_38_db(stored: tuple[int, int], size: int) -> None:
    pixels = landscape(*stored)
    data = simplejpeg.encode_jpeg(pixels, 90, "RGB", "420")
    spec = ImageSpec("shortest", size, image_encoding="png")
    picture = process(data, spec)
    whole = simplejpeg.decode_jpeg(data)
    reference = cv2.resize(whole, picture[2:], interpolation=cv2.INTER_AREA)
    assert psnr(np.asarray(Image.open(io.BytesIO(picture.data))), reference) >= 38


@pytest.mark.parametrize("size", [(1, 1), (60, 37), (60, 300), (500, 37), (500, 300), (119, 75)])
def test_resizing_fills_the_size_and_keeps_the_picture_in_place(size: tuple[int, int]) -> None:
    ramp = np.broadcast_to(np.linspace(0, 240, 120)[None, :, None], (75, 120, 3)).astype(np.uint8)
    resized = resize_pixels(ramp, *size)
    assert resized.shape == (size[1], size[0], 3)
    centres = (np.arange(size[0]) + 0.5) * 120 / size[0] - 0.5
    assert np.abs(resized[0, :, 0] - np.clip(centres, 0, 119) * 240 / 119).max() < 2.5
    assert resize_pixels(ramp, 120, 75) is ramp


def test_an_extent_that_ends_within_a_pixel() -> None:
    ramp = np.broadcast_to(np.arange(0, 240, 2)[None, :, None], (75, 120, 3)).astype(np.uint8)
    resized = resize_pixels(ramp, 80, 50, extent=(119.5, 74.25))
    centres = (np.arange(80) + 0.5) * 119.5 / 80 - 0.5
    assert resized.shape == (50, 80, 3)
    assert np.abs(resized[0, :, 0] - centres * 2).max() < 1


@pytest.mark.parametrize(
    "spec",
    [
        ImageSpec(),
        ImageSpec("shortest", 75),
        ImageSpec("longest", 4000),
        ImageSpec("longest", 4000, apply_rotation=True),
    ],
)
@pytest.mark.parametrize("data", [JPEG, PNG])
def test_bytes_pass_through_where_nothing_is_asked_of_them(data: bytes, spec: ImageSpec) -> None:
    assert process(data, spec).data is data
    assert process(data, spec, rotation=None).data is data


def test_bytes_pass_through_in_the_format_asked_for() -> None:
    assert process(JPEG, ImageSpec(image_encoding="jpeg", quality=10)).data is JPEG
    assert process(PNG, ImageSpec(image_encoding="png")).data is PNG
    assert process(JPEG, ImageSpec(), rotation=90).data is JPEG


def test_formats_of_what_was_changed() -> None:
    spec = ImageSpec("longest", 64)
    assert process(JPEG, spec)[1:] == ("JPEG", 64, 40)
    assert process(PNG, spec)[1:] == ("PNG", 64, 40)
    assert process(PNG, ImageSpec(image_encoding="jpeg"))[1:] == ("JPEG", 120, 75)
    assert process(JPEG, ImageSpec(image_encoding="webp"))[1:] == ("WEBP", 120, 75)
    assert process(JPEG, ImageSpec("exact", 300))[1:] == ("JPEG", 300, 300)


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("resize", ["none", "longest"])
def test_pictures_are_turned_after_resizing(resize, rotation: int) -> None:
    resized = process(PNG, ImageSpec(resize, 64))
    turned = process(PNG, ImageSpec(resize, 64, apply_rotation=True), rotation)
    expected = np.rot90(np.asarray(Image.open(io.BytesIO(resized.data))), rotation // 90)
    assert (np.asarray(Image.open(io.BytesIO(turned.data))) == expected).all()


@pytest.mark.parametrize("encoding", ["jpeg", "png", "webp"])
def test_encoding_keeps_the_picture_and_repeats_itself(encoding) -> None:
    pixels = np.asarray(photo())
    data = encode_pixels(pixels, encoding, 95)
    assert data == encode_pixels(pixels.copy(), encoding, 95)
    decoded = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert psnr(decoded, pixels) > (100 if encoding == "png" else 35)
    if encoding != "png":
        assert len(encode_pixels(pixels, encoding, 30)) < len(data)


def test_colour_is_halved_below_quality_95() -> None:
    for quality, expected in ((94, "420"), (95, "444")):
        data = encode_pixels(np.asarray(photo()), "jpeg", quality)
        assert simplejpeg.decode_jpeg_header(data)[3] == expected


def test_what_is_too_large_is_refused() -> None:
    upscaled = ImageSpec("shortest", 65_000, allow_upscale=True)
    for data, spec in (
        (PNG, upscaled),
        (save(Image.new("L", (16_384, 1)), "PNG"), ImageSpec(image_encoding="webp")),
        (save(Image.new("L", (1, 65_501)), "PNG"), ImageSpec(image_encoding="jpeg")),
    ):
        with pytest.raises(PixelError) as caught:
            process(data, spec)
        assert caught.value.reason is Reason.TOO_MANY_PIXELS


def test_damage_is_found_while_resizing() -> None:
    spoiled = JPEG[:-300] + bytes(100) + JPEG[-200:]
    with pytest.raises(PixelError) as caught:
        process_picture(spoiled, PictureHeader("JPEG", 120, 75), ImageSpec("longest", 40), None)
    assert caught.value.reason is Reason.CORRUPT
