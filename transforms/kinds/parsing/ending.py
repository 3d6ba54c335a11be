"""Finds whether a table ends inside a record, as after a broken download.

Whole files may lack the last line break: many published ones do. So the last record counts as cut
only if it has fewer fields than others, or if its last value is unlikely beside the values of the
same column before it. In doubt it is whole.
"""

import csv
import re
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from transforms.dataset.failures import Failure, Reason, Stage
from transforms.dataset.keys import read_image_ids
from transforms.kinds.parsing.records import Layout, find_quoted_lines
from transforms.kinds.parsing.table import STRING, TableSchema

#: How many bytes at the end of a file its last record is compared with.
TAIL_BYTES = 1 << 16
WARNING = "ends inside a record, as a broken download does: download it again"

_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", re.ASCII)
_PART_OF_NUMBER = re.compile(r"[-+]?\.?|[-+]?[0-9]*\.?[0-9]*[eE][-+]?", re.ASCII)
_EXTENSION = re.compile(r"\.\w{3,4}$")
#: If all numbers have the same count of decimals, and it is at least this, it isn't by chance.
_LONG = 5
#: A number is cut if it has this many decimals fewer than all others.
_MUCH_SHORTER = 4
#: A whole number is cut among at least this many fractions of one form.
_SOME = 10
#: A number is cut if it has fewer decimals than at least this many others.
_MANY = 100


class CutRecord(NamedTuple):
    """A last record that is cut: its size in bytes, and its failure, which has no line yet."""

    size: int
    failure: Failure


def find_cut(
    tail: bytes, names: Sequence[str], schema: TableSchema, layout: Layout
) -> CutRecord | None:
    """Returns the last record of a table if it is cut, else None.

    Args:
        tail: the last lines of a file.
        names: the file's columns by the schema's names, in the file's order.
        schema: what the columns mean.
        layout: what the file's records look like.
    """
    lines = tail.split(b"\n")
    if not lines[-1].strip() or lines[-1].endswith(b"\r"):
        return None
    quoted = find_quoted_lines(tail, layout)
    start = len(lines) - 1
    while start in quoted.continued:
        start -= 1
    record = b"\n".join(lines[start:])
    fields = _fields(record, layout.delimiter)
    spoiled = {*quoted.unclosed, *quoted.continued}
    others = [line for i, line in enumerate(lines[:start]) if i not in spoiled]
    others = [_fields(line, layout.delimiter) for line in others]
    whole = [each for each in others if len(each) == len(names)]
    if len(fields) < len(names) or start in quoted.unclosed:
        is_cut = bool(whole) or not any(others)
    else:
        last = [each[-1] for each in whole]
        is_cut = len(fields) == len(names) and _is_cut(fields[-1], last, names[-1], schema)
    if not is_cut:
        return None
    image_id = _image_id(fields, layout.id_place)
    detail = "the file ends inside this record"
    return CutRecord(len(record), Failure(image_id, None, Stage.READ, Reason.BAD_ROW, detail))


def _fields(record: bytes, delimiter: str) -> list[str]:
    """Returns the fields of a record, without spaces around them; an empty list if it isn't CSV."""
    try:
        (row,) = csv.reader([record.decode("latin-1")], delimiter=delimiter)
    except (csv.Error, ValueError):
        return []
    return [field.strip() for field in row]


def _image_id(fields: list[str], place: int) -> str | None:
    """Returns the ImageID of a record; None if it is invalid or last, and so may be cut."""
    if place >= len(fields) - 1:
        return None
    ids, _, valid = read_image_ids(pa.array(fields[place : place + 1], pa.string()))
    return ids[0].as_py() if valid[0] else None


def _is_cut(value: str, others: list[str], name: str, schema: TableSchema) -> bool:
    """Returns whether a value of the last column is cut, by the column's other values."""
    known = [other for other in others if other]
    if not value:
        dtype = schema.types.get(name, STRING)
        is_expected = name in schema.required or not pa.types.is_string(dtype)
        return is_expected and len(known) == len(others) > 2
    if known and all(map(_NUMBER.fullmatch, known)):
        return _is_cut_number(value, known)
    if name == schema.image_id and known:
        return len(value) < min(map(len, known))
    return _is_cut_text(value, known, name in schema.free_texts)


def _is_cut_number(value: str, others: list[str]) -> bool:
    """Returns whether a value is half a number, or has too few decimals beside the others."""
    if not _NUMBER.fullmatch(value):
        return bool(_PART_OF_NUMBER.fullmatch(value))
    fractions = [other for other in others if "." in other and "e" not in other.lower()]
    decimals = [other.partition(".")[2] for other in fractions]
    if len(decimals) < 2 or "e" in value.lower():
        return False
    lengths = {len(each) for each in decimals}
    shortest = min(lengths)
    # `%.2f` writes zeros at the end, so all numbers have the same count of decimals.
    is_fixed = len(lengths) == 1 and any(each.endswith("0") for each in decimals)
    is_long = len(lengths) == 1 and shortest >= _LONG and len(decimals) > 2
    are_many = len(decimals) >= _MANY
    if "." not in value:
        # 0 and 1 are often written without decimals among fractions, but not where 1.0 occurs.
        wholes = any(not each.strip("0") for each in decimals)
        is_form = wholes or is_long
        is_sure = (are_many and wholes) or (
            shortest > 1 and (are_many or is_fixed or (is_form and len(decimals) >= _SOME))
        )
        return is_sure and len(decimals) == len(others)
    length = len(value.partition(".")[2])
    is_sure = are_many or is_fixed or is_long or length == 0
    return length < shortest and (is_sure or shortest - length >= _MUCH_SHORTER)


def _is_cut_text(value: str, others: list[str], is_free: bool) -> bool:
    """Whether a text is the beginning of another one, lacks an extension that all others have, or
    ends inside an item of a list."""
    if value in others or len(others) < 3:
        return False
    if not is_free:
        words = {len(item.split()) for other in others for item in _items(other)}
        if len(words) == 1 and len(_items(value)[-1].split()) < max(words):
            return True
        # One class's MID may be the beginning of another's.
        if len(set(others)) <= len(others) // 2 and not value.startswith("/"):
            return any(other.startswith(value) for other in others)
    extensions = {match[0] if (match := _EXTENSION.search(other)) else "" for other in others}
    return len(extensions) == 1 and "" not in extensions and not value.endswith(extensions.pop())


def _items(text: str) -> list[str]:
    """Returns the items of a list such as `X Y T;X Y T`."""
    return text.removesuffix(";").split(";")
