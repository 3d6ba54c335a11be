"""Finds the pictures of a list that are missing or damaged, whatever program wrote them."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from open_images.downloading.image_list import Pictures, among, without_present
from open_images.downloading.meter import Meter
from open_images.downloading.parallel import for_each
from transforms.dataset.failures import PixelError, Reason
from transforms.dataset.keys import image_ids
from transforms.examples.imaging.decode import verify_pixels
from transforms.examples.imaging.header import check_picture
from transforms.storage import files
from transforms.storage.regular import closing, open_regular

# First bytes of JPEGs and PNGs to their last bytes.
_ENDS = {b"\xff\xd8\xff": b"\xff\xd9", b"\x89PNG\r\n\x1a\n": b"IEND\xaeB`\x82"}
_LONGEST = 8  # of these, in bytes
_TOGETHER = 1024
#: Threads that read files at once, which hides the latency of a disk.
_THREADS = 8


class Present(NamedTuple):
    """The pictures of a list that are missing or damaged.

    `damaged` counts the latter; `example` names the first of these with its reason.
    """

    lacking: Pictures
    damaged: int
    example: str


def look(
    pictures: Pictures, folder: Path, verify: bool, meter: Meter, stop: threading.Event
) -> Present:
    """Returns which pictures are missing or damaged in a folder, as `SPLIT/IMAGE_ID.jpg`.

    Args:
        pictures: of the list.
        folder: where they are.
        verify: whether to decode them in full. Else the first and last bytes of a picture decide.
        meter: counts the whole ones.
        stop: set when the user interrupts.

    Raises:
        KeyboardInterrupt: The user interrupts.
    """
    absent = without_present(pictures, folder)
    damage: dict[tuple[str, int], list[tuple[int, str]]] = {}

    def look_at(piece: tuple[str, int, np.ndarray]) -> None:
        split, start, keys = piece
        paths = [f"{folder}/{split}/{image_id}.jpg" for image_id in image_ids(keys).to_pylist()]
        found = [_damage(path, verify) for path in paths]
        damaged = [(start + i, text) for i, text in enumerate(found) if text]
        if damaged:
            damage[split, start] = damaged
        meter.add(len(keys) - len(damaged))

    there = {split: keys[~among(keys, absent[split])] for split, keys in pictures.items()}
    for_each(look_at, _pieces(there), _THREADS, stop)
    lacking: dict[str, np.ndarray] = {}
    example = ""
    for split, keys in there.items():
        found = sorted(
            pair for (name, _), pairs in damage.items() if name == split for pair in pairs
        )
        again = keys[[place for place, _ in found]]
        lacking[split] = np.sort(np.concatenate([absent[split], again]))
        if found and not example:
            example = f"{split}/{image_ids(again[:1])[0]}.jpg ({found[0][1]})"
    return Present(lacking, sum(map(len, damage.values())), example)


def _pieces(there: Pictures) -> Iterator[tuple[str, int, np.ndarray]]:
    for split, keys in there.items():
        for start in range(0, len(keys), _TOGETHER):
            yield split, start, keys[start : start + _TOGETHER]


def _damage(path: str, verify: bool) -> str:
    """The reason why a file is no whole picture; empty if it is one."""
    try:
        if not verify and _has_ends(path):
            return ""
        data = files.read_file(path)
        header = check_picture(data)
        if verify:
            verify_pixels(data, header)
    except OSError as error:
        return error.strerror or str(error)
    except PixelError as error:
        # A picture with too many pixels to decode isn't damaged.
        return "" if error.reason == Reason.TOO_MANY_PIXELS else str(error)
    return ""


def _has_ends(path: str) -> bool:
    """Whether a file starts and ends as a JPEG or PNG, without any bytes behind."""
    with closing(open_regular(path)) as descriptor:
        start = os.pread(descriptor, _LONGEST, 0)
        end = os.pread(descriptor, _LONGEST, max(0, os.fstat(descriptor).st_size - _LONGEST))
    return any(start.startswith(first) and end.endswith(last) for first, last in _ENDS.items())
