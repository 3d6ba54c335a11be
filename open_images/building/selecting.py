"""From flags to a selection: names become MIDs, texts conditions, lists keys."""

import csv
import difflib
import hashlib
import itertools
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from open_images.building.selection_flags import SelectionFlags
from transforms.dataset.elements import Source
from transforms.dataset.keys import read_image_ids
from transforms.errors import UsageError
from transforms.kinds.images import IMAGE_ROW
from transforms.kinds.registry import TABLES
from transforms.kinds.vocabulary import MID
from transforms.selection.conditions import GEOMETRY, OPERATORS, Condition, is_text
from transforms.selection.expand import Hierarchy
from transforms.selection.label_types import LABEL_TYPES
from transforms.selection.selection import Selection

_CONDITION = re.compile(
    r"\s*(?P<subject>\w+)\s*(?:\.\s*(?P<field>\w+))?\s*"
    r"(?P<operator>!=|<=|>=|=|<|>|!~|~|not\s+in\b|in\b)\s*(?P<value>.*?)\s*",
    re.DOTALL,
)
_SPLIT_ID = re.compile(r"^\s*(?:train|validation|val|test)/")


class Choice(NamedTuple):
    """What flags choose.

    Attributes:
        selection: of images and annotations.
        image_keys: of the images that are listed, sorted uint64 in bytes; None where none are.
    """

    selection: Selection
    image_keys: bytes | None


def choose(
    flags: SelectionFlags, classes: Sequence[Mapping[str, Any]], sources: Iterable[Source]
) -> Choice:
    """Returns what flags choose of some inputs.

    Args:
        flags: of a build.
        classes: as of `build_classes`.
        sources: the tables there are.

    Raises:
        UsageError: A class, field or file isn't there, or flags contradict each other.
    """
    names = ClassNames(classes)
    kinds = {TABLES[source.kind].column for source in sources if source.kind in TABLES}
    _check(flags, kinds)
    selection = Selection(
        label_types=None if flags.label_types is None else tuple(flags.label_types),
        classes=names.terms(flags.classes) if flags.classes else None,
        match=flags.match,
        match_in=None if flags.match_in is None else tuple(flags.match_in),
        only_matching=flags.only_matching,
        where=tuple(parse_condition("where", text, names) for text in flags.where),
        where_images=tuple(
            parse_condition("where_images", text, names) for text in flags.where_images
        ),
        has_image_ids=bool(flags.image_ids),
        sample_fraction=flags.sample_fraction,
        max_images=flags.max_images,
        max_per_class=flags.max_per_class,
        seed=flags.seed,
        hierarchy=_hierarchy(classes) if flags.expand_hierarchy else None,
    )
    return Choice(selection, read_keys(flags.image_ids).tobytes() if flags.image_ids else None)


def describe(choice: Choice) -> dict[str, object]:
    """Returns what was chosen as a manifest records it: by MIDs, and the images by a checksum."""
    selection = choice.selection
    content: dict[str, object] = {
        "label_types": selection.label_types,
        "classes": selection.classes,
        "match": selection.match,
        "match_in": selection.match_in,
        "only_matching": selection.only_matching,
        "where": [condition.text for condition in selection.where],
        "where_images": [condition.text for condition in selection.where_images],
        "sample_fraction": selection.sample_fraction,
        "max_images": selection.max_images,
        "max_per_class": selection.max_per_class,
        "seed": selection.seed,
        "expand_hierarchy": selection.hierarchy is not None,
    }
    if choice.image_keys is not None:
        content["image_ids"] = hashlib.sha256(choice.image_keys).hexdigest()
    return content


def _hierarchy(classes: Sequence[Mapping[str, Any]]) -> Hierarchy:
    """Returns the hierarchy of classes.

    Raises:
        UsageError: There is none.
    """
    found = Hierarchy.of_parents({each["label"]: each["parents"] for each in classes})
    if not found.above:
        raise UsageError(
            "--expand_hierarchy: no hierarchy is there: add bbox_labels_600_hierarchy.json by "
            "--annotations"
        )
    return found


def _check(flags: SelectionFlags, columns: Iterable[str]) -> None:
    """Raises UsageError where flags contradict each other, or name what isn't there."""
    if not flags.classes:
        for name in ("match_in", "only_matching"):
            if getattr(flags, name) and not (name == "match_in" and flags.max_per_class):
                raise UsageError(f"--{name} needs --classes: name some, or leave it out")
        if flags.match == "all":
            raise UsageError("--match all needs --classes: name some, or leave it out")
    asked = [*(flags.label_types or ()), *(flags.match_in or ())]
    for name in asked:
        if LABEL_TYPES[name].column not in columns:
            raise UsageError(
                f"--label_types or --match_in: no file of {name} is there: name one by "
                "--annotations, or leave it out"
            )


class ClassNames:
    """Finds classes by what people call them.

    Args:
        classes: as of `build_classes`.
    """

    def __init__(self, classes: Sequence[Mapping[str, Any]]) -> None:
        self._names: dict[str, list[str]] = defaultdict(list)
        self._shown: dict[str, str] = {}
        self._children: dict[str, list[str]] = defaultdict(list)
        self._lists: dict[str, list[str]] = defaultdict(list)
        self._mids = {each["label"] for each in classes}
        for each in classes:
            if each["name"]:
                self._names[_fold(each["name"])].append(each["label"])
                self._shown.setdefault(_fold(each["name"]), each["name"])
            for parent in each["parents"]:
                self._children[parent].append(each["label"])
            for name in each["lists"]:
                self._lists[name].append(each["label"])

    def terms(self, texts: Iterable[str]) -> tuple[tuple[str, ...], ...]:
        """Returns the terms of `--classes`, each the MIDs of which one is enough.

        Raises:
            UsageError: One isn't there, or nothing is left.
        """
        found: list[tuple[str, ...]] = []
        excluded: set[str] = set()
        for text in itertools.chain.from_iterable(map(_split_terms, texts)):
            if text.startswith("!"):
                excluded.update(*self._term(text[1:]))
            else:
                found += self._term(text)
        left = (tuple(mid for mid in term if mid not in excluded) for term in found)
        terms = tuple(dict.fromkeys(term for term in left if term))
        if not terms:
            raise UsageError("--classes: none is left: name some, and not only what to leave out")
        return terms

    def mids(self, text: str) -> tuple[str, ...]:
        """Returns the MIDs that a name or MID stands for, all of them where it has several.

        Raises:
            UsageError: There is no such class.
        """
        if MID.fullmatch(text):
            if text not in self._mids:
                raise UsageError(f"--classes: no class file has {text}: check it")
            return (text,)
        if found := self._names.get(_fold(text)):
            return tuple(found)
        if not self._names:
            raise UsageError(
                f"--classes {text}: no class has a name: add *-class-descriptions*.csv by "
                "--annotations, or name MIDs"
            )
        near = difflib.get_close_matches(_fold(text), self._names, n=3, cutoff=0)
        shown = ", ".join(self._shown[name] for name in near)
        raise UsageError(f"--classes: there is no class {text!r}; the nearest are {shown}")

    def _term(self, text: str) -> list[tuple[str, ...]]:
        if text.startswith("@"):
            return [term for line in _read_lines(text[1:]) for term in self._term(line)]
        if text.startswith("list:"):
            return [(mid,) for mid in self._list(text.removeprefix("list:"))]
        if text.endswith("+"):
            return [self._with_all_below(self.mids(text[:-1].strip()))]
        return [self.mids(text)]

    def _list(self, name: str) -> list[str]:
        found = [key for key in self._lists if name in re.split(r"\W|_", key)]
        if not found:
            there = ", ".join(sorted(self._lists)) or "none"
            raise UsageError(
                f"--classes list:{name}: no class list of that name is there ({there}): add the "
                "file by --annotations"
            )
        return list(dict.fromkeys(mid for key in found for mid in self._lists[key]))

    def _with_all_below(self, mids: Iterable[str]) -> tuple[str, ...]:
        found = dict.fromkeys(mids)
        pending = list(found)
        while pending:
            below = [mid for mid in self._children[pending.pop()] if mid not in found]
            found.update(dict.fromkeys(below))
            pending += below
        return tuple(found)


def _fold(name: str) -> str:
    """Returns a name without case, and with spaces for `_` and `-`."""
    return " ".join(re.split(r"[\s_-]+", name.casefold().strip()))


def _split_terms(text: str) -> Iterator[str]:
    """Yields comma-separated terms; one with commas is in quotes."""
    (fields,) = csv.reader([text], skipinitialspace=True)
    return (field.strip() for field in fields if field.strip())


def _read_lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read: {error}") from None
    return [line for line in lines if line]


def parse_condition(flag: str, text: str, names: ClassNames) -> Condition:
    """Returns the condition that a text holds.

    Args:
        flag: its name, for messages.
        text: such as `boxes.area >= 0.01`.
        names: of classes.

    Raises:
        UsageError: It is no condition, or there is no such field.
    """
    where = f"--{flag} {text!r}"
    found = _CONDITION.fullmatch(text)
    if not found or not found["value"]:
        raise UsageError(f"{where}: not SUBJECT.FIELD OPERATOR VALUE, as in 'boxes.area >= 0.01'")
    subject, field, value = found["subject"], found["field"] or "", found["value"]
    operator = " ".join(found["operator"].split())
    assert operator in OPERATORS
    subjects = ("images", *LABEL_TYPES)
    if subject not in subjects:
        raise UsageError(f"{where}: {subject!r} is none of {', '.join(subjects)}")
    if not field:
        return _triplet(where, text, subject, operator, value, names)
    row = IMAGE_ROW if subject == "images" else LABEL_TYPES[subject].kind.row
    types = {each.name: each.type for each in row if not pa.types.is_nested(each.type)}
    if {"xmin", "xmax", "ymin", "ymax"} <= types.keys():
        types |= {name: pa.float64() for name in GEOMETRY if name not in types}
    if field not in types:
        hint = ""
        if subject == "images" and field in ("width", "height"):
            hint = " (sizes aren't known before pictures are fetched)"
        raise UsageError(f"{where}: {subject} have no {field}{hint}, but {', '.join(types)}")
    texts = _values(value) if "in" in operator else [_unquoted(value)]
    if subject != "images" and field in LABEL_TYPES[subject].kind.labels:
        texts = [mid for each in texts for mid in names.mids(each)]
        operator = {"=": "in", "!=": "not in"}.get(operator, operator)
    if is_text(types[field]):
        if operator in ("<", "<=", ">", ">="):
            raise UsageError(f"{where}: {field} is text: compare it by =, !=, in, not in, ~ or !~")
        return Condition(subject, field, operator, tuple(texts), text)
    if operator in ("~", "!~"):
        raise UsageError(f"{where}: {field} is a number: compare it by =, !=, <, <=, >, >= or in")
    return Condition(subject, field, operator, tuple(_number(where, each) for each in texts), text)


def _triplet(
    where: str, text: str, subject: str, operator: str, value: str, names: ClassNames
) -> Condition:
    parts = _values(value)
    if subject != "relationships" or operator not in ("=", "!=") or len(parts) != 3:
        raise UsageError(
            f"{where}: name a field, as in 'boxes.area >= 0.01', or a triplet, as in "
            "'relationships = (Man, holds, *)'"
        )
    first, relation, second = parts
    return Condition(
        subject,
        "",
        operator,
        (
            () if first == "*" else names.mids(first),
            () if relation == "*" else (relation,),
            () if second == "*" else names.mids(second),
        ),
        text,
    )


def _values(text: str) -> list[str]:
    """Returns the values of a list in parentheses."""
    inner = text[1:-1] if text.startswith("(") and text.endswith(")") else text
    (fields,) = csv.reader([inner], skipinitialspace=True)
    return [field.strip() for field in fields]


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _number(where: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{where}: {text!r} is no number") from None


def read_keys(given: Iterable[str]) -> np.ndarray:
    """Returns the keys of listed images, sorted, each once.

    Args:
        given: ImageIDs, with their split before them or without, or files of them.

    Raises:
        UsageError: A file can't be read, or holds something else.
    """
    found = []
    for text in given:
        is_file = os.path.exists(text)
        ids = _ids_of_file(text) if is_file else [text]
        plain = [_SPLIT_ID.sub("", each) for each in ids]
        _, keys, valid = read_image_ids(pa.array(plain, pa.string()))
        if not valid.all():
            wrong = ids[int(np.argmin(valid))]
            place = f"{text}: " if is_file else ""
            raise UsageError(
                f"--image_ids: {place}{wrong[:80]!r} is neither a file nor an ImageID of 16 hex "
                "digits"
            )
        found.append(keys)
    return np.unique(np.concatenate(found))


def _ids_of_file(path: str) -> list[str]:
    lines = _read_lines(path)
    if lines and lines[0].startswith("["):
        try:
            return [str(each) for each in json.loads("\n".join(lines))]
        except json.JSONDecodeError as error:
            raise UsageError(f"--image_ids: {path} is no JSON list: {error}") from None
    if (lines and "," in lines[0]) or lines[:1] == ["ImageID"]:
        header, *rows = csv.reader(lines)
        if "ImageID" not in header:
            raise UsageError(f"--image_ids: {path} has no column ImageID")
        at = header.index("ImageID")
        return [row[at] for row in rows if len(row) > at]
    return lines
