"""`classes.json`: what labels are called, and their numbers in semantic maps."""

import functools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from transforms.kinds.vocabulary import PointClass


def build_classes(
    names: Mapping[str, Mapping[str, str]],
    lists: Mapping[str, Sequence[str]],
    hierarchies: Mapping[str, Mapping[str, Sequence[str]]],
    point_classes: Mapping[str, Mapping[str, PointClass]],
    labels: Iterable[str],
) -> list[dict[str, Any]]:
    """All classes in index order.

    That order is: class names and point classes, then class lists, then hierarchies, each by file
    name and then in file order; last the `labels` that are in none of them, sorted. What is said
    first stands.

    Args:
        names: a file's path to what `read_class_names` returns for it.
        lists: the same of `read_class_list`.
        hierarchies: of `read_hierarchy`.
        point_classes: of `read_point_classes`.
        labels: MIDs that occur in annotations.

    Returns:
        A class each: `index` from 1, `label` (MID), `name` (None: not known), `parents` (MIDs),
        `lists` (names of the class lists that hold it, without the extension), and, where a
        point-classes file has it, `points`: `yes_points`, `points`, `text_mentions`.
    """
    classes: dict[str, dict[str, Any]] = {}

    def entry(label: str) -> dict[str, Any]:
        return classes.get(label) or classes.setdefault(label, _new_class(len(classes) + 1, label))

    for _, named in _by_name({**names, **point_classes}):
        for label, said in named.items():
            known = entry(label)
            of_points = isinstance(said, PointClass)
            if known["name"] is None:
                known["name"] = said.name if of_points else said
            if of_points and "points" not in known:
                known["points"] = dict(zip(PointClass._fields[1:], said[1:], strict=True))
    for path, listed in _by_name(lists):
        for label in listed:
            _add(entry(label)["lists"], _list_name(path))
    for _, hierarchy in _by_name(hierarchies):
        for label, parents in hierarchy.items():
            known = entry(label)
            for parent in parents:
                _add(known["parents"], parent)
    return complete_classes(list(classes.values()), labels)


def complete_classes(
    classes: Sequence[dict[str, Any]], labels: Iterable[str]
) -> list[dict[str, Any]]:
    """The classes with those appended, sorted, whose `labels` occur in annotations alone."""
    index = class_index([each["label"] for each in classes], labels)
    added = [_new_class(number, label) for label, number in index.items() if number > len(classes)]
    return [*classes, *added]


def class_index(known: Sequence[str], labels: Iterable[str]) -> dict[str, int]:
    """MID to index, from 1: of the known labels in order, then of other `labels`, sorted."""
    others = sorted(set(labels).difference(known))
    return {label: index for index, label in enumerate([*known, *others], 1)}


def encode_labels(classes: Iterable[Mapping[str, Any]]) -> bytes:
    """The labels of classes in order, for `decode_labels`: a tenth of what `classes.json` is."""
    return "\n".join(each["label"] for each in classes).encode()


@functools.lru_cache(maxsize=1)
def decode_labels(encoded: bytes) -> pa.Array:
    """The labels, (n,) string; decoded once a process."""
    return pa.array(encoded.decode().split("\n") if encoded else [], pa.string())


def encode_classes(classes: Iterable[Mapping[str, Any]]) -> bytes:
    """The content of `classes.json`: a JSON array in UTF-8, one class a line."""
    text = json.dumps(list(classes), ensure_ascii=False)
    # Only between classes, as quotes in strings are escaped, and one at a time takes twice as long.
    lines = text[1:-1].replace('}, {"', '},\n{"')
    return f"[\n{lines}\n]\n".encode()


def complete_encoded(encoded: bytes, labels: Iterable[str]) -> bytes:
    """As `complete_classes`, of encoded classes: the very same bytes where nothing is added."""
    unknown = set(labels)
    if not unknown:
        return encoded
    return encode_classes(complete_classes(json.loads(encoded), unknown))


def _new_class(index: int, label: str) -> dict[str, Any]:
    return {"index": index, "label": label, "name": None, "parents": [], "lists": []}


def _by_name(files: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The files by name, then path, in whatever order they were given."""
    return sorted(files.items(), key=lambda item: (os.path.basename(item[0]), item[0]))


def _list_name(path: str) -> str:
    return os.path.splitext(os.path.basename(path).removesuffix(".gz"))[0]


def _add(values: list[str], value: str) -> None:
    if value not in values:
        values.append(value)
