"""The structure of a JPEG: its header where that is a plain one, and its segments to its end."""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from transforms.dataset.failures import PixelError, Reason

# A marker with a segment, or the end. In coded data FF is followed by 00 or a restart marker, so
# the same search passes over it; other readers, too, skip what stands between segments.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_START_OF_IMAGE, END_OF_IMAGE, START_OF_SCAN = 0xD8, 0xD9, 0xDA
_QUANTIZATION, _JFIF, _ADOBE = 0xDB, 0xE0, 0xEE

# Of frames that are coded arithmetically libjpeg notices no damage, not even a missing end; few
# readers know the lossless and hierarchical ones. C4, C8 and CC start no frame.
_FRAMES = range(0xC0, 0xC3)
_PROGRESSIVE = 0xC2
_OTHER_FRAMES = {*range(0xC3, 0xD0)} - {0xC4, 0xC8, 0xCC}

# Huffman tables, the restart interval, comments: Pillow passes over them whatever they hold.
_PASSED_OVER = {0xC4, 0xDD, 0xFE}
_APPLICATION = range(0xE0, 0xF0)

# Encoders write up to 20 or so. Each takes time for the whole picture, however small it is: without
# a limit 1 MB of empty ones would take minutes.
_MAX_SCANS = 100

# What a block of Photoshop's starts with, of which one without a name is refused.
_PHOTOSHOP = b"8BIM"

_SEGMENT = struct.Struct(">BBH")
_FRAME = struct.Struct(">BHHB")

# Most markers are where they are looked for. In coded data NumPy finds them twice as fast as a
# regular expression, by blocks that stay in the cache of the processor.
_NEAR, _BLOCK = 64, 256 << 10

# Grey, 4:4:4, 4:2:2 and 4:2:0, all of which simplejpeg decodes.
_USUAL_SAMPLING = ([(1, 1)], *([first, (1, 1), (1, 1)] for first in ((1, 1), (2, 1), (2, 2))))


class Frame(NamedTuple):
    """A JPEG's frame.

    Attributes:
        width: in pixels.
        height: in pixels.
        sampling: factors (across, down) of its components.
        read_through: whether strict decoding notices all that `check_segments` would: it is one
            scan, sampled as usual, of which libjpeg reads every byte to the end of image.
    """

    width: int
    height: int
    sampling: list[tuple[int, int]]
    read_through: bool = False

    @property
    def blocks(self) -> int:
        """How many blocks of 8 x 8 pixels its components have."""
        across, down = map(max, zip(*self.sampling, strict=True))
        return sum(
            -(-self.width * x // (8 * across)) * -(-self.height * y // (8 * down))
            for x, y in self.sampling
        )


def check_segments(data: bytes | memoryview, position: int = 2) -> None:
    """Walks a JPEG's markers to the end of image that follows a scan.

    An EXIF thumbnail's own end is inside a segment, so it is passed over.

    Args:
        data: the picture.
        position: where to begin, between segments and before the first scan.

    Raises:
        PixelError: FORMAT_NOT_ALLOWED, TRUNCATED or CORRUPT, see `check_picture`.
    """
    scans = 0
    for marker, start, end in segments(data, position):
        if marker == END_OF_IMAGE and scans:
            return
        if marker in (_START_OF_IMAGE, END_OF_IMAGE):
            raise PixelError(Reason.CORRUPT, f"marker {marker:02x} at offset {start - 2}")
        if marker in _OTHER_FRAMES:
            detail = f"JPEG of kind {marker:02x}; only baseline, extended and progressive are"
            raise PixelError(Reason.FORMAT_NOT_ALLOWED, detail)
        if end - start < 2 <= len(data) - start:
            raise PixelError(Reason.CORRUPT, f"segment of {end - start} bytes at offset {start}")
        scans += marker == START_OF_SCAN
        if scans > _MAX_SCANS:
            raise PixelError(Reason.CORRUPT, f"more than {_MAX_SCANS} scans")
    raise PixelError(Reason.TRUNCATED, f"no end of image in {len(data)} bytes")


def segments(data: bytes | memoryview, position: int = 2) -> Iterator[tuple[int, int, int]]:
    """Yields the marker of each segment, and where the segment's length begins and its body ends.

    The markers of the start and end of an image have no segment; nor is there more to be asked for
    after them.
    """
    block_start, candidates = 0, b""
    while position < len(data) - 1:
        if found := _MARKER.search(data, position, position + _NEAR):
            start = found.end()
            position = start + int.from_bytes(data[start : start + 2], "big")
            yield data[start - 1], start, position
            continue
        position += _NEAR - 1
        if position >= block_start + len(candidates):
            block_start, candidates = position, _find_candidates(data, position)
        place = candidates.find(1, position - block_start)
        position = block_start + (len(candidates) if place < 0 else place)


def _find_candidates(data: bytes | memoryview, start: int) -> bytes:
    """Returns 1 for each byte of a block that is FF and that 00 doesn't follow, else 0."""
    block = np.frombuffer(data, np.uint8)[start : start + _BLOCK + 1]
    candidates = block[:-1] == 0xFF
    candidates &= block[1:] != 0
    return candidates.tobytes()


def plain_frame(data: bytes | memoryview) -> tuple[Frame, int] | None:
    """Parses the header of a JPEG as most are: known segments without a gap, and one frame.

    Whatever is unusual is left to Pillow: all that it might refuse.

    Args:
        data: a picture that starts like a JPEG.

    Returns:
        The frame, and the place of the first scan; or None.
    """
    frame = None
    exif = resolution = sequential = False
    position = 2
    while position + _SEGMENT.size <= len(data):
        mark, marker, length = _SEGMENT.unpack_from(data, position)
        body, end = position + _SEGMENT.size, position + 2 + length
        if mark != 0xFF or length < 2 or end > len(data):
            return None
        if marker in _APPLICATION:
            # Pillow refuses some that are cut short. Adobe's has 12 bytes, JFIF's and others more.
            cut = end - body < (12 if marker == _ADOBE else 14)
            if cut or data[end - 6 : end - 2] == _PHOTOSHOP:
                return None
            name = data[body : body + 4]
            exif |= name == b"Exif"
            resolution |= marker == _JFIF and name == b"JFIF" and data[body + 7] in (1, 2)
        elif marker == _QUANTIZATION:
            while body < end:
                body += 65 if data[body] < 16 else 129
            if body > end:
                return None
        elif marker in _FRAMES:
            if frame or not (frame := _parse_frame(data[body:end])):
                return None
            sequential = marker != _PROGRESSIVE
        elif marker == START_OF_SCAN:
            # Without a resolution Pillow looks for one in the EXIF, and refuses some odd values.
            if not frame or (exif and not resolution):
                return None
            whole = sequential and data[body : body + 1] == bytes([len(frame.sampling)])
            return frame._replace(
                read_through=whole and frame.sampling in _USUAL_SAMPLING
            ), position
        elif marker not in _PASSED_OVER:
            return None
        position = end
    return None


def _parse_frame(body: bytes | memoryview) -> Frame | None:
    if len(body) < _FRAME.size:
        return None
    bits, height, width, components = _FRAME.unpack_from(body)
    sound = bits == 8 and height and width and components in (1, 3, 4)
    if not sound or len(body) != _FRAME.size + 3 * components:
        return None
    return Frame(width, height, [(byte >> 4, byte & 15) for byte in body[_FRAME.size + 1 :: 3]])
