"""The orientation of a picture's metadata: after it is set to 1, no reader turns the picture."""

import io
import struct
import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tests.examples.imaging.oriented import (
    HEIGHT,
    JPEG,
    TURNED,
    UPRIGHT,
    WIDTH,
    exif,
    png,
    text,
    tiff,
)
from tests.examples.imaging.pictures import KINDS, chunk
from transforms.examples.imaging.header import check_picture
from transforms.examples.imaging.orientation import reset_orientation


def reset(data: bytes) -> bytes | None:
    found = reset_orientation(memoryview(data), check_picture(data).format)
    assert found == reset_orientation(data, check_picture(data).format)
    return found


def pillow(data: bytes) -> np.ndarray:
    with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def opencv(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


def stored(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def is_turned(shown: np.ndarray) -> bool:
    """Whether red isn't where it is stored, at the top left."""
    return shown.shape != (HEIGHT, WIDTH, 3) or shown[5, 5, 0] < 200


@pytest.mark.parametrize("name", TURNED)
def test_no_reader_turns_it(name: str):
    data = TURNED[name]
    assert is_turned(pillow(data)) or is_turned(opencv(data))
    new = reset(data)
    assert new is not None
    assert not is_turned(pillow(new))
    assert not is_turned(opencv(new))
    assert np.array_equal(stored(new), stored(data))
    check_picture(new)
    assert reset(new) is None


@pytest.mark.parametrize("name", UPRIGHT)
def test_what_is_upright_is_left_alone(name: str):
    assert not is_turned(pillow(UPRIGHT[name]))
    assert not is_turned(opencv(UPRIGHT[name]))
    assert reset(UPRIGHT[name]) is None


@pytest.mark.parametrize("name", [name for name in KINDS if "orientation" not in name])
def test_other_pictures_are_left_alone(name: str):
    assert reset(KINDS[name]) is None


def test_one_byte_of_a_jpeg_changes():
    data = exif(tiff(8))
    new = reset(data)
    assert [i for i, pair in enumerate(zip(data, new, strict=True)) if pair[0] != pair[1]] == [
        data.index(struct.pack("<HHI", 0x0112, 3, 1)) + 8
    ]


def test_a_value_and_a_checksum_of_a_png_change():
    data = png(chunk(b"eXIf", tiff(3)))
    new = reset(data)
    assert new == png(chunk(b"eXIf", tiff(1)))


def test_a_thumbnail_with_a_name_of_its_own_stays():
    """Exif data within the coded data, or behind the picture, isn't of it."""
    assert reset(JPEG + exif(tiff())) is None


def test_a_profile_that_is_none_stays():
    """Pillow can't read its orientation, and says so."""
    assert reset(png(text(b"Raw profile type exif", b"\nexif\n8\nno digits\n"))) is None


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 60), st.sampled_from("<>"))
def test_forged_exif_does_no_harm(noise: bytes, at: int, order: str):
    forged = tiff(order=order)[:at] + noise
    for data in (exif(forged), exif(forged, noise), png(chunk(b"eXIf", forged))):
        new = reset(data)
        assert new is None or len(new) == len(data)
        check_picture(new or data)
