"""Pictures: what is refused with which reason, what passes, and that damage never crashes."""

import random
import re
import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from tests.examples.imaging.pictures import (
    HEIGHT,
    WIDTH,
    chunk,
    ihdr,
    interlaced,
    jpeg,
    photo,
    png,
    save,
    unusual_sampling,
    with_exif,
    ycck,
)
from transforms.dataset.failures import PixelError, Reason
from transforms.examples.imaging.decode import decode_pixels, load_png, verify_pixels
from transforms.examples.imaging.header import PictureHeader, check_picture

pytestmark = pytest.mark.filterwarnings("error")


def resized_jpeg(width: int, height: int, data: bytes | None = None) -> bytes:
    """A JPEG whose header alone claims another size."""
    data = bytearray(data or jpeg())
    frame = re.search(rb"\xff[\xc0-\xc2]", data).start()
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def frame_of(kind: int) -> bytes:
    """A JPEG whose header alone claims another kind of coding."""
    return JPEG.replace(b"\xff\xc0", bytes([0xFF, kind]))


def sampled_by(factors: int) -> bytes:
    """A JPEG with these sampling factors, across and down, for all of its components."""
    data = bytearray(JPEG)
    frame = data.index(b"\xff\xc0")
    data[frame + 11], data[frame + 14], data[frame + 17] = [factors] * 3
    return bytes(data)


IDAT = chunk(b"IDAT", zlib.compress(bytes(11 * 10)))
IEND = chunk(b"IEND")
PNG = save(photo(), "PNG")
JPEG = jpeg()
SCAN = JPEG.index(b"\xff\xda")
LARGE = photo().resize((400, 250))

SOUND = {
    "jpeg": JPEG,
    "grey": jpeg("L"),
    "cmyk": jpeg("CMYK"),
    "ycck": ycck(),
    "rgb jpeg": jpeg(keep_rgb=True),
    "progressive": jpeg(progressive=True),
    "progressive cmyk": jpeg("CMYK", progressive=True),
    "optimized": jpeg(optimize=True, subsampling=1),
    "restarts": jpeg(restart_marker_rows=1),
    "exif": with_exif(),
    "fill bytes": JPEG[:SCAN] + b"\xff\xff" + JPEG[SCAN:],
    "trailing bytes": JPEG + b"\xff\xd8\xff\xe0 the second picture of an MPO",
    "png": PNG,
    "png with trailing bytes": PNG + b"trailing",
    **{f"png {mode}": save(photo(mode), "PNG") for mode in ("1", "L", "P", "LA", "RGBA")},
    "png 16 bits": save(Image.fromarray(np.full((HEIGHT, WIDTH), 999, np.uint16)), "PNG"),
}

#: Small files that take seconds or gigabytes where it is left to decoding to find them out.
COSTLY = {
    "huge, progressive": resized_jpeg(65_500, 2_700, jpeg(progressive=True)),
    "huge, cmyk": resized_jpeg(2_700, 65_500, jpeg("CMYK", progressive=True)),
    "huge, grey": resized_jpeg(13_000, 13_000, jpeg("L")),
    "huge, unusual sampling": resized_jpeg(13_000, 13_000, unusual_sampling()),
    "101 scans": JPEG[:SCAN] + JPEG[SCAN:-2] * 101 + JPEG[-2:],
}

BAD = {
    "empty": (b"", Reason.EMPTY),
    "html": (b"<!DOCTYPE html><html>404</html>", Reason.NOT_IMAGE),
    "text": (b"BM is no bitmap here", Reason.NOT_IMAGE),
    "zeros": (bytes(4096), Reason.NOT_IMAGE),
    "start of a jpeg's start": (b"\xff\xd8", Reason.NOT_IMAGE),
    "gif": (save(photo(), "GIF"), Reason.FORMAT_NOT_ALLOWED),
    "webp": (save(photo(), "WEBP"), Reason.FORMAT_NOT_ALLOWED),
    "bmp": (save(photo(), "BMP"), Reason.FORMAT_NOT_ALLOWED),
    "tiff": (save(photo(), "TIFF"), Reason.FORMAT_NOT_ALLOWED),
    "big-endian tiff": (b"MM\0*\0\0\0\x08" + bytes(100), Reason.FORMAT_NOT_ALLOWED),
    "jpeg 2000": (save(photo(), "JPEG2000"), Reason.FORMAT_NOT_ALLOWED),
    "avif": (b"\0\0\0\x20ftypavif" + bytes(100), Reason.FORMAT_NOT_ALLOWED),
    "heic": (b"\0\0\0\x20ftypheic" + bytes(100), Reason.FORMAT_NOT_ALLOWED),
    "jpeg xl": (b"\xff\x0a" + bytes(100), Reason.FORMAT_NOT_ALLOWED),
    "jpeg: start only": (b"\xff\xd8\xff", Reason.TRUNCATED),
    "jpeg: no end": (JPEG[:-2], Reason.TRUNCATED),
    "jpeg: half": (JPEG[: len(JPEG) // 2], Reason.TRUNCATED),
    "jpeg: half after a thumbnail": (with_exif()[: -len(JPEG) // 2], Reason.TRUNCATED),
    "jpeg: cut in a segment": (JPEG[:40], Reason.TRUNCATED),
    "jpeg: no scan": (JPEG[:SCAN] + b"\xff\xd9", Reason.CORRUPT),
    "jpeg: two starts": (b"\xff\xd8" + JPEG, Reason.CORRUPT),
    "jpeg: short segment": (b"\xff\xd8\xff\xe0\0\x01" + JPEG[4:], Reason.CORRUPT),
    "jpeg: no frame": (JPEG[:2] + JPEG[SCAN:], Reason.CORRUPT),
    "jpeg: no height": (resized_jpeg(100, 0), Reason.CORRUPT),
    "jpeg: bomb": (resized_jpeg(65_000, 65_000), Reason.TOO_MANY_PIXELS),
    "jpeg: arithmetic coding": (frame_of(0xC9), Reason.FORMAT_NOT_ALLOWED),
    "jpeg: lossless": (frame_of(0xC3), Reason.FORMAT_NOT_ALLOWED),
    "jpeg: sampled by nothing": (sampled_by(0), Reason.CORRUPT),
    "jpeg: sampled by nothing across": (sampled_by(0x01), Reason.CORRUPT),
    **{f"jpeg: {name}": (data, Reason.CORRUPT) for name, data in COSTLY.items()},
    "jpeg: zeros in the scan": (JPEG[: SCAN + 200] + bytes(300) + JPEG[-2:], Reason.CORRUPT),
    "jpeg: ends early": (JPEG[: SCAN + 200] + b"\xff\xd9", Reason.CORRUPT),
    "jpeg: larger than its data": (resized_jpeg(WIDTH, 4000), Reason.CORRUPT),
    "png: start only": (png(), Reason.TRUNCATED),
    "png: no end": (PNG[:-12], Reason.TRUNCATED),
    "png: half": (PNG[: len(PNG) // 2], Reason.TRUNCATED),
    "png: bit flipped": (PNG[:500] + bytes([PNG[500] ^ 1]) + PNG[501:], Reason.CORRUPT),
    "png: odd chunk": (png(ihdr(10, 10), chunk(b"ID4T"), IEND), Reason.CORRUPT),
    "png: no header": (png(IDAT, IEND), Reason.CORRUPT),
    "png: short header": (png(chunk(b"IHDR", b"12"), IDAT, IEND), Reason.CORRUPT),
    "png: no width": (png(ihdr(0, 10), IDAT, IEND), Reason.CORRUPT),
    "png: unknown depth": (png(ihdr(10, 10, depth=3), IDAT, IEND), Reason.CORRUPT),
    "png: bomb": (png(ihdr(30_000, 30_000), IDAT, IEND), Reason.TOO_MANY_PIXELS),
    "png: header not first": (png(IEND, ihdr(10, 10), IDAT, IEND), Reason.CORRUPT),
    "png: no pixels": (png(ihdr(10, 10), IEND), Reason.TRUNCATED),
    "png: too few pixels": (png(ihdr(10, 99), IDAT, IEND), Reason.TRUNCATED),
    "png: not deflated": (png(ihdr(10, 10), chunk(b"IDAT", b"pixels"), IEND), Reason.CORRUPT),
}


Judge = Callable[[bytes], PictureHeader]


def check(data: bytes) -> PictureHeader:
    header = check_picture(data)
    verify_pixels(data, header)
    return header


def decode(data: bytes) -> PictureHeader:
    """Checks what is to be made smaller: decoding finds what isn't looked for then."""
    header = check_picture(data, is_decoded=lambda _: True)
    decode_pixels(data, header, 2)
    return header


JUDGES = pytest.mark.parametrize("judge", [check, decode])


@JUDGES
@pytest.mark.parametrize("name", SOUND)
def test_sound_pictures_pass(name: str, judge: Judge) -> None:
    kind = "PNG" if "png" in name else "JPEG"
    assert judge(SOUND[name]) == (kind, WIDTH, HEIGHT)


@given(height=st.integers(1, 20), width=st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_interlaced_pngs_are_sound_and_miss_no_row(height: int, width: int) -> None:
    pixels = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    data = interlaced(pixels)
    assert check(data) == ("PNG", width, height)
    assert (np.asarray(load_png(data)) == pixels).all()
    taller = data[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height + 1, 8, 0, 0, 0, 1))
    with pytest.raises(PixelError) as caught:
        check(taller + data[33:])
    assert caught.value.reason is Reason.TRUNCATED


def test_unusual_sampling_is_sound() -> None:
    assert check(unusual_sampling()) == ("JPEG", 16, 16)


@JUDGES
@pytest.mark.parametrize("name", BAD)
def test_bad_pictures_are_refused_with_their_reason(name: str, judge: Judge) -> None:
    data, reason = BAD[name]
    with pytest.raises(PixelError) as caught:
        judge(data)
    assert caught.value.reason is reason
    assert len(caught.value.detail.splitlines()) == 1


def test_the_bad_pictures_are_many() -> None:
    assert len(BAD) >= 25
    assert len({data for data, _ in BAD.values()}) == len(BAD)


@pytest.mark.parametrize("name", COSTLY)
def test_costly_pictures_are_refused_undecoded(name: str) -> None:
    with pytest.raises(PixelError):
        check_picture(COSTLY[name])


def test_flat_pictures_are_not_too_short_for_their_size() -> None:
    """Encoders write some 6 bits for each block, never less than 2; one would be enough."""
    for mode in ("L", "RGB", "CMYK"):
        for options in ({}, {"progressive": True}, {"optimize": True}, {"subsampling": 0}):
            data = save(Image.new(mode, (2000, 1500)), "JPEG", quality=1, **options)
            assert check(data) == ("JPEG", 2000, 1500)


def test_pixels_are_counted_up_to_the_limit() -> None:
    assert check_picture(JPEG, max_pixels=WIDTH * HEIGHT)
    with pytest.raises(PixelError) as caught:
        check_picture(JPEG, max_pixels=WIDTH * HEIGHT - 1)
    assert caught.value.reason is Reason.TOO_MANY_PIXELS


@JUDGES
@pytest.mark.parametrize("name", ["jpeg", "cmyk", "progressive", "restarts", "exif", "png"])
def test_no_cut_picture_passes(name: str, judge: Judge) -> None:
    data = SOUND[name]
    for cut in random.Random(name).sample(range(len(data)), 200):
        with pytest.raises(PixelError):
            judge(data[:cut])


@given(
    name=st.sampled_from(sorted(SOUND)),
    place=st.floats(0, 1, exclude_max=True),
    noise=st.binary(min_size=1, max_size=20),
)
@settings(max_examples=400, deadline=None)
def test_damage_never_crashes(name: str, place: float, noise: bytes) -> None:
    data = bytearray(SOUND[name])
    start = int(place * len(data))
    data[start : start + len(noise)] = noise
    try:
        check(bytes(data))
    except PixelError as error:
        assert error.detail


DAMAGED = {
    "4:2:0": save(LARGE, "JPEG"),
    "4:4:4": save(LARGE, "JPEG", subsampling=0),
    "progressive": save(LARGE, "JPEG", progressive=True),
    "restarts": save(LARGE, "JPEG", restart_marker_rows=1),
    "grey": save(LARGE.convert("L"), "JPEG"),
}


def complaints(data: bytes, capfd: pytest.CaptureFixture) -> list[str]:
    """What a full decode in colour, at full size, by two libraries notices.

    OpenCV has a libjpeg of its own, whose warnings it leaves to the standard error; it returns a
    picture all the same.
    """
    found = []
    capfd.readouterr()
    if cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) is None:
        found.append("OpenCV can't decode it")
    found += capfd.readouterr().err.splitlines()
    try:
        simplejpeg.decode_jpeg(data, "RGB", strict=True)
    except ValueError as error:
        found.append(str(error))
    return found


@JUDGES
@pytest.mark.parametrize("name", DAMAGED)
def test_one_damaged_place_never_passes_with_decode_errors(
    name: str, judge: Judge, capfd: pytest.CaptureFixture
) -> None:
    """Verifying decodes an eighth of the size without colour; nothing may escape it by that."""
    data = DAMAGED[name]
    assert judge(data)
    assert complaints(data, capfd) == []
    rng = random.Random(name)
    refused = 0
    for place in rng.sample(range(len(data)), 200):
        changed = bytes([data[place] ^ rng.randrange(1, 256)])
        for damage in (changed, changed * 8, b""):
            damaged = data[:place] + damage + data[place + max(1, len(damage)) :]
            try:
                judge(damaged)
            except PixelError:
                refused += bool(complaints(damaged, capfd))
            else:
                assert complaints(damaged, capfd) == []
    assert refused >= 100


def test_pillow_is_left_strict() -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
