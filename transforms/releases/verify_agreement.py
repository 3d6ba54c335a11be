"""What the splits and formats of a version say of the same images."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping

import numpy as np

from transforms.dataset.keys import image_ids
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
    """Takes what streams have in one range of keys after another, and keeps what doesn't fit."""

    def __init__(self, streams: Collection[Stream]) -> None:
        self._formats: dict[str, list[str]] = {}
        for split, form in sorted(streams):
            self._formats.setdefault(split, []).append(form)
        #: Images in several splits.
        self.shared = Tally()
        #: By stream, images that the split's other format lacks.
        self.alone = {stream: Tally() for stream in streams}
        #: By split, images whose examples differ between formats.
        self.differing = {split: Tally() for split in self._formats}
        #: Images in any split, once for each.
        self.examples = 0

    def add(self, window: Mapping[Stream, Batch]) -> None:
        """Takes a window of `merging.align`: keys and, where formats are compared, checksums."""
        of_split = []
        for split, formats in self._formats.items():
            batches = [window[split, form] for form in formats if (split, form) in window]
            if not batches:
                continue
            of_split.append(np.unique(np.concatenate([keys for keys, _ in batches])))
            if len(formats) > 1:
                self._compare(split, formats, window)
        keys, counts = np.unique(np.concatenate(of_split), return_counts=True)
        self.shared.add(keys[counts > 1])
        self.examples += sum(map(len, of_split))

    def _compare(self, split: str, formats: list[str], window: Mapping[Stream, Batch]) -> None:
        one, other = (window.get((split, form), _NOTHING) for form in formats)
        _, mine, theirs = np.intersect1d(one[0], other[0], return_indices=True)
        for form, batch, places in zip(formats, (one, other), (mine, theirs), strict=True):
            lonely = np.ones(len(batch[0]), bool)
            lonely[places] = False
            # Those that are there twice were told of before.
            self.alone[split, form].add(np.setdiff1d(batch[0][lonely], batch[0][places]))
        differ = one[1][mine] != other[1][theirs]
        self.differing[split].add(one[0][mine][differ])

    def lines(self, lacking: Collection[Stream]) -> Iterator[str]:
        """Yields a line for each kind of image that doesn't fit, but where examples differ.

        Args:
            lacking: streams of which not all examples could be read, which was told before.
        """
        if self.shared.count:
            yield f"{self.shared} in several splits"
        for (split, form), tally in self.alone.items():
            others = {(split, other) for other in self._formats[split]} - {(split, form)}
            if tally.count and not others & set(lacking):
                yield f"{split}: {tally} in {form} alone"


_NOTHING: Batch = (np.empty(0, np.uint64), np.empty(0, np.uint64))
