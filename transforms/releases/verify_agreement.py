"""The check that splits share no images, and that formats hold the same examples."""

import dataclasses
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import compress

import numpy as np

from transforms.dataset.keys import image_ids
from transforms.formats.registry import FORMATS, whole
from transforms.releases.merging import Batch

#: Split and format.
Stream = tuple[str, str]


@dataclasses.dataclass
class Tally:
    """Some images: how many, and one of them."""

    count: int = 0
    such: str = ""

    def add(self, keys: np.ndarray) -> None:
        """Counts images by their keys."""
        if len(keys):
            self.such = self.such or image_ids(keys[:1]).to_pylist()[0]
            self.count += len(keys)

    def __str__(self) -> str:
        if self.count == 1:
            return f"image {self.such}"
        return f"{self.count:,} images, among them {self.such},"


class Comparison:
    """Collects the disagreements of streams, window by window in key order."""

    def __init__(self, streams: Collection[Stream]) -> None:
        self._formats: dict[str, list[str]] = {}
        for split, form in sorted(streams, key=lambda each: (each[0], FORMATS.index(each[1]))):
            self._formats.setdefault(split, []).append(form)
        #: Images in several splits.
        self.shared = Tally()
        #: By split and some of its formats, images that the other ones lack.
        self.alone: dict[tuple[str, tuple[str, ...]], Tally] = defaultdict(Tally)
        #: By split and format, images whose examples differ from those of the split's first format,
        #: which is named third; partial formats aren't compared so.
        self.differing: dict[tuple[str, str, str], Tally] = defaultdict(Tally)
        #: Images in any split, once for each.
        self.examples = 0

    def add(self, window: Mapping[Stream, Batch]) -> None:
        """Takes a window of `merging.align`: keys and, where formats are compared, checksums."""
        of_split = []
        for split, formats in self._formats.items():
            batches = [window.get((split, form), _NOTHING) for form in formats]
            union = np.unique(np.concatenate([keys for keys, _ in batches]))
            of_split.append(union)
            if len(formats) > 1:
                self._find_alone(split, union, [keys for keys, _ in batches])
                first, *others = whole(formats) or formats[:1]
                for form in others:
                    differ = _differing(batches[formats.index(first)], batches[formats.index(form)])
                    self.differing[split, form, first].add(differ)
        keys, counts = np.unique(np.concatenate(of_split), return_counts=True)
        self.shared.add(keys[counts > 1])
        self.examples += sum(map(len, of_split))

    def _find_alone(self, split: str, union: np.ndarray, keys: Sequence[np.ndarray]) -> None:
        """Counts images of a split that some of its formats lack; each has some (n,) keys."""
        present = np.column_stack([np.isin(union, some) for some in keys])
        lonely = ~present.all(axis=1)
        for pattern in np.unique(present[lonely], axis=0):
            having = tuple(compress(self._formats[split], pattern))
            self.alone[split, having].add(union[(present == pattern).all(axis=1)])

    def lines(self, lacking: Collection[Stream]) -> Iterator[str]:
        """Yields a line for images in several splits, and for images that some formats lack.

        Args:
            lacking: streams some of whose examples couldn't be read; that has been reported.
        """
        if self.shared.count:
            yield f"{self.shared} in several splits"
        for (split, having), tally in self.alone.items():
            others = {(split, form) for form in self._formats[split] if form not in having}
            if not others & set(lacking):
                yield f"{split}: {tally} in {' and '.join(having)} alone"


def _differing(one: Batch, other: Batch) -> np.ndarray:
    """Returns the keys of the images that are in both batches with other checksums."""
    keys, first, second = np.intersect1d(one[0], other[0], return_indices=True)
    return keys[one[1][first] != other[1][second]]


_NOTHING: Batch = (np.empty(0, np.uint64), np.empty(0, np.uint64))
