"""Recordings are checked page by page, without a decoder."""

from pathlib import Path

import pytest

from tests.recordings import RATE, opus_head, page, pages_of, recording, vorbis_head
from transforms.dataset.failures import PixelError, Reason
from transforms.examples.voices.ogg import Recording, check_recording, with_serial

#: A tone of 0.5 s, as libsndfile writes it.
SAMPLES = Path(__file__).parents[2] / "data" / "voices"
FIRST, SECOND, LAST = pages_of(1.5)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_vorbis():
    assert check_recording(recording(1.5)) == Recording("vorbis", RATE, 1, 1.5)


def test_opus_counts_at_48_khz():
    head, *_ = pages_of(1.0, head=opus_head(channels=2))
    data = head + page(b"sound", 1, 312 + 24_000) + page(b"more", 2, -1)
    assert check_recording(data) == Recording("opus", RATE, 2, 0.5)


def test_streams_may_follow_one_another():
    more = b"".join(pages_of(0.5, seed=1, serial=8))
    assert check_recording(recording(1.5) + more).seconds == 2.0


@pytest.mark.parametrize(("name", "codec"), [("vorbis.ogg", "vorbis"), ("opus.ogg", "opus")])
def test_what_libsndfile_writes(name: str, codec: str):
    found = check_recording((SAMPLES / name).read_bytes())
    assert (found.codec, found.sample_rate, found.channels) == (codec, RATE, 1)
    assert found.seconds == pytest.approx(0.5, abs=0.02)


WRONG = {
    "nothing": (b"", "has no bytes"),
    "a page of HTML": (b"<!DOCTYPE html><html>404</html>", "starts with b'<!DOCTYPE html>"),
    "another container": (b"RIFF\x24\x00\x00\x00WAVEfmt ", "no Ogg file"),
    "cut within a page": (recording()[:-1], "cut: "),
    "cut within a page's header": (FIRST + SECOND + LAST[:10], "cut at byte"),
    "cut within a signature": (FIRST + SECOND + LAST[:2], "cut at byte"),
    "something behind": (recording() + b"\0" * 40, "no page of Ogg at byte"),
    "a changed bit of sound": (flipped(recording(), len(FIRST) + 100), "CRC of the page at byte"),
    "a changed bit of a CRC": (flipped(recording(), 23), "CRC of the page at byte 0"),
    "a page that is missing": (FIRST + LAST, "a page is missing"),
    "no first page": (SECOND + LAST, "a page is missing before byte 0"),
    "no sound": (FIRST, "holds no sound"),
    "another codec": (
        b"".join(pages_of(1, head=b"Speex   1.2rc1" + bytes(60))),
        "neither Vorbis nor Opus: its stream starts with b'Speex   1.2rc1",
    ),
    "no sample rate": (b"".join(pages_of(1, head=vorbis_head(rate=0))), "at 0 Hz"),
    "no channels": (b"".join(pages_of(1, head=opus_head(channels=0))), "of 0 channels"),
    "half a header": (b"".join(pages_of(1, head=vorbis_head()[:9])), "neither Vorbis nor Opus"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told(name: str):
    data, words = WRONG[name]
    with pytest.raises(PixelError) as caught:
        check_recording(data)
    assert caught.value.reason is Reason.VOICE_CORRUPT
    assert words in caught.value.detail
    assert "\n" not in caught.value.detail


def test_another_serial_number():
    data = b"".join(pages_of(1.5, serial=0x89ABCDEF))
    assert with_serial(recording(1.5), 0x89ABCDEF) == data
