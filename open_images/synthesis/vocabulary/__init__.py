"""The published class names: MIDs and what people call them."""

import csv
import functools
from collections.abc import Sequence
from importlib import resources

ATTRIBUTES = ("Wood", "Smile", "Standing")
RELATIONSHIPS = ("at", "holds", "wears", "under", "on", "is")


def read_text(name: str) -> str:
    """Returns the text of a vocabulary file as published, line ends included."""
    return resources.files(__name__).joinpath(name).read_bytes().decode("utf-8")


def _pairs(name: str) -> list[tuple[str, str]]:
    return [(mid, title) for mid, title in csv.reader(read_text(name).splitlines())]


@functools.cache
def all_classes() -> list[tuple[str, str]]:
    """Returns (MID, display name) of every class, in published order."""
    return _pairs("oidv6-class-descriptions.csv")[1:]


@functools.cache
def boxable_classes() -> list[tuple[str, str]]:
    """Returns (MID, display name) of the 601 classes that have boxes, in published order."""
    return _pairs("class-descriptions-boxable.csv")


@functools.cache
def _mids() -> dict[str, str]:
    # A few names belong to several MIDs: the boxable one wins, being written last. The attribute
    # Transparent is in no class file.
    attributes = _pairs("oidv6-attributes-description.csv")[1:]
    return {name: mid for mid, name in [*attributes, *all_classes(), *boxable_classes()]}


def mid_of(name: str) -> str:
    """Returns the MID of a display name; for ambiguous names the boxable class."""
    return _mids()[name]


def by_popularity(classes: list[tuple[str, str]], first: Sequence[str] = ()) -> list[str]:
    """Returns MIDs in an order of popularity: `first`, then the rest as published.

    Published order is by MID, which is as good as random.
    """
    head = list(dict.fromkeys(first))
    seen = set(head)
    return head + [mid for mid, _ in classes if mid not in seen]
