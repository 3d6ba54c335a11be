"""The structure of a JPEG: its header where that is a plain one, and its segments to its end."""

import re
import struct
from typing import NamedTuple

import numpy as np

from transforms.dataset.failures import PixelError, Reason

# A marker with a segment, or the end. In coded data FF is followed by 00 or a restart marker, so
# the same search passes over it; other readers, too, skip what stands between segments.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_START_OF_IMAGE, _END_OF_IMAGE, START_OF_SCAN = 0xD8, 0xD9, 0xDA
_QUANTIZATION, _JFIF, _ADOBE = 0xDB, 0xE0, 0xEE

# Of frames that are coded arithmetically libjpeg notices no damage, not even a missing end; few
# readers know the lossless and hierarchical ones. C4, C8 and CC start no frame.
FRAMES = range(0xC0, 0xC3)
PROGRESSIVE = 0xC2
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

# NumPy looks for markers twice as fast as a regular expression, by blocks that stay in the cache of
# the processor. That does the rest: from a restart marker or fill byte on, so many bytes.
_BLOCK = 256 << 10
_NEAR = 64

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


def check_segments(data: bytes | memoryview, position: int = 2) -> None:
    """Walks a JPEG's markers to the end of image that follows a scan.

    An EXIF thumbnail's own end is inside a segment, so it is passed over.

    Args:
        data: the picture.
        position: where to begin, between segments and before the first scan.

    Raises:
        PixelError: FORMAT_NOT_ALLOWED, TRUNCATED or CORRUPT, see `check_picture`.
    """
    markers = Markers(data)
    scans = 0
    while found := markers.find(position):
        marker, position = data[found.end() - 1], found.end()
        if marker == _END_OF_IMAGE and scans:
            return
        if marker in (_START_OF_IMAGE, _END_OF_IMAGE):
            raise PixelError(Reason.CORRUPT, f"marker {marker:02x} at offset {found.start()}")
        if marker in _OTHER_FRAMES:
            detail = f"JPEG of kind {marker:02x}; only baseline, extended and progressive are"
            raise PixelError(Reason.FORMAT_NOT_ALLOWED, detail)
        length = int.from_bytes(data[position : position + 2], "big")
        if length < 2 <= len(data) - position:
            raise PixelError(Reason.CORRUPT, f"segment of {length} bytes at offset {position}")
        position += length
        scans += marker == START_OF_SCAN
        if scans > _MAX_SCANS:
            raise PixelError(Reason.CORRUPT, f"more than {_MAX_SCANS} scans")
    raise PixelError(Reason.TRUNCATED, f"no end of image in {len(data)} bytes")


class Markers:
    """A search for the markers of segments, and of the end, from places further and further on."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = data
        self._start = 0
        self._marked = b""  # from there on: 1 for FF that 00 doesn't follow

    def find(self, position: int) -> re.Match[bytes] | None:
        """The first from a position on, which isn't before what was found last."""
        while position < len(self._data) - 1:
            if position >= self._start + len(self._marked):
                self._mark(position)
            place = self._marked.find(1, position - self._start)
            if place < 0:
                position = self._start + len(self._marked)
                continue
            place += self._start
            if found := _MARKER.search(self._data, place, place + _NEAR):
                return found
            position = place + _NEAR - 1
        return None

    def _mark(self, start: int) -> None:
        size = min(_BLOCK + 1, len(self._data) - start)
        block = np.frombuffer(self._data, np.uint8, size, start)
        marked = block[:-1] == 0xFF
        marked &= block[1:] != 0
        self._start, self._marked = start, marked.tobytes()


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
        elif marker in FRAMES:
            if frame or not (frame := _parse_frame(data[body:end])):
                return None
            sequential = marker != PROGRESSIVE
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
