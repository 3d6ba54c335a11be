"""Cutting text files into blocks of whole records, by byte range or along a stream.

A line break inside quotes belongs to its field, so a cut must lie outside quotes: that depends on
whether the number of quote characters before it is even (RFC 4180: a quote inside a quoted field is
doubled).
"""

import csv
import zlib
from collections.abc import Iterator
from itertools import zip_longest
from typing import BinaryIO, NamedTuple

import numpy as np

_NEWLINE, _QUOTE = 10, 34
_STEP = 1 << 20
_LOOK = 1 << 16
#: A record longer than this is no record: an unclosed quote, or no line breaks at all.
MAX_RECORD_BYTES = 64 << 20


def count_lines(data: bytes) -> int:
    """Line breaks."""
    return _count(data, _NEWLINE)


def count_quotes(file: BinaryIO, start: int, stop: int) -> int:
    """Quote characters in a byte range."""
    file.seek(start)
    pieces = (file.read(min(_STEP, stop - at)) for at in range(start, stop, _STEP))
    return sum(_count(data, _QUOTE) for data in pieces)


def _count(data: bytes, byte: int) -> int:
    return sum(int(np.count_nonzero(found)) for found in _where(data, byte))


def _where(data: bytes, byte: int) -> Iterator[np.ndarray]:
    """Where a byte is, (n,) bool of each `_LOOK` bytes. In pieces that stay in the cache this takes
    half of the time of `bytes.count`, which is made for what is rare."""
    text = np.frombuffer(data, np.uint8)
    for at in range(0, len(text), _LOOK):
        yield text[at : at + _LOOK] == byte


def _places(data: bytes, byte: int) -> np.ndarray:
    """The offsets of a byte."""
    pieces = [np.flatnonzero(found) + i * _LOOK for i, found in enumerate(_where(data, byte))]
    return np.concatenate([np.empty(0, np.int64), *pieces])


def record_breaks(data: bytes, quotes: int, free_text: bool) -> np.ndarray:
    """Offsets of the line breaks that end a record.

    Args:
        data: the bytes.
        quotes: how many quote characters precede them.
        free_text: whether a line break may be quoted at all.
    """
    breaks = _places(data, _NEWLINE)
    if not free_text or (quotes % 2 == 0 and b'"' not in data):
        return breaks
    return breaks[(np.searchsorted(_places(data, _QUOTE), breaks) + quotes) % 2 == 0]


def _next_cut(file: BinaryIO, at: int, size: int, quotes: int, free_text: bool) -> int:
    """The offset after the first record break at or after `at`; `size` where there is none."""
    file.seek(at)
    while at < size and (data := file.read(_LOOK)):
        breaks = record_breaks(data, quotes, free_text)
        if len(breaks):
            return at + int(breaks[0]) + 1
        at += len(data)
        quotes += _count(data, _QUOTE)
    return size


class RangeReader:
    """Reads ranges of a file as whole records, one after another.

    Consecutive ranges share their cuts, so every record is read once whatever the ranges.
    """

    def __init__(self, file: BinaryIO, size: int, quotes: int, free_text: bool) -> None:
        """Of an uncompressed, seekable file of this size, before whose first range there are so
        many quote characters, but for pairs; `free_text` tells whether a line break may be quoted.
        """
        self._file = file
        self._size = size
        self._quotes = quotes
        self._free_text = free_text

    def read(self, start: int, stop: int, is_first: bool) -> bytes:
        """The records of a range: those after the first break at or after `start`, to that of
        `stop`.

        Args:
            start: where the range starts, and the one before it has ended.
            stop: where it ends; the file's size for the last one.
            is_first: whether a record begins at `start` itself.
        """
        file, size, free_text = self._file, self._size, self._free_text
        begin = start if is_first else _next_cut(file, start, size, self._quotes, free_text)
        if begin > stop or begin == size:
            self._quotes += count_quotes(file, start, stop) if free_text else 0
            return b""
        if not free_text:  # Then where it ends can be known first, which saves a copy.
            end = _next_cut(file, stop, size, 0, free_text) if stop < size else size
            file.seek(begin)
            return file.read(end - begin)
        file.seek(begin)
        data = file.read(stop - begin)
        if stop < size:
            # A record begins outside quotes, so those before it came in pairs.
            self._quotes = _count(data, _QUOTE)
            end = _next_cut(file, stop, size, self._quotes, free_text)
            file.seek(stop)
            data += file.read(end - stop)
        return data


def stream_blocks(chunks: Iterator[bytes], block_size: int, free_text: bool) -> Iterator[bytes]:
    """Blocks of whole records of about `block_size` bytes from a stream that can't be sought into.

    Where `chunks` raises, the whole records before that come first, then its error.
    """
    pending = b""
    try:
        for chunk in chunks:
            pending += chunk
            if len(pending) < block_size:
                continue
            breaks = record_breaks(pending, 0, free_text)
            cut = int(breaks[-1]) + 1 if len(breaks) else 0
            if not cut and len(pending) > MAX_RECORD_BYTES:
                cut = pending.rfind(b"\n") + 1 or len(pending)
            if cut:
                yield pending[:cut]
                pending = pending[cut:]
    except (EOFError, OSError, zlib.error):
        if whole := pending[: pending.rfind(b"\n") + 1]:
            yield whole
        raise
    if pending:
        yield pending


def _lines_and_quotes(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Where each line ends, and how many quotes it has; (n,) each."""
    marks = [
        np.flatnonzero(breaks | quotes) + i * _LOOK
        for i, (breaks, quotes) in enumerate(
            zip(_where(data, _NEWLINE), _where(data, _QUOTE), strict=True)
        )
    ]
    places = np.append(np.concatenate(marks), len(data))
    is_end = np.frombuffer(data, np.uint8).take(places, mode="clip") == _NEWLINE
    is_end[-1] = True
    ends = np.flatnonzero(is_end)
    return places[ends], np.diff(ends, prepend=-1) - 1


class QuotedLines(NamedTuple):
    """Lines, from 0, that a quote runs out of.

    Attributes:
        unclosed: those whose quote nothing closes.
        continued: those that belong to the record of the line before, as a quoted line break says.
    """

    unclosed: list[int]
    continued: list[int]


def find_quoted_lines(
    data: bytes, fields: int, free_text: bool, delimiter: str = ","
) -> QuotedLines:
    """Tells quoted line breaks from stray quotes, which would take in the rows that follow.

    Args:
        data: whole records.
        fields: how many a record has; one over several lines must have just as many.
        free_text: whether a line break may be quoted at all.
        delimiter: the character between two fields.
    """
    found = QuotedLines([], [])
    if b'"' not in data:
        return found
    ends, quotes = _lines_and_quotes(data)
    # Quotes come in pairs, unless one runs out of its line or stands for itself in a plain field.
    odd = np.flatnonzero(quotes % 2).tolist()

    def text(first: int, last: int) -> list[str]:
        start = int(ends[first - 1]) + 1 if first else 0
        return data[start : int(ends[last])].decode("latin-1").split("\n")

    taken = -1
    for line, following in zip_longest(odd, odd[1:]):
        if line <= taken or not _runs_out(text(line, line)[0], delimiter):
            continue
        if (
            free_text
            and following is not None
            and _is_record(text(line, following), fields, delimiter)
        ):
            taken = following
            found.continued.extend(range(line + 1, following + 1))
        else:
            found.unclosed.append(line)
    return found


def _runs_out(line: str, delimiter: str) -> bool:
    """Whether a line ends inside quotes."""
    reader = csv.reader([line, ""], delimiter=delimiter)
    try:
        next(reader)
    except csv.Error:
        return True
    return reader.line_num > 1


def _is_record(lines: list[str], fields: int, delimiter: str) -> bool:
    """Whether lines are, strictly, one record of that many fields."""
    try:
        records = list(csv.reader(lines, strict=True, delimiter=delimiter))
    except csv.Error:
        return False
    return [len(record) for record in records] == [fields]
