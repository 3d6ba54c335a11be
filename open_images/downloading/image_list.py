"""Image lists."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from open_images.downloading.catalogue import LIST_SPLITS
from transforms.dataset.keys import image_keys
from transforms.errors import UsageError

#: Pictures by split: sorted keys (`transforms.dataset.keys`), (n,) uint64.
Pictures = Mapping[str, np.ndarray]

_LINE = rf"^(?P<split>{'|'.join(LIST_SPLITS)})/(?P<image_id>[0-9a-f]{{16}})$"
#: Characters that are read at a time.
_LIST_CHARACTERS = 4 << 20
_LONGEST_LINE = 1000


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
    """The keys of some lines, `before` of which precede them in the file, by split."""
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
