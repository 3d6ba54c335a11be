"""Finds classes by what people call them: names, MIDs, lists, and what is below a class."""

import difflib
import itertools
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from open_images.building.named_files import quote_field, read_lines, split_fields
from transforms.dataset.classes import ClassFile
from transforms.errors import UsageError
from transforms.kinds.hierarchy import HIERARCHY
from transforms.kinds.vocabulary import MID
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

#: Words of a file's name that many class files share.
_COMMON_WORD = re.compile(
    r"class(es)?|descriptions?|challenge|open|images?|openimages|oid|o?i?d?v\d"
)
#: How many names are shown in place of one that isn't there, and how many are compared with it.
_NEAREST, _CANDIDATES = 3, 60
#: The least letters of a text that may be a part of the name it means.
_PART = 4


class ClassNames:
    """Finds classes in class files.

    Methods take a `place` for messages, which begin with it: a flag, or a line of a file.

    Args:
        classes: as of `build_classes`.
        class_files: which can be named as lists.
        options: how object stores are reached, for files that texts name.
    """

    def __init__(
        self,
        classes: Sequence[Mapping[str, Any]],
        class_files: Sequence[ClassFile] = (),
        options: ObjectOptions = files.DEFAULTS,
    ) -> None:
        self._options = options
        self._mids: dict[str, list[str]] = defaultdict(list)
        self._children: dict[str, list[str]] = defaultdict(list)
        self._related: set[str] = set()
        self._names: dict[str, str | None] = {}
        for each in classes:
            self._names[each["label"]] = each["name"]
            if each["name"]:
                self._mids[_fold(each["name"])].append(each["label"])
            for parent in each["parents"]:
                self._children[parent].append(each["label"])
                self._related.update((parent, each["label"]))
        self._lists: dict[str, dict[str, None]] = defaultdict(dict)
        for file in sorted(class_files, key=lambda file: file.path):
            if file.rank != HIERARCHY.rank:
                labels = self._lists[_stem(file.path)]
                labels.update(dict.fromkeys(entry.label for entry in file.entries))

    def name(self, mid: str) -> str:
        """Returns the display name of a class; its MID where it has none."""
        return self._names.get(mid) or mid

    def terms(self, texts: Iterable[str]) -> tuple[tuple[str, ...], ...]:
        """Returns the terms of `--classes`, each the MIDs of which one is enough.

        Raises:
            UsageError: One isn't there, or nothing is left.
        """
        place = "--classes"
        found: list[tuple[str, ...]] = []
        excluded: set[str] = set()
        # A text that is a name as a whole has no list in it, whatever its commas.
        fields = ([text] if self.is_name(text) else split_fields(place, text) for text in texts)
        for field in filter(None, itertools.chain.from_iterable(fields)):
            for where, text in self._expand(place, field):
                if text.startswith("!"):
                    excluded.update(*self._terms_of(where, text[1:].strip()))
                else:
                    found += self._terms_of(where, text)
        left = (tuple(mid for mid in term if mid not in excluded) for term in found)
        terms = tuple(dict.fromkeys(term for term in left if term))
        if not terms:
            raise UsageError(
                f"{place}: no class is left: name some, and not only what to leave out"
            )
        return terms

    def mids(self, place: str, text: str) -> tuple[str, ...]:
        """Returns the MIDs that a text stands for.

        Args:
            place: for messages.
            text: names or MIDs with `|` between them, each of them with `+` for all classes below.

        Raises:
            UsageError: There is no such class.
        """
        found: dict[str, None] = {}
        for each in text.split("|"):
            name = each.strip()
            if name.endswith("+"):
                found |= self._with_all_below(self._find(place, name[:-1].strip()))
            else:
                found |= dict.fromkeys(self._find(place, name))
        return tuple(found)

    def is_name(self, text: str) -> bool:
        """Whether some class is called so."""
        return _fold(text) in self._mids

    def list_named(self, place: str, name: str) -> tuple[str, ...]:
        """Returns the classes of the file that a name such as `boxable` means, in its order.

        That is the file whose name has all these words, and the fewest others.

        Raises:
            UsageError: There is none.
        """
        words = set(_words(name))
        others = {
            stem: sum(not _COMMON_WORD.fullmatch(word) for word in set(_words(stem)) - words)
            for stem in self._lists
            if words and words <= set(_words(stem))
        }
        if not others:
            there = ", ".join(sorted(map(_short_name, self._lists))) or "none"
            raise UsageError(
                f"{place}: no class file is called so (there are: {there}): name one of these, or "
                "add the file by --annotations"
            )
        fewest = [stem for stem, count in others.items() if count == min(others.values())]
        found = dict.fromkeys(mid for stem in sorted(fewest) for mid in self._lists[stem])
        if not found:
            raise UsageError(f"{place}: the file {fewest[0]} has no class: download it again")
        return tuple(found)

    def _expand(self, place: str, text: str) -> Iterator[tuple[str, str]]:
        """Yields a text, or in place of `@FILE` the lines of the file; each with its place."""
        sign, path = ("!", text[1:].strip()) if text.startswith("!") else ("", text)
        if not path.startswith("@"):
            yield place, text
            return
        path = path[1:]
        lines = read_lines(place, path, self._options)
        if not lines:
            raise UsageError(f"{place}: {path} is empty: write a class into each line")
        for number, line in lines:
            where = f"{place}: {path}, line {number}"
            if line.startswith("@"):
                raise UsageError(f"{where}: a file can't name another: name {line} by --classes")
            fields = split_fields(where, line)
            yield where, sign + (fields[0] if len(fields) == 1 else line)

    def _terms_of(self, place: str, text: str) -> list[tuple[str, ...]]:
        if text.startswith("list:"):
            name = text.removeprefix("list:").strip()
            return [(mid,) for mid in self.list_named(f"{place} {text}", name)]
        return [self.mids(place, text)]

    def _find(self, place: str, name: str) -> tuple[str, ...]:
        """Returns the classes of one name, or the one of a MID.

        Where there is no class file at all, any MID is one.
        """
        if MID.fullmatch(name):
            if self._names and name not in self._names:
                raise UsageError(
                    f"{place}: no class file has {name}: check it, or add the file that does by "
                    "--annotations"
                )
            return (name,)
        if found := self._mids.get(_fold(name)):
            return tuple(found)
        if not self._mids:
            raise UsageError(
                f"{place}: {name!r}: no class has a name: add *-class-descriptions*.csv by "
                "--annotations, or name MIDs"
            )
        shown = ", ".join(self._nearest(name))
        raise UsageError(f"{place}: there is no class {name!r}: the nearest are {shown}")

    def _nearest(self, text: str) -> list[str]:
        """Returns the names that a text most likely means."""
        text = _fold(text)
        alike = difflib.get_close_matches(text, self._mids, n=_CANDIDATES, cutoff=0)

        def distance(name: str) -> tuple[bool, int, int, str]:
            # Of two that are as near, one of the hierarchy is meant more often.
            is_rare = self._mids[name][0] not in self._related
            edits = _count_edits(text, name)
            if len(text) >= _PART and text in name.replace(",", ""):
                return False, is_rare, edits, name
            return True, edits, is_rare, name

        nearest = sorted(alike, key=distance)[:_NEAREST]
        return [quote_field(self.name(self._mids[each][0])) for each in nearest]

    def _with_all_below(self, mids: Iterable[str]) -> dict[str, None]:
        found = dict.fromkeys(mids)
        pending = list(found)
        while pending:
            below = [mid for mid in self._children.get(pending.pop(), ()) if mid not in found]
            found.update(dict.fromkeys(below))
            pending += below
        return found


def _fold(name: str) -> str:
    """Returns a name without case, with spaces for `_` and `-`, and with whole accented letters."""
    folded = unicodedata.normalize("NFC", name.casefold())
    return " ".join(re.split(r"[\s_-]+", folded.strip()))


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path).removesuffix(".gz"))[0]


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\W_]+", name.lower()) if word]


def _short_name(stem: str) -> str:
    """Returns the words of a file's name that others don't share, or else all of it."""
    words = [word for word in _words(stem) if not _COMMON_WORD.fullmatch(word)]
    return "-".join(words) or stem


def _count_edits(one: str, other: str) -> int:
    """Returns how many letters have to be put in, left out, replaced, or swapped with the next."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        above = row
        row = [i]
        for j, other_letter in enumerate(other, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (letter != other_letter)))
            if i > 1 and j > 1 and (letter, one[i - 2]) == (other[j - 2], other_letter):
                row[j] = min(row[j], before[j - 2] + 1)
        before = above
    return row[-1]
