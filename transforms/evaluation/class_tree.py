"""The classes of an evaluation as numbers, and what lies above and below each."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.selection.expand import Hierarchy


@dataclasses.dataclass(frozen=True)
class Reach:
    """What is reached from each class, in compressed rows.

    Attributes:
        offsets: (classes + 1,) int64; those reached from class i are in `classes` from
            `offsets[i]` to `offsets[i + 1]`.
        classes: (m,) int32.
    """

    offsets: np.ndarray
    classes: np.ndarray

    @classmethod
    def of(cls, labels: Sequence[str], reached: Mapping[str, Iterable[str]]) -> "Reach":
        """Returns it for classes in order; those that aren't among them are left out."""
        index = {label: number for number, label in enumerate(labels)}
        rows = [[index[each] for each in reached.get(one, ()) if each in index] for one in labels]
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        return cls(offsets, np.array([each for row in rows for each in row], np.int32))

    def expand(self, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns each class followed by all that are reached from it.

        Args:
            classes: (n,) int32.

        Returns:
            The places in `classes` that they stem from, and the classes: (m,) int64 and int32.
        """
        counts = self.offsets[classes + 1] - self.offsets[classes] + 1
        places = np.repeat(np.arange(len(classes)), counts)
        step = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
        expanded = classes[places]
        is_reached = step > 0
        at = self.offsets[expanded[is_reached]] + step[is_reached] - 1
        expanded[is_reached] = self.classes[at]
        return places, expanded


@dataclasses.dataclass(frozen=True)
class ClassTree:
    """The classes that are evaluated, in order.

    Attributes:
        labels: MIDs, (n,) string; a class is known by its place here.
        above: the classes above each, but for the root.
        below: those below each.
    """

    labels: pa.StringArray
    above: Reach
    below: Reach

    @classmethod
    def of(cls, labels: Sequence[str], parents: Mapping[str, Sequence[str]]) -> "ClassTree":
        """Returns the tree of some classes.

        Args:
            labels: MIDs of the classes that are evaluated, in order.
            parents: MIDs of the parents of each class.
        """
        hierarchy = Hierarchy.of_parents(parents)
        above, below = Reach.of(labels, hierarchy.above), Reach.of(labels, hierarchy.below)
        return cls(pa.array(labels, pa.string()), above, below)

    def are_related(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Returns for each pair whether one is above the other, or both have a class above them,
        the root apart: (n,) bool.

        Args:
            one: (n,) int32.
            other: likewise.
        """
        size = len(self.labels)
        pairs, inverse = np.unique(one.astype(np.int64) * size + other, return_inverse=True)
        first, second = np.divmod(pairs, size)
        places, above = self.above.expand(first.astype(np.int32))
        others, above_others = self.above.expand(second.astype(np.int32))
        shared = np.isin(places * size + above, others * size + above_others)
        found = np.zeros(len(pairs), bool)
        found[places[shared]] = True
        return found[inverse]

    def numbers(self, labels: pa.Array) -> np.ndarray:
        """Returns the number of each label, plain or a dictionary: (n,) int32, -1 for one that
        isn't evaluated."""
        if not pa.types.is_dictionary(labels.type):
            labels = labels.dictionary_encode()
        found = pc.index_in(labels.dictionary, self.labels).fill_null(-1)
        return found.to_numpy(zero_copy_only=False)[labels.indices.to_numpy()]
