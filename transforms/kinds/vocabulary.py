"""What the kinds of small files about labels have in common.

The files are those of https://storage.googleapis.com/openimages/web/download_v7.html and of the V3
release of 2017_11. They have at most some 20,000 rows, are UTF-8, and come plain or gzipped. No
field of theirs holds a line break, so each line is parsed alone: a stray quote spoils its own row
and no other.
"""

import csv
import dataclasses
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from transforms.dataset.classes import ClassEntry
from transforms.dataset.failures import Failure, Reason, Stage
from transforms.storage.archives import GZIP_MAGIC

MID = re.compile(r"/[a-z]/[0-9a-z_]+")
#: Limit on a file without compression; published ones have a megabyte or two.
MAX_BYTES = 32 << 20
#: Longer lines are parsed by `csv`, which takes longer than a split.
_PLAIN_LENGTH = 1000
_MAX_BAD_ROWS = 100_000
#: Characters of a text that messages quote.
_QUOTED = 60


_Row = TypeVar("_Row")


class BadRowError(ValueError):
    """A row that can't be read, and why."""

    reason = Reason.BAD_ROW


class ConflictError(BadRowError):
    """A row that says of a class something else than one further up."""

    reason = Reason.CONFLICT


class Entries(NamedTuple):
    """The content of a file: sound entries in file order, and failures of the other rows."""

    good: list[ClassEntry]
    failures: list[Failure]


def _never(*_: object) -> bool:
    return False


@dataclasses.dataclass(frozen=True, kw_only=True)
class SmallFileKind:
    """A kind of small file about labels.

    Attributes:
        name: as in `--annotations KIND=PATH`.
        matches: whether a CSV file is of this kind, by the fields of its first line.
        matches_json: whether a JSON file is of this kind, by its path and first bytes.
        notes: remarks on a CSV file, by the fields of its first line.
    """

    name: str
    matches: Callable[[Sequence[str]], bool] = _never
    matches_json: Callable[[str, bytes], bool] = _never
    notes: Callable[[Sequence[str]], tuple[str, ...]] = lambda _: ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class VocabularyKind(SmallFileKind):
    """A kind of small file that `classes.json` is made of.

    Attributes:
        rank: the classes of files of a lower rank come first in `classes.json`.
        read: reads a file, plain or gzipped, given its path for failures; raises `ValueError` where
            it can't be unpacked or isn't of this kind at all.
    """

    rank: int
    read: Callable[[bytes, str], Entries]


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnusedKind(SmallFileKind):
    """A kind of small file with nothing that an example or `classes.json` would hold.

    Attributes:
        reason: why it isn't used.
    """

    reason: str


def unpack(data: bytes, source: str) -> bytes:
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


def read_lines(data: bytes, source: str) -> Iterator[tuple[int, str | BadRowError]]:
    """Yields each line that isn't blank, with its number from 1; for one that isn't UTF-8, an
    error.

    Raises:
        ValueError: The file can't be unpacked.
    """
    # Not `splitlines`: names may hold other Unicode line ends.
    for line, raw in enumerate(io.BytesIO(unpack(data, source)), 1):
        raw = raw.removesuffix(b"\n")
        try:
            text = raw.decode("utf-8-sig" if line == 1 else "utf-8").removesuffix("\r")
        except UnicodeDecodeError as error:
            yield line, BadRowError(f"not UTF-8: {error}")
            continue
        if text.strip():
            yield line, text


def read_rows(data: bytes, source: str) -> Iterator[tuple[int, list[str] | BadRowError]]:
    """Yields the fields of each line, with commas or tabs between them; else as `read_lines`."""
    for line, text in read_lines(data, source):
        if isinstance(text, BadRowError):
            yield line, text
            continue
        # No MID and no column's name has a comma.
        delimiter = "\t" if "\t" in text and "," not in text.partition("\t")[0] else ","
        if len(text) <= _PLAIN_LENGTH and '"' not in text and "\r" not in text:  # nearly all
            yield line, text.split(delimiter)
            continue
        try:
            (row,) = csv.reader([text], strict=True, delimiter=delimiter)
            yield line, row
        except csv.Error as error:
            yield line, BadRowError(f"not CSV: {error}")


def collect(
    rows: Iterable[tuple[int, _Row | BadRowError]],
    parse: Callable[[_Row], ClassEntry],
    source: str,
    is_header: Callable[[_Row], bool] = _never,
) -> Entries:
    """Parses the rows of a file, and keeps the first entry of each class.

    Args:
        rows: with the number of their lines.
        parse: makes an entry of a row, or raises `BadRowError`.
        source: the path of the file, for failures.
        is_header: whether the row of the first line is a header.

    Raises:
        ValueError: Too many of the rows are bad.
    """
    entries: dict[str, ClassEntry] = {}
    failures: list[Failure] = []
    for line, row in rows:
        if len(failures) > _MAX_BAD_ROWS:
            raise ValueError(
                f"{source} isn't a file of classes: more than {_MAX_BAD_ROWS:,} of its lines can't "
                "be read: move it away"
            )
        try:
            if isinstance(row, BadRowError):
                raise row
            if line == 1 and is_header(row):
                continue
            entry = parse(row)
            first = entries.setdefault(entry.label, entry)
            if first is not entry and first != entry:
                raise ConflictError(_describe_conflict(entry, first))
        except BadRowError as error:
            where = (None, None, Stage.READ)
            failures.append(Failure(*where, error.reason, str(error), source, line))
    return Entries(list(entries.values()), failures)


def _describe_conflict(entry: ClassEntry, first: ClassEntry) -> str:
    """Says how an entry differs from one of the same class further up."""
    if entry.points is not None:
        return f"{shorten(entry.label)} has another row further up"
    names = [quote(each.name or "") for each in (entry, first)]
    return f"{shorten(entry.label)} is {names[0]} here and {names[1]} further up"


def parse_mid(text: str) -> str:
    """Returns the MID in a field.

    Raises:
        BadRowError: It isn't one.
    """
    if not MID.fullmatch(label := text.strip()):
        raise BadRowError(f"{quote(text)} is not a MID")
    return label


def parse_count(text: str) -> int:
    """Returns the count in a field.

    Raises:
        BadRowError: It isn't one.
    """
    if not (text.isascii() and text.strip().isdigit() and len(text) < _PLAIN_LENGTH):
        raise BadRowError(f"{quote(text)} is not a count")
    return int(text)


def shorten(text: str) -> str:
    """Returns the beginning of a text that may be long."""
    return f"{text[:_QUOTED]}…" if len(text) > _QUOTED else text


def quote(text: str) -> str:
    """Returns a text as messages quote it."""
    return repr(shorten(text))
