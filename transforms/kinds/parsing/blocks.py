"""Cutting text files into blocks of whole records, by byte range or along a stream.

Which line begins a record is a matter of the file alone (see `records`), so every record is read
once and whole, however a file is cut. Of a line that is longer than a record may be, a block holds
the beginning, by which it is refused; the rest is passed on in pieces that aren't parsed, so that
no line takes more memory.
"""

import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from transforms.kinds.parsing.records import MAX_RECORD_BYTES, Layout

_NEWLINE = 10
_STEP = 1 << 20
_LOOK = 1 << 16


class TextBlock(NamedTuple):
    """Consecutive bytes of a file.

    Attributes:
        start: where they begin, in the file without compression.
        data: whole records; or the rest, or a part of it, of a line that is too long.
        is_rest: which of these.
    """

    start: int
    data: bytes
    is_rest: bool = False


def count_lines(data: bytes) -> int:
    """Counts line breaks."""
    # In pieces that stay in the cache this takes half of the time of `bytes.count`, which is made
    # for what is rare.
    text = np.frombuffer(data, np.uint8)
    pieces = (text[at : at + _LOOK] == _NEWLINE for at in range(0, len(text), _LOOK))
    return sum(int(np.count_nonzero(found)) for found in pieces)


class RangeReader:
    """Reads ranges of a file as whole records, one after another.

    Consecutive ranges share their cuts, so every record is read once whatever the ranges.

    Args:
        file: uncompressed and seekable.
        start: where its first record begins.
        size: of the file.
        layout: of the table; None where each line is a record.
    """

    def __init__(self, file: BinaryIO, start: int, size: int, layout: Layout | None) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._layout = layout
        self._cut = (-1, -1)

    def read(self, start: int, stop: int) -> Iterator[TextBlock]:
        """Yields the records that begin after the first line break at or after `start`, up to the
        one at or after `stop`; from `start` on where that is the first record's."""
        if start in (self._start, self._cut[0]):
            begin = start if start == self._start else self._cut[1]
        else:
            begin = self._next_record(start, stop)
        if begin > stop or begin >= self._size:
            return
        end = self._next_record(stop, self._size) if stop < self._size else self._size
        self._cut = (stop, end)
        if end - stop <= MAX_RECORD_BYTES:
            yield TextBlock(begin, self._read(begin, end))
        else:  # with a line that is too long
            pieces = (self._read(at, min(at + _STEP, end)) for at in range(begin, end, _STEP))
            yield from stream_blocks(pieces, begin, max(stop - start, _STEP), self._layout)

    def _read(self, start: int, stop: int) -> bytes:
        self._file.seek(start)
        return self._file.read(max(0, stop - start))

    def _next_record(self, at: int, stop: int) -> int:
        """Returns where the first record begins after the first line break at or after `at`.

        At the end of the file, or where the line break is at or after `stop`, anything from there.
        """
        line = self._next_line(at, stop)
        if line > stop or line >= self._size or not self._layout or self._begins_head(line):
            return line
        # Only the last head before may have taken in this line, and only if it is near.
        since = max(self._start, line - MAX_RECORD_BYTES - 1)
        before = self._read(since, line)
        first = before.find(b"\n") + 1 if since > self._start else 0
        head = self._layout.last_head(before, first, len(before))
        if head is None:
            return line
        longest = since + head + MAX_RECORD_BYTES + 1
        end = self._layout.end_of_lines(before[head:] + self._read(line, longest), 0)
        return line if end is None else max(line, since + head + end)

    def _next_line(self, at: int, stop: int) -> int:
        """Returns where the line begins after the first line break at or after `at`."""
        self._file.seek(at)
        while at < stop and (data := self._file.read(_LOOK)):
            if found := data.find(b"\n") + 1:
                return at + found
            at += len(data)
        return at if at >= self._size else at + 1

    def _begins_head(self, line: int) -> bool:
        assert self._layout
        data = self._read(line, line + _LOOK)
        if b"\n" not in data:
            data = self._read(line, line + MAX_RECORD_BYTES + 1)
        return self._layout.is_head(data)


def stream_blocks(
    chunks: Iterator[bytes], start: int, block_size: int, layout: Layout | None
) -> Iterator[TextBlock]:
    """Yields blocks of about `block_size` bytes from a stream that can't be sought into.

    Where `chunks` raises, the whole lines before that come first, then its error.

    Args:
        chunks: what the stream holds from the beginning of a record on.
        start: where that is in the file.
        block_size: in bytes.
        layout: of the table; None where each line is a record.
    """
    pending = b""
    is_rest = False
    try:
        for chunk in chunks:
            if is_rest:
                size = chunk.find(b"\n") + 1 or len(chunk)
                yield TextBlock(start, chunk[:size], is_rest=True)
                is_rest = not chunk.endswith(b"\n", 0, size)
                start += size
                chunk = chunk[size:]
            pending += chunk
            last = pending.rfind(b"\n") + 1
            if len(pending) - last > MAX_RECORD_BYTES:
                size = last + MAX_RECORD_BYTES + 1
                yield TextBlock(start, pending[:size])
                yield TextBlock(start + size, pending[size:], is_rest=True)
                start += len(pending)
                pending, is_rest = b"", True
            elif len(pending) >= block_size and (size := _last_record(pending, last, layout)):
                yield TextBlock(start, pending[:size])
                start += size
                pending = pending[size:]
    except (EOFError, OSError, zlib.error):
        if whole := pending[: pending.rfind(b"\n") + 1]:
            yield TextBlock(start, whole)
        raise
    if pending:
        yield TextBlock(start, pending)


def _last_record(data: bytes, last_line: int, layout: Layout | None) -> int:
    """Returns where the last record that surely begins in some data does; 0: not known yet."""
    if not layout:
        return last_line
    head = layout.last_head(data, 0, last_line) or 0
    return head or (last_line if last_line > MAX_RECORD_BYTES else 0)
