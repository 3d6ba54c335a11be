"""Merges the examples of several streams of shards by key.

The shards of a split are in key order, and so are the examples of a shard. So splits, formats and
versions are compared by a merge, which holds no more than one shard's keys of each stream.
"""

from collections.abc import Hashable, Iterator, Mapping
from typing import TypeVar

import numpy as np

_Name = TypeVar("_Name", bound=Hashable)

#: Keys first, then arrays of the same length.
Batch = tuple[np.ndarray, ...]


def align(streams: Mapping[_Name, Iterator[Batch]]) -> Iterator[dict[_Name, Batch]]:
    """Brings streams of batches with ascending keys together.

    Args:
        streams: batches by name.

    Yields:
        By name, what the streams have in one range of keys after another; a stream that has nothing
        there is left out.
    """
    pending: dict[_Name, Batch] = {}
    while True:
        for name, stream in streams.items():
            if name not in pending:
                batch = next((batch for batch in stream if len(batch[0])), None)
                if batch:
                    pending[name] = batch
        if not pending:
            return
        frontier = min(batch[0][-1] for batch in pending.values())
        window = {}
        for name, batch in list(pending.items()):
            count = int(np.searchsorted(batch[0], frontier, side="right"))
            if count:
                window[name] = tuple(array[:count] for array in batch)
            pending[name] = tuple(array[count:] for array in batch)
            if not len(pending[name][0]):
                del pending[name]
        yield window


def within(positions: np.ndarray, first: int, count: int) -> np.ndarray:
    """Returns those of some ascending positions that are among `count` from `first` on, from 0."""
    start, stop = np.searchsorted(positions, [first, first + count])
    return positions[start:stop] - first
