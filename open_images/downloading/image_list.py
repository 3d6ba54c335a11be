"""Image lists, and which of their pictures are missing or damaged, whoever wrote them."""

import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from open_images.downloading.catalogue import LIST_SPLITS
from open_images.downloading.parallel import Meter, for_each
from transforms.dataset.failures import PixelError, Reason
from transforms.dataset.keys import image_ids, image_keys
from transforms.errors import UsageError
from transforms.examples.imaging.decode import verify_pixels
from transforms.examples.imaging.header import check_picture
from transforms.storage import files
from transforms.storage.regular import open_regular

#: Pictures by split: sorted keys (`transforms.dataset.keys`), (n,) uint64.
Pictures = Mapping[str, np.ndarray]

_LINE = rf"^(?P<split>{'|'.join(LIST_SPLITS)})/(?P<image_id>[0-9a-f]{{16}})$"
#: Characters that are read at a time.
_LIST_CHARACTERS = 4 << 20
_LONGEST_LINE = 1000

# First bytes of JPEGs and PNGs to their last bytes.
_ENDS = {b"\xff\xd8\xff": b"\xff\xd9", b"\x89PNG\r\n\x1a\n": b"IEND\xaeB`\x82"}
_END_BYTES = 8  # of these, in bytes
_TOGETHER = 1024
#: Threads that read files at once, which hides the latency of a disk.
_THREADS = 8
MISSING = "missing"


def read_list(
    path: Path, splits: Iterable[str] = LIST_SPLITS, piece: int = _LIST_CHARACTERS
) -> Pictures:
    """Reads an image list: `$SPLIT/$IMAGE_ID` a line; blank lines and repeated ones are skipped.

    Args:
        path: the file.
        splits: which to keep.
        piece: characters that are read at a time.

    Raises:
        UsageError: A line is of another form, or there is none.
        OSError: The file can't be read.
    """
    found = defaultdict(list)
    before = 0
    with open(path, encoding="utf-8-sig", errors="backslashreplace") as file:
        for lines in _pieces(file, piece):
            for split, keys in _parse(pa.array(lines), path, before).items():
                found[split].append(keys)
            before += len(lines)
    pictures = {name: sorted_once(found.pop(name)) for name in splits if name in found}
    if not pictures:
        raise UsageError(f"--image_list: {path} holds no images of {', '.join(sorted(splits))}")
    return pictures


def _pieces(file: TextIO, size: int) -> Iterator[list[str]]:
    """Yields the lines of a file, many at a time; of one that is too long the beginning."""
    rest = ""
    while text := file.read(size):
        *lines, rest = (rest + text).split("\n")
        if len(rest) > _LONGEST_LINE:  # which is no image, so nothing after it is read
            lines.append(rest[:_LONGEST_LINE])
        if lines:
            yield lines
    yield [rest]


def _parse(lines: pa.Array, path: Path, before: int) -> dict[str, np.ndarray]:
    """Returns the keys of some lines, `before` of which precede them in the file, by split."""
    lines = pc.utf8_trim_whitespace(lines)
    parts = pc.extract_regex(lines, _LINE)
    wrong = pc.and_(parts.is_null(), pc.not_equal(lines, ""))
    if (at := pc.index(wrong, True).as_py()) >= 0:
        raise UsageError(
            f"--image_list: {path}, line {before + at + 1}: {lines[at].as_py()[:80]!r} is not "
            f"SPLIT/IMAGE_ID: a split of {', '.join(LIST_SPLITS)} and 16 lowercase hex digits"
        )
    parts = parts.drop_null()
    splits, (keys, _) = parts.field("split"), image_keys(parts.field("image_id"))
    return {
        name: keys[pc.equal(splits, name).to_numpy(zero_copy_only=False)]
        for name in splits.unique().to_pylist()
    }


def sorted_once(some: Iterable[np.ndarray]) -> np.ndarray:
    """Returns keys, sorted, each once; `np.unique` would take six times their memory."""
    keys = np.concatenate(list(some))
    keys.sort()
    first = np.ones(len(keys), bool)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    return keys[first]


def among(keys: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns which keys are among the others, which are sorted: (n,) bool."""
    if not len(others):
        return np.zeros(len(keys), bool)
    places = np.minimum(np.searchsorted(others, keys), len(others) - 1)
    return others[places] == keys


def count(pictures: Pictures) -> int:
    """Returns how many pictures there are."""
    return sum(map(len, pictures.values()))


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
        faults = [find_fault(f"{folder}/{name}", verify) for name in names]
        lacking = keys[[bool(fault) for fault in faults]]
        damaged = [
            f"{name} ({fault})"
            for name, fault in zip(names, faults, strict=True)
            if fault not in ("", MISSING)
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


def find_fault(path: str, verify: bool) -> str:
    """Returns why a file is no whole picture; empty if it is one.

    Args:
        path: of the file.
        verify: whether to decode it in full. Else its first and last bytes decide.
    """
    try:
        if not verify and _has_ends(path):
            return ""
        data = files.read_file(path)
        header = check_picture(data)
        if verify:
            verify_pixels(data, header)
    except FileNotFoundError:
        return MISSING
    except OSError as error:
        return error.strerror or str(error)
    except PixelError as error:
        # A picture with too many pixels to decode isn't damaged.
        return "" if error.reason == Reason.TOO_MANY_PIXELS else str(error)
    return ""


def _has_ends(path: str) -> bool:
    """Returns whether a file starts and ends as a JPEG or PNG, without any bytes behind."""
    descriptor = open_regular(path)
    try:
        start = os.pread(descriptor, _END_BYTES, 0)
        end = os.pread(descriptor, _END_BYTES, max(0, os.fstat(descriptor).st_size - _END_BYTES))
    finally:
        os.close(descriptor)
    return any(start.startswith(first) and end.endswith(last) for first, last in _ENDS.items())
