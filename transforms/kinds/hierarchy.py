"""The hierarchy of classes: `bbox_labels_600_hierarchy.json`, nested JSON."""

import json
import re
from typing import Any

from transforms.dataset.classes import ClassEntry
from transforms.kinds.vocabulary import MID, Entries, VocabularyKind, shorten, unpack

_HIERARCHY = re.compile(rb'"(LabelName|name)"\s*:\s*"/[a-z]/|"(Subcategory|Part)"\s*:\s*\[')


def _matches_json(path: str, head: bytes) -> bool:
    return head[:1] == b"{" and _HIERARCHY.search(head) is not None


def _read(data: bytes, source: str) -> Entries:
    """Reads each class with its parents, in the order in which classes first occur.

    The root and classes that are only a `Part` have no parents; some classes have several.
    """
    parents = _find_parents(_load(data, source), source)
    return Entries([ClassEntry(label, parents=above) for label, above in parents.items()], [])


def _load(data: bytes, source: str) -> Any:
    try:
        text = unpack(data, source).decode("utf-8-sig")
        return json.loads(text, parse_int=float)  # which takes any number of digits
    except json.JSONDecodeError as error:
        raise ValueError(f"{source}, line {error.lineno}: not JSON: {error.msg}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{source}: not JSON: {error}") from None
    except RecursionError:
        raise ValueError(f"{source}: not JSON: nested too deeply") from None


def _find_parents(root: Any, source: str) -> dict[str, list[str]]:
    parents: dict[str, list[str]] = {}
    nodes: list[tuple[Any, str | None, str]] = [(root, None, "the root")]
    while nodes:
        node, parent, place = nodes.pop()
        label = node.get("LabelName", node.get("name")) if isinstance(node, dict) else None
        if not isinstance(label, str) or not MID.fullmatch(label):
            raise ValueError(f"{source}: {place} of the hierarchy has no LabelName (or name)")
        above = parents.setdefault(label, [])
        if parent is not None and parent not in above:
            above.append(parent)
        below: list[tuple[Any, str | None, str]] = []
        for key, parent in (("Subcategory", label), ("children", label), ("Part", None)):
            children = node.get(key, [])
            if not isinstance(children, list):
                raise ValueError(f"{source}: {key} of {shorten(label)} is not a list")
            place = f"a node in {key} of {shorten(label)}"
            below += [(child, parent, place) for child in children]
        nodes += reversed(below)
    return parents


HIERARCHY = VocabularyKind(name="hierarchy", matches_json=_matches_json, rank=2, read=_read)
