"""Finds the pictures of a list that are missing or damaged, whatever program wrote them."""

import os
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np

from open_images.downloading.image_list import Pictures
from open_images.downloading.parallel import Meter, for_each
from transforms.dataset.failures import PixelError, Reason
from transforms.dataset.keys import image_ids
from transforms.examples.imaging.decode import verify_pixels
from transforms.examples.imaging.header import check_picture
from transforms.storage import files
from transforms.storage.regular import open_regular

# First bytes of JPEGs and PNGs to their last bytes.
_ENDS = {b"\xff\xd8\xff": b"\xff\xd9", b"\x89PNG\r\n\x1a\n": b"IEND\xaeB`\x82"}
_LONGEST = 8  # of these, in bytes
_TOGETHER = 1024
#: Threads that read files at once, which hides the latency of a disk.
_THREADS = 8
_MISSING = "missing"


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
    there = {split: keys for split, keys in pictures.items() if (folder / split).is_dir()}
    windows = [
        (split, keys[start : start + _TOGETHER])
        for split, keys in there.items()
        for start in range(0, len(keys), _TOGETHER)
    ]
    found: dict[int, tuple[np.ndarray, list[str]]] = {}

    def look_at(place: int) -> None:
        split, keys = windows[place]
        names = [f"{split}/{image_id}.jpg" for image_id in image_ids(keys).to_pylist()]
        faults = [_fault(f"{folder}/{name}", verify) for name in names]
        lacking = keys[[bool(fault) for fault in faults]]
        damaged = [
            f"{name} ({fault})"
            for name, fault in zip(names, faults, strict=True)
            if fault not in ("", _MISSING)
        ]
        found[place] = lacking, damaged
        meter.add(len(keys) - len(lacking))

    for_each(look_at, range(len(windows)), _THREADS, stop)
    looked_at = {
        name: np.concatenate([found[i][0] for i, (split, _) in enumerate(windows) if split == name])
        for name in there
    }
    examples = [damaged[0] for _, (_, damaged) in sorted(found.items()) if damaged]
    count = sum(len(damaged) for _, damaged in found.values())
    return Present({**pictures, **looked_at}, count, examples[0] if examples else "")


def _fault(path: str, verify: bool) -> str:
    """Returns why a file is no whole picture; empty if it is one."""
    try:
        if not verify and _has_ends(path):
            return ""
        data = files.read_file(path)
        header = check_picture(data)
        if verify:
            verify_pixels(data, header)
    except FileNotFoundError:
        return _MISSING
    except OSError as error:
        return error.strerror or str(error)
    except PixelError as error:
        # A picture with too many pixels to decode isn't damaged.
        return "" if error.reason == Reason.TOO_MANY_PIXELS else str(error)
    return ""


def _has_ends(path: str) -> bool:
    """Whether a file starts and ends as a JPEG or PNG, without any bytes behind."""
    descriptor = open_regular(path)
    try:
        start = os.pread(descriptor, _LONGEST, 0)
        end = os.pread(descriptor, _LONGEST, max(0, os.fstat(descriptor).st_size - _LONGEST))
    finally:
        os.close(descriptor)
    return any(start.startswith(first) and end.endswith(last) for first, last in _ENDS.items())
