"""Checking recordings: Ogg files of Vorbis or Opus, page by page and without decoding.

Formats: RFC 3533 (Ogg), https://xiph.org/vorbis/doc/Vorbis_I_spec.html (section 4.2.2), RFC 7845
(Opus in Ogg).
"""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from transforms.dataset.failures import PixelError, Reason

# Signature, version, flags, granule position, serial number, page number, CRC, segments.
_PAGE = struct.Struct("<4sBBqIIIB")
_FIRST = 2  # flag of the first page of a stream
_SERIAL, _CRC = slice(14, 18), slice(22, 26)
#: Each byte with its bits in reverse. Ogg's CRC-32 takes the bits of a byte from the highest, and
#: zlib's from the lowest: of reversed bytes it is the same, with its own bits reversed.
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ONES = 0xFFFFFFFF

_VORBIS = struct.Struct("<7sIBI")  # signature, version, channels, sample rate
_OPUS = struct.Struct("<8sBBHI")  # signature, version, channels, samples to skip, sample rate
_OPUS_RATE = 48_000  # of positions, whatever was recorded
_DECODED_FRAMES = 1 << 16


class Recording(NamedTuple):
    """What the headers of a recording say.

    Attributes:
        codec: `vorbis` or `opus`.
        sample_rate: in Hz; of Opus, that of the sound that was encoded, or 0 where it isn't told.
        channels: how many.
        seconds: its length.
    """

    codec: str
    sample_rate: int
    channels: int
    seconds: float


class _Head(NamedTuple):
    """The first header of a stream; `clock` is the rate of positions in Hz, and `skipped` how many
    samples are played before the sound begins."""

    codec: str
    sample_rate: int
    channels: int
    clock: int
    skipped: int = 0


class _Page(NamedTuple):
    """A page of an Ogg file.

    Attributes:
        start: where it begins in the file.
        body: where what it holds begins.
        stop: where it ends.
        flags: of the page.
        position: how many samples the stream has at its end; -1 where no packet ends in it.
        serial: of its stream.
        number: its place in the stream.
    """

    start: int
    body: int
    stop: int
    flags: int
    position: int
    serial: int
    number: int


def _pages(data: bytes) -> Iterator[_Page]:
    """Yields the pages of a file, each of them whole.

    Raises:
        PixelError: VOICE_CORRUPT.
    """
    start = 0
    while start < len(data) or not start:
        found = data[start : start + _PAGE.size]
        if len(found) < _PAGE.size or not found.startswith(b"OggS\0"):
            raise _corrupt(_describe(found, start))
        _, _, flags, position, serial, number, _, segments = _PAGE.unpack(found)
        body = start + _PAGE.size + segments
        stop = body + sum(data[start + _PAGE.size : body])
        if stop > len(data):
            raise _corrupt(f"cut: {len(data)} bytes, and its last page ends at {stop}")
        yield _Page(start, body, stop, flags, position, serial, number)
        start = stop


def check_recording(data: bytes) -> Recording:
    """Checks that a file is whole and holds sound that can be decoded.

    All bytes are checked by the CRC of their page, and pages by their numbers. A file that ends
    with a page passes, since not all recorders mark the last one. Where several streams follow each
    other, the first one's headers count.

    Raises:
        PixelError: VOICE_CORRUPT.
    """
    flipped = data.translate(_REVERSED)
    numbers: dict[int, int] = {}  # of the next page, by the stream's serial number
    head: _Head | None = None
    samples = last = 0
    for page in _pages(data):
        bits = flipped[page.start : page.stop]
        if _checksum(bits) != int.from_bytes(bits[_CRC], "big"):
            raise _corrupt(f"the CRC of the page at byte {page.start} doesn't match")
        if page.flags & _FIRST:
            numbers[page.serial] = page.number
            samples, last = samples + last, 0
            head = head or _read_head(data[page.body : page.stop])
        if numbers.get(page.serial) != page.number:
            raise _corrupt(f"a page is missing before byte {page.start}")
        numbers[page.serial] += 1
        last = max(last, page.position)
    assert head is not None
    samples += last - head.skipped
    if samples <= 0:
        raise _corrupt("holds no sound")
    return Recording(head.codec, head.sample_rate, head.channels, samples / head.clock)


def with_serial(data: bytes, serial: int) -> bytes:
    """Returns an Ogg file of one stream with another serial number, of 32 bits.

    Raises:
        PixelError: VOICE_CORRUPT, where it isn't whole.
    """
    pages = []
    for page in _pages(data):
        changed = bytearray(data[page.start : page.stop])
        changed[_SERIAL] = serial.to_bytes(4, "little")
        crc = _checksum(bytes(changed).translate(_REVERSED))
        changed[_CRC] = crc.to_bytes(4, "big").translate(_REVERSED)
        pages.append(changed)
    return b"".join(pages)


def decode_recording(data: bytes) -> None:
    """Decodes a recording in full; needs `soundfile`.

    Raises:
        PixelError: VOICE_CORRUPT.
    """
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            frames = 0
            while read := len(file.read(_DECODED_FRAMES, "int16", always_2d=True)):
                frames += read
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise _corrupt(f"doesn't decode: {error}") from None
    if not frames:
        raise _corrupt("doesn't decode: no sound comes out")


def _checksum(page: bytes) -> int:
    """Returns the CRC of a page of reversed bytes, its own bits reversed."""
    crc = zlib.crc32(page[: _CRC.start], _ONES)
    crc = zlib.crc32(page[_CRC.stop :], zlib.crc32(bytes(_CRC.stop - _CRC.start), crc))
    return crc ^ _ONES


def _read_head(packet: bytes) -> _Head:
    if packet.startswith(b"\x01vorbis") and len(packet) >= _VORBIS.size:
        _, version, channels, rate = _VORBIS.unpack_from(packet)
        if version or not channels or not rate:
            raise _corrupt(f"Vorbis {version} of {channels} channels at {rate} Hz")
        return _Head("vorbis", rate, channels, rate)
    if packet.startswith(b"OpusHead") and len(packet) >= _OPUS.size:
        _, version, channels, skipped, rate = _OPUS.unpack_from(packet)
        if version >> 4 or not channels:
            raise _corrupt(f"Opus {version} of {channels} channels")
        return _Head("opus", rate, channels, _OPUS_RATE, skipped)
    raise _corrupt(f"neither Vorbis nor Opus: its stream starts with {packet[:16]!r}")


def _describe(found: bytes, at: int) -> str:
    if not found:
        return "has no bytes"
    if not at:
        return f"no Ogg file: starts with {found[:16]!r}"
    is_cut = b"OggS\0".startswith(found[:5]) if len(found) < 5 else found.startswith(b"OggS\0")
    return f"cut at byte {at + len(found)}" if is_cut else f"no page of Ogg at byte {at}"


def _corrupt(detail: str) -> PixelError:
    return PixelError(Reason.VOICE_CORRUPT, detail)
