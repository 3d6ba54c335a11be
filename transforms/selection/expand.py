"""Expands annotations over the hierarchy of classes, as the Open Images Challenge does.

Whatever is a dog is an animal, and where there surely is no animal there is no dog either. The
rules are those of https://storage.googleapis.com/openimages/web/challenge2019.html and of the
tools of TensorFlow's Object Detection API for it: boxes, masks and positive labels are repeated for
all classes above theirs but the root, and negative labels for all classes below theirs.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from transforms.kinds.boxes import BOXES
from transforms.kinds.image_labels import IMAGE_LABELS
from transforms.kinds.kind import Kind
from transforms.kinds.masks import MASKS
from transforms.kinds.points import POINTS
from transforms.selection.presence import says_absent, says_present


@dataclasses.dataclass(frozen=True)
class Hierarchy:
    """The classes above and below each class, its own and the root apart.

    Attributes:
        above: MID to MIDs, the nearest first.
        below: likewise.
    """

    above: Mapping[str, tuple[str, ...]]
    below: Mapping[str, tuple[str, ...]]

    @classmethod
    def of_parents(cls, parents: Mapping[str, Sequence[str]]) -> "Hierarchy":
        """Returns the hierarchy of classes by the parents of each.

        The root is what has classes below and no parents.
        """
        children: dict[str, list[str]] = {}
        for label, above in parents.items():
            for parent in above:
                children.setdefault(parent, []).append(label)
        roots = {label for label in children if not parents.get(label)}
        above = {label: _reach(label, parents, roots) for label in parents}
        below = {
            label: _reach(label, children, frozenset()) for label in children if label not in roots
        }
        return cls(
            {label: some for label, some in above.items() if some},
            {label: some for label, some in below.items() if some},
        )


def _reach(
    label: str, steps: Mapping[str, Sequence[str]], excluded: set[str] | frozenset[str]
) -> tuple[str, ...]:
    """Returns what is reached from a label by one or more steps, the nearest first."""
    found: dict[str, None] = {}
    nearest = [label]
    while nearest:
        reached = [each for one in nearest for each in steps.get(one, ())]
        nearest = [each for each in dict.fromkeys(reached) if each not in found and each != label]
        found.update(dict.fromkeys(nearest))
    return tuple(each for each in found if each not in excluded)


#: For each kind that is expanded, the fields beside the label that rows for one thing share.
_IDENTITY: Mapping[Kind, tuple[str, ...]] = {
    BOXES: ("xmin", "xmax", "ymin", "ymax"),
    MASKS: ("mask_path",),
    POINTS: ("x", "y"),
    IMAGE_LABELS: ("source",),
}
#: The columns of an example that are expanded.
EXPANDED: Mapping[str, Kind] = {kind.column: kind for kind in _IDENTITY}


def expand(lists: pa.ListArray, kind: Kind, hierarchy: Hierarchy) -> pa.ListArray:
    """Returns annotations with those that follow from them, each after the one that it repeats.

    What an image has already isn't added. Of several labels that would be added to one image by the
    same source, the surest is.

    Args:
        lists: (n,) lists of rows of the kind, with labels plain or coded as a dictionary.
        kind: one of `EXPANDED`.
        hierarchy: of classes.
    """
    rows = lists.flatten()
    if not len(rows):
        return lists
    labels = rows.field("label")
    labels = labels if pa.types.is_dictionary(labels.type) else labels.dictionary_encode()
    names = labels.dictionary.to_pylist()
    codes = labels.indices.to_numpy()
    up = _table(names, hierarchy.above)
    down = _table(names, hierarchy.below)
    is_present, is_absent = says_present(kind, rows), says_absent(kind, rows)
    counts = 1 + is_present * up.counts[codes] + is_absent * down.counts[codes]
    taken = np.repeat(np.arange(len(rows)), counts)
    nth = np.arange(len(taken)) - np.repeat(np.cumsum(counts) - counts, counts)
    is_copy = nth > 0
    # Each label is a place in the one list of all names: those that occur, and those added.
    new = pa.array([*names, *up.added, *down.added], pa.string()).dictionary_encode()
    place = new.indices.to_numpy()[codes[taken]].astype(np.int64)
    for is_repeated, table, first in (
        (is_present, up, len(names)),
        (is_absent, down, len(names) + len(up.added)),
    ):
        at = np.flatnonzero(is_copy & is_repeated[taken])
        added = first + table.starts[codes[taken[at]]] + nth[at] - 1
        place[at] = new.indices.to_numpy()[added]
    images = np.repeat(np.arange(len(lists)), lists.value_lengths().to_numpy())[taken]
    values = rows.take(pa.array(taken))
    kept = ~_repeats(values, images, place, is_copy, _IDENTITY[kind])
    columns = dict(zip(rows.type.names, values.flatten(), strict=True))
    coded = pa.array(place.astype(np.int32))
    columns["label"] = pa.DictionaryArray.from_arrays(coded, new.dictionary)
    if not pa.types.is_dictionary(rows.field("label").type):
        columns["label"] = columns["label"].cast(pa.string())
    expanded = pa.StructArray.from_arrays(list(columns.values()), list(columns))
    lengths = np.bincount(images[kept], minlength=len(lists))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, expanded.filter(pa.array(kept)))


@dataclasses.dataclass(frozen=True)
class _Table:
    """What is added for each of n labels: `added[starts[i] :][: counts[i]]`."""

    added: list[str]
    starts: np.ndarray
    counts: np.ndarray


def _table(names: Sequence[str], related: Mapping[str, tuple[str, ...]]) -> _Table:
    lists = [related.get(name, ()) for name in names]
    counts = np.array([len(some) for some in lists], np.int64)
    return _Table([each for some in lists for each in some], np.cumsum(counts) - counts, counts)


def _repeats(
    values: pa.StructArray,
    images: np.ndarray,
    labels: np.ndarray,
    is_copy: np.ndarray,
    fields: Sequence[str],
) -> np.ndarray:
    """Returns which rows are copies of what their image has already, (n,) bool."""
    groups = images * np.int64(int(labels.max()) + 1) + labels
    for name in fields:
        column = values.field(name)
        if not pa.types.is_floating(column.type):
            column = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
            column = column.indices.fill_null(-1)
        _, numbers = np.unique(column.to_numpy(zero_copy_only=False), return_inverse=True)
        _, groups = np.unique(groups, return_inverse=True)
        groups = groups * np.int64(numbers.max() + 1) + numbers
    surest = np.zeros(len(groups))
    if "confidence" in values.type.names:
        surest = -values.field("confidence").fill_null(0).to_numpy(zero_copy_only=False)
    # Published rows before copies, the surest first.
    order = np.lexsort((np.arange(len(groups)), surest, is_copy, groups))
    is_first = np.diff(groups[order], prepend=-1) != 0
    found = np.empty(len(groups), bool)
    found[order] = ~is_first
    return found & is_copy
