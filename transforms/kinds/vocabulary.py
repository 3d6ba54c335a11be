"""Reads the vocabulary: class names, class lists, the hierarchy of classes, and point classes.

The files are those of https://storage.googleapis.com/openimages/web/download_v7.html and of the V3
release of 2017_11. They have at most some 20,000 rows, are UTF-8, and come plain or gzipped. No
field of theirs holds a line break, so each line is parsed alone: a stray quote spoils its own row
and no other.

A reader returns what is good beside the failures of the rows that aren't.
"""

import csv
import gzip
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from transforms.dataset.failures import Failure, Reason, Stage
from transforms.kinds.tables import fold
from transforms.storage.archives import GZIP_MAGIC

_MID = re.compile(r"/[a-z]/[0-9a-z_]+")
#: Characters of a line that may need no parser: that takes longer.
_PLAIN_LENGTH = 1000
#: What a file of the vocabulary may hold at most, without compression: published ones have some
#: 20,000 rows, and a megabyte or two.
MAX_BYTES = 32 << 20
_MAX_BAD_ROWS = 100_000
#: Characters of a text that messages quote.
_QUOTED = 60
_LABEL_HEADERS = ("labelname", "id")
_POINT_HEADER = ["labelname", "displayname", "yespoints", "points"]


class PointClass(NamedTuple):
    """What a point-classes file says of a class; `text_mentions` are other names for it."""

    name: str
    yes_points: int
    points: int
    text_mentions: list[str]


class _BadRowError(ValueError):
    """A row that can't be read, and why."""


def read_class_names(data: bytes, source: str) -> tuple[dict[str, str], list[Failure]]:
    """Class names: CSV of MID and display name, whose header may be missing.

    Other columns, such as the Challenge's third, are ignored. The header, or else most rows, tell
    how many columns there are.

    Args:
        data: the file, plain or gzipped.
        source: its path, for failures.

    Returns:
        MID to display name in file order, and failures: `bad_row`, and `conflict` where a MID has
        another name further up.

    Raises:
        ValueError: the file can't be unpacked, or is none of classes at all.
    """
    names: dict[str, str] = {}
    failures: list[Failure] = []
    rows = list(_rows(data, source, failures))
    label_at, name_at = 0, 1
    if header := names_header(rows[0][1]) if rows and rows[0][0] == 1 else None:
        label_at, name_at, width = header
        rows = rows[1:]
    else:
        ((width, _),) = Counter(len(row) for _, row in rows).most_common(1) or [(2, 0)]
        width = max(2, width)
    for line, row in rows:
        try:
            if len(row) != width:
                raise _BadRowError(f"{len(row)} fields in place of {width}")
            label, name = _mid(row[label_at]), row[name_at]
            if names.setdefault(label, name) != name:
                other = _short(names[label])
                detail = f"{_cut(label)} is {_short(name)} here and {other} further up"
                failures.append(_failure(Reason.CONFLICT, detail, source, line))
        except _BadRowError as error:
            failures.append(_failure(Reason.BAD_ROW, str(error), source, line))
    return names, failures


def read_class_list(data: bytes, source: str) -> tuple[list[str], list[Failure]]:
    """A class list: one MID a line; arguments and errors as in `read_class_names`.

    Returns:
        MIDs in file order, each once, and failures.
    """
    labels: dict[str, None] = {}
    failures: list[Failure] = []
    for line, text in _lines(data, source, failures):
        try:
            if not (line == 1 and fold(text) in _LABEL_HEADERS):
                labels[_mid(text)] = None
        except _BadRowError as error:
            failures.append(_failure(Reason.BAD_ROW, str(error), source, line))
    return list(labels), failures


def read_point_classes(data: bytes, source: str) -> tuple[dict[str, PointClass], list[Failure]]:
    """Point classes: a ragged CSV, with one more text mention in each field from the fifth on.

    Arguments and errors as in `read_class_names`.

    Returns:
        MID to its point class in file order, and failures.
    """
    classes: dict[str, PointClass] = {}
    failures: list[Failure] = []
    for line, row in _rows(data, source, failures):
        try:
            if line == 1 and [fold(field) for field in row[:4]] == _POINT_HEADER:
                continue
            if len(row) < 4:
                raise _BadRowError(f"{len(row)} fields in place of 4 or more")
            label = _mid(row[0])
            mentions = [mention for mention in row[4:] if mention]
            found = PointClass(row[1], _count(row[2]), _count(row[3]), mentions)
            if classes.setdefault(label, found) != found:
                detail = f"{_cut(label)} has another row further up"
                failures.append(_failure(Reason.CONFLICT, detail, source, line))
        except _BadRowError as error:
            failures.append(_failure(Reason.BAD_ROW, str(error), source, line))
    return classes, failures


def read_hierarchy(data: bytes, source: str) -> dict[str, list[str]]:
    """The hierarchy: nested `LabelName`, `Subcategory[]`, `Part[]`, or V3's `name`, `children[]`.

    Args:
        data: the file, plain or gzipped.
        source: its path, for errors.

    Returns:
        Each MID, the root's too, in the order of its first place, to its parents: none for the root
        and for what is only a part, several for some.

    Raises:
        ValueError: it is not such a file. It says at which line or below which class.
    """
    try:
        text = _unpack(data, source).decode("utf-8-sig")
        root = json.loads(text, parse_int=float)  # which takes any number of digits
    except json.JSONDecodeError as error:
        raise ValueError(f"{source}, line {error.lineno}: not JSON: {error.msg}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{source}: not JSON: {error}") from None
    except RecursionError:
        raise ValueError(f"{source}: not JSON: nested too deeply") from None
    parents: dict[str, list[str]] = {}
    nodes: list[tuple[Any, str | None, str]] = [(root, None, "the root")]
    while nodes:
        node, parent, place = nodes.pop()
        label = node.get("LabelName", node.get("name")) if isinstance(node, dict) else None
        if not isinstance(label, str) or not _MID.fullmatch(label):
            raise ValueError(f"{source}: {place} of the hierarchy has no LabelName (or name)")
        known = parents.setdefault(label, [])
        if parent is not None and parent not in known:
            known.append(parent)
        below: list[tuple[Any, str | None, str]] = []
        for key, above in (("Subcategory", label), ("children", label), ("Part", None)):
            children = node.get(key, [])
            if not isinstance(children, list):
                raise ValueError(f"{source}: {key} of {_cut(label)} is not a list")
            place = f"a node in {key} of {_cut(label)}"
            below += [(child, above, place) for child in children]
        nodes += reversed(below)
    return parents


def _unpack(data: bytes, source: str) -> bytes:
    """Returns a file's content.

    Raises:
        ValueError: It is damaged, or larger than `MAX_BYTES`.
    """
    if data.startswith(GZIP_MAGIC):
        try:
            data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(MAX_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{source}: damaged gzip file: {error}") from None
    if len(data) > MAX_BYTES:
        raise ValueError(
            f"{source} is larger than {MAX_BYTES >> 20} MiB, which no file of classes is: move it "
            "away"
        )
    return data


def _lines(data: bytes, source: str, failures: list[Failure]) -> Iterator[tuple[int, str]]:
    """Each line that isn't blank, with its number from 1.

    Raises:
        ValueError: The file can't be unpacked, or too many of its rows are bad.
    """
    # Not `splitlines`: names may hold other Unicode line ends.
    for line, raw in enumerate(io.BytesIO(_unpack(data, source)), 1):
        raw = raw.removesuffix(b"\n")
        if len(failures) > _MAX_BAD_ROWS:
            raise ValueError(
                f"{source} isn't a file of classes: more than {_MAX_BAD_ROWS:,} of its lines can't "
                "be read: move it away"
            )
        try:
            text = raw.decode("utf-8-sig" if line == 1 else "utf-8").removesuffix("\r")
        except UnicodeDecodeError as error:
            failures.append(_failure(Reason.BAD_ROW, f"not UTF-8: {error}", source, line))
            continue
        if text.strip():
            yield line, text


def _rows(data: bytes, source: str, failures: list[Failure]) -> Iterator[tuple[int, list[str]]]:
    """Each line's fields, with commas or tabs between them."""
    for line, text in _lines(data, source, failures):
        # No MID and no column's name has a comma.
        delimiter = "\t" if "\t" in text and "," not in text.partition("\t")[0] else ","
        if len(text) <= _PLAIN_LENGTH and '"' not in text and "\r" not in text:  # nearly all
            yield line, text.split(delimiter)
            continue
        try:
            (row,) = csv.reader([text], strict=True, delimiter=delimiter)
        except csv.Error as error:
            failures.append(_failure(Reason.BAD_ROW, f"not CSV: {error}", source, line))
            continue
        yield line, row


def names_header(row: Sequence[str]) -> tuple[int, int, int] | None:
    """Where a header has label and name, and its width; None where the row isn't one."""
    fields = [fold(field) for field in row]
    for label, name in (("labelname", "displayname"), ("id", "name")):
        if label in fields and name in fields:
            return fields.index(label), fields.index(name), len(fields)
    return None


def _mid(text: str) -> str:
    if not _MID.fullmatch(label := text.strip()):
        raise _BadRowError(f"{_short(text)} is not a MID")
    return label


def _count(text: str) -> int:
    if not (text.isascii() and text.strip().isdigit() and len(text) < _PLAIN_LENGTH):
        raise _BadRowError(f"{_short(text)} is not a count")
    return int(text)


def _cut(text: str) -> str:
    """The beginning of a text that may be long."""
    return f"{text[:_QUOTED]}…" if len(text) > _QUOTED else text


def _short(text: str) -> str:
    """A text as messages quote it."""
    return repr(_cut(text))


def _failure(reason: Reason, detail: str, source: str, line: int) -> Failure:
    return Failure(None, None, Stage.READ, reason, detail, source, line)
