"""Label maps: files that number classes, as training programs take them."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from open_images.building.class_names import ClassNames
from open_images.building.named_files import numbered_lines, read_text, split_fields
from transforms.errors import UsageError
from transforms.kinds.parsing.table import fold
from transforms.kinds.vocabulary import MID
from transforms.storage.stores import ObjectOptions

_FLAG = "--label_map"
#: Names of columns and members that hold a class, and that hold its number.
_CLASS_KEYS = ("labelname", "label", "mid", "id", "name", "displayname", "class")
_NUMBER_KEYS = ("index", "number", "id")
_TEXT = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'"
#: An item of a label map of TensorFlow's Object Detection API, and a field in it.
_ITEM = re.compile(rf"\bitem\s*:?\s*{{(?P<fields>(?:{_TEXT}|[^}}\"'])*)}}", re.DOTALL)
_FIELD = re.compile(rf"(?P<name>\w+)\s*:\s*(?P<value>{_TEXT}|[^\s,;]+)", re.DOTALL)
_BACKGROUND = "background"
#: Python parses no numbers of more than 4300.
_MOST_DIGITS = 1000


class _Entry(NamedTuple):
    """A class of a label map.

    Attributes:
        place: the line or entry of the file, for messages.
        texts: the texts of the entry, one of which is an MID or name.
        number: of the class; None where the order of the file counts.
    """

    place: str
    texts: Sequence[str]
    number: int | None = None


def read_label_map(
    given: str | Sequence[str], names: ClassNames, options: ObjectOptions
) -> tuple[str, ...]:
    """Returns the MIDs of a label map in the order of their numbers, from 1.

    Args:
        given: a path, or the classes themselves by MID or name.
        names: of classes.
        options: how object stores are reached.

    Raises:
        UsageError: A class isn't there or is there twice, or numbers leave gaps.
    """
    if isinstance(given, str):
        entries = _sort_by_number(list(_read_entries(given, names, options)))
        place = f"{_FLAG} {given}"
    else:
        entries = [_Entry(f"{_FLAG}, class {i}", [text]) for i, text in enumerate(given, 1)]
        place = _FLAG
    if not entries:
        raise UsageError(f"{place} has no class: write an MID or a name into each line")
    found: dict[str, str] = {}
    for entry in entries:
        mid = _find_class(entry, names)
        if mid in found:
            raise UsageError(
                f"{entry.place}: {names.name(mid)} ({mid}) is there before ({found[mid]}): drop "
                "one of them"
            )
        found[mid] = entry.place.removeprefix(f"{place}, ")
    return tuple(found)


def _find_class(entry: _Entry, names: ClassNames) -> str:
    """Returns the MID of an entry: the first of its texts that is one, or else a known name."""
    texts = sorted(entry.texts, key=lambda text: (not MID.fullmatch(text), not names.is_name(text)))
    if not texts or not texts[0]:
        raise UsageError(f"{entry.place}: names no class: write an MID or a name there")
    mids = names.mids(entry.place, texts[0])
    if len(mids) > 1:
        raise UsageError(
            f"{entry.place}: {texts[0]!r} is {len(mids):,} classes ({', '.join(mids)}): name one "
            "by its MID"
        )
    return mids[0]


def _sort_by_number(entries: Sequence[_Entry]) -> Sequence[_Entry]:
    """Returns entries by their numbers, if they have any.

    Raises:
        UsageError: Some have none, or they aren't 1, 2, 3 and so on.
    """
    numbered = [entry for entry in entries if entry.number is not None]
    if not numbered:
        return entries
    if len(numbered) < len(entries):
        lacking = next(entry for entry in entries if entry.number is None)
        raise UsageError(f"{lacking.place}: has no number, as others have: number it")
    numbered.sort(key=lambda entry: entry.number or 0)
    for number, entry in enumerate(numbered, 1):
        if entry.number != number:
            raise UsageError(
                f"{entry.place}: its number is {entry.number}, and {number} is due: number classes "
                "from 1 (0 is none) without gaps or repeats"
            )
    return numbered


def _read_entries(path: str, names: ClassNames, options: ObjectOptions) -> Iterator[_Entry]:
    """Yields the classes of a file: lines, CSV, JSON, or a label map of TensorFlow."""
    text = read_text(_FLAG, path, options)
    place = f"{_FLAG} {path}"
    if text.lstrip().startswith(("[", "{")):
        yield from _read_json(place, text)
    elif re.match(r"(\s*#[^\n]*\n)*\s*item\s*:?\s*{", text):
        yield from _read_items(place, text)
    else:
        yield from _read_rows(place, numbered_lines(text), names)


def _read_json(place: str, text: str) -> Iterator[_Entry]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:  # or a number is too long
        raise UsageError(f"{place} is no JSON: {error}: mend it") from None
    if isinstance(document, dict):
        for key, value in document.items():
            its_place = f"{place}, {key!r}"
            if type(value) is int:
                yield _Entry(its_place, [key], value)
            elif isinstance(value, str) and key.isdecimal():
                yield _Entry(its_place, [value], _number(its_place, key))
            else:
                raise UsageError(
                    f'{its_place}: write {{"NAME": NUMBER, …}}, or a list of names or MIDs'
                )
        return
    for number, each in enumerate(document, 1):
        its_place = f"{place}, entry {number}"
        if isinstance(each, str):
            yield _Entry(its_place, [each.strip()])
        elif isinstance(each, dict):
            if each.get("index", 0) is not None:  # else it has no number in a `classes.json`
                yield _read_member(its_place, each)
        else:
            raise UsageError(f"{its_place}: write a name or MID, or an object with one")


def _read_member(place: str, members: dict[str, Any]) -> _Entry:
    fields = {fold(key): value for key, value in members.items()}
    texts = [fields[key].strip() for key in _CLASS_KEYS if isinstance(fields.get(key), str)]
    numbers = [fields[key] for key in _NUMBER_KEYS if type(fields.get(key)) is int]
    return _Entry(place, texts, numbers[0] if numbers else None)


def _read_items(place: str, text: str) -> Iterator[_Entry]:
    """Yields the items of a label map of TensorFlow."""
    # Comments become blank, so that lines keep their numbers.
    text = re.sub(rf"({_TEXT})|#[^\n]*", lambda match: match[1] or "", text)
    rest = 0
    for found in _ITEM.finditer(text):
        _refuse_rest(place, text, rest, found.start())
        rest = found.end()
        fields = {
            match["name"]: _unquoted(match["value"]) for match in _FIELD.finditer(found["fields"])
        }
        its_place = f"{place}, line {_line_at(text, found.start())}"
        texts = [fields[key] for key in ("name", "display_name") if key in fields]
        number = fields.get("id", "")
        if not number.isdecimal():
            raise UsageError(f"{its_place}: the item has no id: give it a number from 1")
        number = _number(its_place, number)
        if number or _BACKGROUND not in texts:
            yield _Entry(its_place, texts, number)
    _refuse_rest(place, text, rest, len(text))


def _refuse_rest(place: str, text: str, start: int, end: int) -> None:
    """Raises UsageError where something lies between the items of a label map."""
    if found := text[start:end].strip(" \t\r\n,;"):
        line = _line_at(text, start + text[start:end].index(found))
        raise UsageError(
            f"{place}, line {line}: {found.splitlines()[0][:40]!r} is no whole item: write "
            "item { name: '/m/…' id: 1 }"
        )


def _line_at(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text[0] in "\"'" else text


def _read_rows(place: str, lines: Sequence[tuple[int, str]], names: ClassNames) -> Iterator[_Entry]:
    """Yields the classes of lines, or of a CSV in which a column may number them."""
    rows: list[tuple[str, list[str]]] = []
    for number, line in lines:
        its_place = f"{place}, line {number}"
        # A name may have commas.
        is_name = MID.fullmatch(line) or names.is_name(line)
        fields = [line] if is_name else split_fields(its_place, line)
        if rows or is_name or not _is_header(fields):
            rows.append((its_place, fields))
    width = min((len(fields) for _, fields in rows), default=0)
    columns = (i for i in range(width) if all(fields[i].isdecimal() for _, fields in rows))
    number_at = next(columns, None) if width > 1 else None
    for its_place, fields in rows:
        texts = [field for i, field in enumerate(fields) if field and i != number_at]
        number = None if number_at is None else _number(its_place, fields[number_at])
        yield _Entry(its_place, texts, number)


def _number(place: str, digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise UsageError(f"{place}: its number has {len(digits):,} digits: number classes from 1")
    return int(digits)


def _is_header(fields: Iterable[str]) -> bool:
    return {fold(field) for field in fields} <= {*_CLASS_KEYS, *_NUMBER_KEYS}
