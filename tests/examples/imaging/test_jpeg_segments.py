"""Plain headers and the search for markers: the same as Pillow parses, and as is found bytewise."""

import io
import random
import re
import struct
from collections.abc import Callable, Iterator

import pytest
from PIL.JpegImagePlugin import JpegImageFile

from tests.examples.imaging import mutations
from tests.examples.imaging.pictures import KINDS, jpeg
from transforms.dataset.failures import PixelError
from transforms.examples.imaging import header, jpeg_segments
from transforms.examples.imaging.jpeg_segments import plain_frame, segments

JPEGS = {name: data for name, data in KINDS.items() if name.startswith("jpeg")}
MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")


def application(kind: int, body: bytes, rest: bytes = jpeg()[20:]) -> bytes:
    """A JPEG with this application segment in front of the rest."""
    return jpeg()[:2] + struct.pack(">BBH", 0xFF, kind, len(body) + 2) + body + rest


def exif(kind: int, values: bytes) -> bytes:
    """A JPEG with an EXIF resolution of this type and four bytes."""
    entries = (
        struct.pack("<HHI", 0x11A, kind, 1) + values + struct.pack("<HHIHH", 0x128, 3, 1, 2, 0)
    )
    return application(0xE1, b"Exif\0\0II*\0\x08\0\0\0\x02\0" + entries + b"\0\0\0\0")


JFIF = jpeg()[6:20]
INCHES = JFIF[:7] + b"\1" + JFIF[8:]
DIGIT = exif(2, b"7\0\0\0")
#: Segments of which Pillow refuses some, for no reason that other readers would share.
APPLICATIONS = {
    "jfif": application(0xE0, JFIF),
    "jfif cut": application(0xE0, b"JFIF\0"),
    "jfif of dots an inch": application(0xE0, INCHES),
    "adobe": application(0xEE, b"Adobe\0d\0\0\0\0\1"),
    "adobe cut": application(0xEE, b"Adobe\0"),
    "icc": application(0xE2, b"ICC_PROFILE\0\1\1" + bytes(100)),
    "icc cut": application(0xE2, b"ICC_PROFILE\0\1"),
    "photoshop": application(0xED, b"Photoshop 3.0\x008BIM\4\4\0\0\0\0\0\4text"),
    "photoshop cut": application(0xED, b"Photoshop 3.0\x008BIM\4\4"),
    "photoshop cut in a size": application(0xED, b"Photoshop 3.0\x008BIM\4\4\0\0\0\0"),
    "exif": exif(3, b"\x48\0\0\0"),
    "exif of one digit": DIGIT,
    "jfif and exif of one digit": application(0xE0, JFIF, DIGIT[2:]),
    "jfif of dots an inch, and exif": application(0xE0, INCHES, DIGIT[2:]),
    "jfif by another marker, and exif of one digit": application(0xE5, INCHES, DIGIT[2:]),
    "xmp": application(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
    "several pictures": application(0xE2, b"MPF\0II*\0" + bytes(20)),
}


def verdict(data: bytes) -> object:
    try:
        return header.check_picture(data)
    except PixelError as error:
        return error.reason, error.detail


def bytewise(data: bytes | memoryview, position: int = 2) -> Iterator[tuple[int, int, int]]:
    """`segments` by the regular expression alone."""
    while found := MARKER.search(data, position):
        start = found.end()
        position = start + int.from_bytes(data[start : start + 2], "big")
        yield data[start - 1], start, position


def by_pillow(_: bytes) -> None:
    """No header is plain."""


# EXIF without a resolution elsewhere is left to Pillow.
@pytest.mark.parametrize("name", sorted({*JPEGS} - {"jpeg, exif orientation"}))
def test_plain_frames_are_what_pillow_parses(name: str) -> None:
    data = JPEGS[name]
    frame, position = plain_frame(data)
    picture = JpegImageFile(io.BytesIO(data))
    assert (frame.width, frame.height) == picture.size
    assert frame.sampling == [layer[1:3] for layer in picture.layer]
    assert data[position : position + 2] == b"\xff\xda"
    assert plain_frame(memoryview(data)) == (frame, position)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_odd_segments_get_pillows_verdict(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = verdict(APPLICATIONS[name])
    assert isinstance(found, header.PictureHeader) != name.endswith(("cut", "digit"))
    monkeypatch.setattr(header, "plain_frame", by_pillow)
    assert verdict(APPLICATIONS[name]) == found


def test_mutated_pictures_get_pillows_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random("plain")
    seeds = [*JPEGS.values(), *APPLICATIONS.values()]
    pictures = [mutations.mutate(rng, mutations.JPEG, seeds) for _ in range(3000)]
    found = [verdict(data) for data in pictures]
    plain = sum(bool(plain_frame(data)) for data in pictures if data.startswith(b"\xff\xd8\xff"))
    assert 1000 < plain < 2500
    assert [verdict(memoryview(data)) for data in pictures] == found
    monkeypatch.setattr(header, "plain_frame", by_pillow)
    monkeypatch.setattr(jpeg_segments, "segments", bytewise)
    assert [verdict(data) for data in pictures] == found


SCAN = jpeg()[jpeg().index(b"\xff\xda") + 20 : -2]
FILLERS: dict[str, Callable[[int], bytes]] = {
    "zeros": bytes,
    "fill bytes": lambda size: b"\xff" * size,
    "restart markers": lambda size: b"\xff\xd0" * (size // 2),
    "coded data": lambda size: (SCAN * (size // len(SCAN) + 1))[:size],
}


@pytest.mark.parametrize("filler", FILLERS)
def test_markers_are_found_at_every_place(filler: str) -> None:
    filled = FILLERS[filler](400_000)
    assert not list(segments(filled, 3))
    edges = [0, 63, 126, (256 << 10) + 63, (256 << 10) + 126]
    places = {edge + near for edge in edges for near in range(-3, 6)} | {len(filled) - 2}
    for place in sorted(places & {*range(len(filled) - 1)}):
        data = filled[:place] + b"\xff\xd9" + filled[place + 2 :]
        for start in {0, 3, max(0, place - 1), place, place + 1}:
            found, expected = segments(memoryview(data), start), bytewise(data, start)
            assert next(found, None) == next(expected, None)
    for cut in (edge + near for edge in edges[1:] for near in range(-3, 4)):
        assert not list(segments(filled[:cut] + b"\xff", 0))
