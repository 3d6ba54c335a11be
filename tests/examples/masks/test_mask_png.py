"""Mask PNGs: every pixel format alike, sizes as Pillow's NEAREST gives them, damage refused."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from transforms.dataset.failures import PixelError, Reason
from transforms.examples.masks.png import decode_mask

pytestmark = pytest.mark.filterwarnings("error")

masks = arrays.arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))
sizes = st.tuples(st.integers(1, 70), st.integers(1, 70))


def save(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def image_of(mask: np.ndarray, mode: str) -> Image.Image:
    """The mask in one of the pixel formats that PNG has, in colours that are easily got wrong."""
    grey = Image.fromarray(mask.astype(np.uint8))  # 0 and 1, not 255
    if mode == "1":
        return Image.fromarray(mask)
    if mode == "L":
        return grey
    if mode == "16 bits":
        return Image.fromarray(mask.astype(np.uint16))
    if mode == "P":
        grey = Image.fromarray((~mask).astype(np.uint8))  # index 0 is the object
        grey.putpalette([0, 0, 200, 0, 0, 0])
        return grey
    if mode == "LA":
        return Image.merge("LA", (grey, Image.new("L", grey.size, 255)))
    colours = (grey.point(lambda value: value * 9), Image.new("L", grey.size), grey)
    if mode == "RGBA":
        return Image.merge("RGBA", (*colours, Image.new("L", grey.size, 0)))
    return Image.merge("RGB", colours)


@given(mask=masks, mode=st.sampled_from(["1", "L", "16 bits", "P", "LA", "RGB", "RGBA"]))
@settings(max_examples=300, deadline=None)
def test_pixel_formats_decode_alike(mask: np.ndarray, mode: str) -> None:
    decoded = decode_mask(save(image_of(mask, mode)))
    assert decoded.dtype == bool
    assert set(np.unique(decoded.view(np.uint8))) <= {0, 1}
    assert (decoded == mask).all()


@pytest.mark.parametrize("value", [1, 255, 256, 512, 65_535])
def test_16_bits_hold_no_second_zero(value: int) -> None:
    image = Image.fromarray(np.array([[0, value]], np.uint16))
    assert decode_mask(save(image)).tolist() == [[False, True]]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_palettes_of_few_bits(bits: int) -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8))
    image.putpalette([0, 0, 0, 255, 0, 0])
    assert decode_mask(save(image, bits=bits)).tolist() == [[False, True], [True, False]]


@given(mask=masks, size=sizes, mode=st.sampled_from(["1", "L", "16 bits", "P"]))
@settings(max_examples=300, deadline=None)
def test_sizes_equal_pillows_nearest(mask: np.ndarray, size: tuple[int, int], mode: str) -> None:
    nearest = Image.fromarray(mask).resize(size, Image.Resampling.NEAREST)
    expected = np.array(nearest.convert("L")) > 0
    resized = decode_mask(save(image_of(mask, mode)), size)
    assert resized.dtype == bool
    assert (resized == expected).all()


PNG = save(image_of(np.eye(60, 50, dtype=bool), "1"))

BAD = {
    "empty": b"",
    "text": b"not found",
    "jpeg": save(Image.new("L", (9, 9)), "JPEG"),
    "gif": save(Image.new("L", (9, 9)), "GIF"),
    "no end": PNG[:-12],
    "half": PNG[: len(PNG) // 2],
    "bit flipped": PNG[:60] + bytes([PNG[60] ^ 4]) + PNG[61:],
    "too many pixels": save(Image.new("1", (101, 100))),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_masks_are_refused(name: str) -> None:
    with pytest.raises(PixelError) as caught:
        decode_mask(BAD[name], max_pixels=10_000)
    assert caught.value.reason is Reason.MASK_CORRUPT


def test_no_cut_mask_passes() -> None:
    for cut in range(len(PNG)):
        with pytest.raises(PixelError):
            decode_mask(PNG[:cut])


@given(st.integers(0, len(PNG) - 1), st.binary(min_size=1, max_size=12))
@settings(max_examples=200, deadline=None)
def test_damage_never_crashes(start: int, noise: bytes) -> None:
    data = PNG[:start] + noise + PNG[start + len(noise) :]
    try:
        decode_mask(data)
    except PixelError as error:
        assert error.reason is Reason.MASK_CORRUPT
