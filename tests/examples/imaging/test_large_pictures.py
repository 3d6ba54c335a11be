"""What is done differently with large pictures, to spare memory, comes to the same."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.examples.imaging.pictures import KINDS, jpeg, photo, raw_png
from transforms.dataset.failures import PixelError, Reason
from transforms.examples.imaging import encode, rotate
from transforms.examples.imaging.decode import decode_pixels, verify_pixels
from transforms.examples.imaging.encode import encode_pixels
from transforms.examples.imaging.header import check_picture

PNGS = [name for name in KINDS if name.startswith("png")]


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    rest=st.sampled_from([(), (3,)]),
    rotation=st.sampled_from([90, 180, 270]),
)
@settings(max_examples=200)
def test_turned_in_place(height: int, width: int, rest: tuple, rotation: int) -> None:
    shape = (height, width, *rest)
    pixels = np.random.default_rng(height).integers(0, 256, shape, np.uint8)
    wanted = np.rot90(pixels, rotation // 90)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rotate, "LARGE_BYTES", 0)
        given_pixels = pixels.copy()
        turned = rotate.turn(given_pixels, rotation)
    assert np.shares_memory(turned, given_pixels)
    assert turned.flags.c_contiguous
    assert np.array_equal(turned, wanted)


@pytest.mark.parametrize("encoding", ["png", "webp", "jpeg"])
def test_encoded(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    pixels = np.asarray(photo())
    wanted = Image.open(io.BytesIO(encode_pixels(pixels, encoding, 90)))
    monkeypatch.setattr(encode, "LARGE_BYTES", 0)
    found = Image.open(io.BytesIO(encode_pixels(pixels.copy(), encoding, 90)))
    assert found.format == wanted.format == encoding.upper()
    assert np.array_equal(np.asarray(found), np.asarray(wanted))


def test_what_is_too_large_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.asarray(photo())
    size = len(encode_pixels(pixels, "png", 90))
    monkeypatch.setattr(encode, "MAX_ENCODED_BYTES", size)
    encode_pixels(pixels, "png", 90)
    monkeypatch.setattr(encode, "MAX_ENCODED_BYTES", size - 1)
    with pytest.raises(PixelError) as caught:
        encode_pixels(pixels, "png", 90)
    assert caught.value.reason is Reason.TOO_LARGE


@pytest.mark.parametrize("encoding", ["png", "webp"])
def test_too_many_pixels_to_encode(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    pixels = np.asarray(photo())
    monkeypatch.setitem(encode.MAX_PIXELS, encoding, 120 * 75)
    encode_pixels(pixels, encoding, 90)
    monkeypatch.setitem(encode.MAX_PIXELS, encoding, 120 * 75 - 1)
    with pytest.raises(PixelError) as caught:
        encode_pixels(pixels, encoding, 90)
    assert caught.value.reason is Reason.TOO_MANY_PIXELS


@pytest.mark.parametrize("reduction", [1, 3])
@pytest.mark.parametrize("name", PNGS)
def test_pngs_in_strips(name: str, reduction: int) -> None:
    """A picture of more than a strip is what its parts are, which are one strip each."""
    picture = Image.open(io.BytesIO(KINDS[name])).resize((1000, 1100), Image.Resampling.NEAREST)

    def decode_rows(top: int, bottom: int) -> np.ndarray:
        data = io.BytesIO()
        picture.crop((0, top, 1000, bottom)).save(data, "png", compress_level=1)
        return decode_pixels(data.getvalue(), check_picture(data.getvalue()), reduction)

    parts = [decode_rows(0, 600), decode_rows(600, 1100)]
    assert np.array_equal(decode_rows(0, 1100), np.concatenate(parts))


@pytest.mark.parametrize("treat", [verify_pixels, decode_pixels])
def test_a_png_of_too_many_pixels(treat: Callable) -> None:
    data = raw_png(13, 7, 16, 6)
    header = check_picture(data)
    treat(data, header, max_bytes=13 * 7 * 7)
    with pytest.raises(PixelError) as caught:
        treat(data, header, max_bytes=13 * 7 * 7 - 1)
    assert caught.value.reason is Reason.TOO_MANY_PIXELS
    assert "at most 90 pixels" in caught.value.detail


def test_coefficients_of_several_scans_count() -> None:
    data = jpeg(progressive=True)  # 120 x 75, 4:2:0
    header = check_picture(data)
    coefficients = (15 * 10 + 2 * 8 * 5) * 64 * 2
    pixels = 120 * 75 * 3
    decode_pixels(data, header, max_bytes=coefficients + pixels)
    with pytest.raises(PixelError) as caught:
        decode_pixels(data, header, max_bytes=coefficients + pixels - 1)
    assert caught.value.reason is Reason.TOO_MANY_PIXELS
    verify_pixels(data, header, max_bytes=coefficients + pixels - 1)
    decode_pixels(jpeg(), header, max_bytes=pixels)
    with pytest.raises(PixelError):
        verify_pixels(data, header, max_bytes=coefficients - 1)
