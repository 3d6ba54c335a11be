"""The files that say what labels mean: names, lists and the hierarchy of classes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from transforms.dataset.classes import ClassTable
from transforms.kinds import published
from transforms.kinds.csv_text import csv_bytes

#: How far a hierarchy in which classes have several parents is written out.
_MOST_NODES = 20_000
_MOST_LEVELS = 50

_Class = Mapping[str, Any]


def make_class_files(classes: ClassTable) -> dict[str, Any]:
    """Returns the files by name: text, or a value to be written as JSON.

    Args:
        classes: of the dataset, in index order.
    """
    named = [each for each in classes.records if not _is_entity(each)]
    names = [(each["label"], each["name"] or each["label"]) for each in named]
    some = {each["label"] for each in boxable(classes)}
    files: dict[str, Any] = {published.CLASS_NAMES: _csv([published.CLASS_NAMES_HEADER, *names])}
    if some:  # an empty file is none of class names
        files[published.BOXABLE_NAMES] = _csv([row for row in names if row[0] in some])
    lists = sorted({name for each in classes.records for name in each["lists"]})
    for name in lists:
        labels = (each["label"] for each in classes.records if name in each["lists"])
        files[f"{name}.txt"] = "".join(f"{label}\n" for label in labels)
    points = [_point_class(each) for each in classes.records if "points" in each]
    if points:
        files[published.POINT_CLASSES] = _csv([published.POINT_CLASSES_HEADER, *points])
    if any(each["parents"] for each in classes.records):
        files[published.HIERARCHY] = _hierarchy(classes)
    return files


def boxable(classes: ClassTable) -> Sequence[_Class]:
    """Returns the classes that boxes may have: those in the hierarchy, its root apart, or in lists
    of such classes; all classes where nothing tells."""
    found = [
        each
        for each in classes.records
        if each["parents"] or any("bbox" in name or "boxable" in name for name in each["lists"])
    ]
    return found or [each for each in classes.records if not _is_entity(each)]


def _is_entity(each: _Class) -> bool:
    """Returns whether a class is the root of the hierarchy, which published names lack."""
    return each["label"] == published.ENTITY and each["name"] is None


def _csv(rows: Sequence[Sequence[str]]) -> str:
    return csv_bytes(rows).decode()


def _point_class(each: _Class) -> list[str]:
    points = each["points"]
    counts = str(points["yes_points"]), str(points["points"])
    return [each["label"], each["name"] or "", *counts, *points["text_mentions"]]


def _hierarchy(classes: ClassTable) -> dict[str, Any]:
    """Returns the tree of classes; one that has several parents is below each of them."""
    children: dict[str, list[str]] = defaultdict(list)
    for each in classes.records:
        for parent in each["parents"]:
            children[parent].append(each["label"])
    parents = {each["label"]: each["parents"] for each in classes.records}
    roots = [label for label in children if not parents.get(label)]
    nodes = 0

    def grow(label: str, above: tuple[str, ...]) -> dict[str, Any]:
        nonlocal nodes
        nodes += 1
        node: dict[str, Any] = {"LabelName": label}
        # No class is below itself, and no file of parents makes one without end.
        if nodes < _MOST_NODES and len(above) < _MOST_LEVELS:
            below = [child for child in children[label] if child not in (*above, label)]
            if below:
                node["Subcategory"] = [grow(child, (*above, label)) for child in below]
        return node

    if len(roots) == 1:
        return grow(roots[0], ())
    return {"LabelName": published.ENTITY, "Subcategory": [grow(root, ()) for root in roots]}
