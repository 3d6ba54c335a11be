"""`classes.json`: what labels are called, and their numbers in semantic maps."""

import dataclasses
import functools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa


class ClassEntry(NamedTuple):
    """What a file says of a class.

    Attributes:
        label: its MID.
        name: its display name; None where the file holds no names.
        parents: the MIDs of its parents.
        list_name: the name of the class list that the file is.
        points: counts of point labels, and other names of the class in them.
    """

    label: str
    name: str | None = None
    parents: Sequence[str] = ()
    list_name: str | None = None
    points: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True, eq=False)  # so that it can be the key of a cache
class ClassTable:
    """The classes of a dataset, in the order of `classes.json`.

    Attributes:
        records: as of `build_classes`.
    """

    records: Sequence[Mapping[str, Any]] = ()

    @functools.cached_property
    def index(self) -> dict[str, int]:
        """The index of each class by its MID, from 1; 0 for a class that has none."""
        return {each["label"]: each["index"] or 0 for each in self.records}

    @functools.cached_property
    def names(self) -> dict[str, str]:
        """The display name of each class by its MID; the MID itself where it has none."""
        return {each["label"]: each["name"] or each["label"] for each in self.records}

    @property
    def numbered(self) -> Sequence[Mapping[str, Any]]:
        """Those that have an index, in its order."""
        return [each for each in self.records if each["index"]]

    @functools.cached_property
    def as_bytes(self) -> bytes:
        """All of it, as bytes whose equality is that of tables."""
        return repr(self.records).encode()


NO_CLASSES = ClassTable()


class ClassFile(NamedTuple):
    """What a file says of classes.

    Attributes:
        rank: classes of files of a lower rank come first.
        path: of the file.
        entries: in file order.
    """

    rank: int
    path: str
    entries: Sequence[ClassEntry]


def build_classes(
    files: Iterable[ClassFile], labels: Iterable[str], order: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """All classes in index order.

    That order is by rank of their files, then by file name, and then file order; last the `labels`
    that are in no file, sorted. What is said first stands.

    Args:
        files: in any order.
        labels: MIDs that occur in annotations.
        order: the MIDs that have an index, in its order; the others come after them as above, and
            have none. None: all have one.

    Returns:
        A class each: `index` from 1 (None: it has none), `label` (MID), `name` (None: not known),
        `parents` (MIDs), `lists` (names of the class lists that hold it, without the extension),
        and, where a point-classes file has it, `points`: `yes_points`, `points`, `text_mentions`.
    """
    classes: dict[str, dict[str, Any]] = {label: _new_class(label) for label in order or ()}
    for file in sorted(files, key=lambda file: (file.rank, os.path.basename(file.path), file.path)):
        for entry in file.entries:
            known = classes.get(entry.label)
            if known is None:
                known = classes[entry.label] = _new_class(entry.label)
            if known["name"] is None:
                known["name"] = entry.name
            if entry.points is not None:
                known.setdefault("points", dict(entry.points))
            for parent in entry.parents:
                _add(known["parents"], parent)
            if entry.list_name is not None:
                _add(known["lists"], entry.list_name)
    numbered = len(classes) if order is None else len(order)
    for index, each in enumerate(classes.values(), 1):
        each["index"] = index if index <= numbered else None
    return complete_classes(list(classes.values()), labels, order is None)


def complete_classes(
    classes: Sequence[dict[str, Any]], labels: Iterable[str], with_index: bool = True
) -> list[dict[str, Any]]:
    """The classes with those appended, sorted, whose `labels` occur in annotations alone.

    Args:
        classes: in index order.
        labels: MIDs.
        with_index: whether those that are appended have an index.
    """
    index = class_index([each["label"] for each in classes], labels)
    added = [
        _new_class(label, number if with_index else None)
        for label, number in index.items()
        if number > len(classes)
    ]
    return [*classes, *added]


def class_index(
    known: Sequence[str], labels: Iterable[str], order: Sequence[str] | None = None
) -> dict[str, int]:
    """MID to index, from 1: of the known labels in order, then of other `labels`, sorted.

    Where there is an `order`, its labels alone have an index, and the others 0.
    """
    others = sorted(set(labels).difference(known))
    if order is not None:
        index = {label: number for number, label in enumerate(order, 1)}
        return dict.fromkeys([*known, *others], 0) | index
    return {label: index for index, label in enumerate([*known, *others], 1)}


def encode_labels(classes: Iterable[Mapping[str, Any]]) -> bytes:
    """Encodes the labels of classes in order; a tenth of the bytes of `classes.json`."""
    return "\n".join(each["label"] for each in classes).encode()


@functools.lru_cache(maxsize=1)
def decode_labels(encoded: bytes) -> pa.Array:
    """Returns the labels, (n,) string; decoded once a process."""
    return pa.array(encoded.decode().split("\n") if encoded else [], pa.string())


def encode_classes(classes: Iterable[Mapping[str, Any]]) -> bytes:
    """Returns the content of `classes.json`: a JSON array in UTF-8, one class a line."""
    text = json.dumps(list(classes), ensure_ascii=False)
    # Only between classes, as quotes in strings are escaped, and one at a time takes twice as long.
    lines = text[1:-1].replace('}, {"', '},\n{"')
    return f"[\n{lines}\n]\n".encode()


def complete_encoded(encoded: bytes, labels: Iterable[str], with_index: bool = True) -> bytes:
    """As `complete_classes`, of encoded classes: the very same bytes where nothing is added."""
    unknown = set(labels)
    if not unknown:
        return encoded
    return encode_classes(complete_classes(json.loads(encoded), unknown, with_index))


@functools.lru_cache(maxsize=1)
def decode_classes(encoded: bytes, labels: frozenset[str], with_index: bool) -> ClassTable:
    """As `complete_encoded`, decoded; once a process."""
    return ClassTable(json.loads(complete_encoded(encoded, labels, with_index)))


def _new_class(label: str, index: int | None = None) -> dict[str, Any]:
    return {"index": index, "label": label, "name": None, "parents": [], "lists": []}


def _add(values: list[str], value: str) -> None:
    if value not in values:
        values.append(value)
