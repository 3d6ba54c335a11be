"""Where the records of a table begin: told from a few lines around, the same wherever it is cut.

Each line is a record, but for one case. A line that has an ImageID in its place is a head. Where a
field of a table with free text is left open at its end, a head takes in the lines after it up to
the one that closes the quote, if the whole is CSV with as many fields as the header, is no longer
than `MAX_RECORD_BYTES`, and holds no other head. So a stray quote costs its own line, and no row
beside it.

Quotes are those of RFC 4180, read as `pyarrow.csv` does: one opens a field only where the field
begins; text after the closing one belongs to the field.
"""

import collections
import dataclasses
import functools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

#: A record that is longer is a bad row. Published ones have up to some hundred kB.
MAX_RECORD_BYTES = 8 << 20

_NEWLINE, _RETURN, _QUOTE = 10, 13, 34
#: Bytes that are looked at together: they stay in the processor's cache.
_LOOK = 1 << 16
#: An ImageID as `keys` reads it, but for the path before it.
_IMAGE_ID = rb"[0-9a-fA-F]{16}(?:\.(?i:jpe?g|png|gif|webp|bmp|tiff?))?[ \t]*"


@dataclasses.dataclass(frozen=True)
class Layout:
    """What the records of a table look like.

    Attributes:
        fields: how many a record has.
        id_place: the field that is the ImageID, from 0.
        delimiter: the character between two fields.
        has_free_text: whether a line break may be quoted.
    """

    fields: int
    id_place: int
    delimiter: str
    has_free_text: bool

    @functools.cached_property
    def _head(self) -> re.Pattern[bytes]:
        """What a head begins with: whole fields, and an ImageID."""
        d = self._escaped
        before = rb'(?:(?:[^"\n%b]*+|"(?:[^"\n]++|"")*+")%b){%d}' % (d, d, self.id_place)
        plain = rb'(?:[^"\n%b]*[/\\])?[ \t]*%b' % (d, _IMAGE_ID)
        quoted = rb'"(?:[^"\n]*[/\\])?[ \t]*%b"' % _IMAGE_ID
        head = rb"(?m:^)%b(?:%b|%b)(?=%b|\r*(?:\n|\Z))" % (before, plain, quoted, d)
        return re.compile(head)

    @functools.cached_property
    def _closed(self) -> re.Pattern[bytes]:
        """A line whose quotes are all closed."""
        d = self._escaped
        field = rb'(?:"(?:[^"]++|"")*+"[^%b]*+|[^"%b][^%b]*+|)' % (d, d, d)
        return re.compile(rb"%b(?:%b%b)*+" % (field, d, field))

    @functools.cached_property
    def _record(self) -> re.Pattern[bytes]:
        """A record that may have several lines, with nothing between a closing quote and the end of
        its field."""
        d = self._escaped
        field = rb'(?:"(?:[^"]++|"")*+"|[^"\r\n%b][^\r\n%b]*+|)' % (d, d)
        return re.compile(rb"%b(?:%b%b){%d}\r*(?:\n|\Z)" % (field, d, field, self.fields - 1))

    @functools.cached_property
    def _quoted(self) -> re.Pattern[bytes]:
        """What is in quotes."""
        return re.compile(rb'(?:\A|(?<=%b))"(?:[^"]++|"")*+"' % self._escaped)

    @property
    def _escaped(self) -> bytes:
        return re.escape(self.delimiter.encode())

    def is_head(self, data: bytes, at: int = 0) -> bool:
        """Returns whether the line that begins at an offset has an ImageID in its place."""
        return self._head.match(data, at) is not None

    def last_head(self, data: bytes, first: int, stop: int) -> int | None:
        """Returns the offset of the last head between two starts of lines; None without one."""
        size = _LOOK >> 6  # usually it is the last line
        while stop > first:
            start = max(data.rfind(b"\n", first, max(stop - size, first)) + 1, first)
            last = collections.deque(self._head.finditer(data, start, stop), maxlen=1)
            if last:
                return last[0].start()
            stop, size = start, 2 * size
        return None

    def is_closed(self, line: bytes) -> bool:
        """Returns whether a line ends outside quotes, if it begins outside."""
        return self._closed.fullmatch(line) is not None

    def unquoted(self, record: bytes) -> bytes:
        """Returns a record whose quotes are closed, without what is in quotes."""
        return self._quoted.sub(b"", record) if b'"' in record else record

    def end_of_lines(self, data: bytes, start: int) -> int | None:
        """Returns the end of the record of several lines that begins with the head at `start`.

        Args:
            data: with the record, and up to a beginning of another, to the end of the file, or
                further than a record may reach.
            start: where a line begins.

        Returns:
            None where the line is no head, or the record isn't as it must be.
        """
        if not (self.has_free_text and self.is_head(data, start)):
            return None
        limit = len(data)
        if limit - start > MAX_RECORD_BYTES:
            limit = data.rfind(b"\n", start, start + MAX_RECORD_BYTES) + 1
        next_head = self._head.search(data, start + 1, limit)
        limit = next_head.start() if next_head else max(limit, start)
        found = self._record.match(data, start, limit)
        return found.end() if found else None


class QuotedLines(NamedTuple):
    """Lines, from 0, that a quote runs out of.

    Attributes:
        unclosed: those whose quote nothing closes.
        continued: those that belong to the record of the line before.
    """

    unclosed: list[int]
    continued: list[int]


def find_quoted_lines(data: bytes, layout: Layout) -> QuotedLines:
    """Tells quoted line breaks from stray quotes.

    Args:
        data: whole records.
        layout: of the table.
    """
    found = QuotedLines([], [])
    if b'"' not in data:
        return found
    ends, suspects = _lines_with_odd_quotes(data, layout.delimiter)
    taken = -1
    for line in suspects:
        start = int(ends[line - 1]) + 1 if line else 0
        if line <= taken or layout.is_closed(data[start : int(ends[line])]):
            continue
        end = layout.end_of_lines(data, start)
        if end is None:
            found.unclosed.append(line)
        else:
            taken = int(np.searchsorted(ends, end - 1))
            found.continued.extend(range(line + 1, taken + 1))
    return found


def _lines_with_odd_quotes(data: bytes, delimiter: str) -> tuple[np.ndarray, list[int]]:
    """Returns where each line ends, (n,), and the lines that may end inside quotes.

    A line surely doesn't if quotes come in pairs, of which the first opens a field or follows
    another quote.
    """
    text = np.frombuffer(data, np.uint8)
    marks = [np.empty(0, np.int64)]
    for at in range(0, len(text), _LOOK):
        piece = text[at : at + _LOOK]
        marks.append(np.flatnonzero((piece == _NEWLINE) | (piece == _QUOTE)) + at)
    places = np.concatenate(marks)
    is_quote = text[places] == _QUOTE
    ends = np.append(places[~is_quote], len(data))
    quotes = places[is_quote]
    line = np.cumsum(~is_quote)[is_quote]
    order = np.arange(len(quotes))
    is_first = np.diff(line, prepend=-1) != 0  # of the quotes in its line
    is_opening = (order - np.maximum.accumulate(np.where(is_first, order, 0))) % 2 == 0
    before = text.take(quotes - 1, mode="clip")
    if len(quotes) and quotes[0] == 0:
        before[0] = _NEWLINE
    is_regular = (before == ord(delimiter)) | (before == _NEWLINE) | (before == _QUOTE)
    is_last = np.append(is_first[1:], True)
    suspects = line[is_opening & (~is_regular | is_last)]
    return ends, np.unique(suspects).tolist()


class Records(NamedTuple):
    """The records of a block; (n,) each.

    Attributes:
        starts: where they begin.
        stops: where they end, without the line break.
        lines: the line on which each begins, from 1.
    """

    starts: np.ndarray
    stops: np.ndarray
    lines: np.ndarray

    def pieces(self, size: int) -> Iterator["Records"]:
        """Yields so many of them at a time, one piece at least."""
        for at in range(0, max(1, len(self.starts)), size):
            yield Records(*(column[at : at + size] for column in self))

    def chosen(self, which: np.ndarray) -> "Records":
        """Returns some of them, by a mask."""
        return Records(*(column[which] for column in self))


def locate_records(data: bytes, continued: Sequence[int]) -> Records:
    """Finds the records of a block, without empty lines.

    Args:
        data: whole records.
        continued: lines, from 0, that belong to the record of the line before.
    """
    newlines = np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE)
    starts = np.concatenate([[0], newlines + 1])
    stops = np.append(newlines, len(data))
    lines = np.arange(1, len(starts) + 1)
    if len(continued):
        inner = np.asarray(continued)
        starts, lines = np.delete(starts, inner), np.delete(lines, inner)
        stops = np.delete(stops, inner - 1)
    found = Records(starts, stops, lines).chosen(starts != stops)
    return found.chosen(~consist_of(data, found, b"\r"))


def consist_of(data: bytes, records: Records, characters: bytes) -> np.ndarray:
    """Returns which records, none of them empty, have no other bytes than some; (n,) bool."""
    is_other = np.ones(256, bool)
    is_other[list(characters)] = False
    text = np.frombuffer(data, np.uint8)
    found = ~is_other[text[records.starts]]
    if not found.any():
        return found
    starts, stops, _ = records.chosen(found)
    others = np.append(is_other[text[starts[0] : stops[-1]]], False)
    bounds = np.stack([starts, stops], axis=1).ravel() - starts[0]
    found[found] = ~np.logical_or.reduceat(others, bounds)[::2]
    return found


def stray_returns(data: bytes) -> np.ndarray:
    """Returns the offsets of carriage returns that belong to no end of a line."""
    if b"\r" not in data:
        return np.empty(0, np.int64)
    text = np.frombuffer(data + b"\n", np.uint8)
    following = text[(at := np.flatnonzero(text == _RETURN)) + 1]
    return at[(following != _RETURN) & (following != _NEWLINE)]


def longest_line_exceeds(data: bytes, size: int) -> bool:
    """Returns whether some line has more bytes than `size`; it is quick, where lines are short."""
    # Such a line holds one of the bytes that are this far apart.
    for at in range(size, len(data), size):
        end = data.find(b"\n", at)
        if (end if end >= 0 else len(data)) - (data.rfind(b"\n", 0, at) + 1) > size:
            return True
    return False
