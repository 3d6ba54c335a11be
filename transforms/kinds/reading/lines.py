"""Drops lines of a table by their ImageID and labels, before anything else of them is parsed.

A line is dropped if it surely names an image that isn't wanted, or none of the wanted labels. The
parser sees all others.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import Source, in_one_piece
from transforms.dataset.keys import (
    ALL_KEYS,
    HEX_DIGITS,
    KeySet,
    image_keys,
    in_window,
    keys_of_digits,
)
from transforms.kinds.kind import Kind
from transforms.kinds.parsing.parsed import ParsedBlock
from transforms.kinds.parsing.records import Layout, find_quoted_lines
from transforms.kinds.reading.byte_search import bytes_at, find_byte
from transforms.kinds.reading.label_set import LabelSet

_NEWLINE, _QUOTE = 10, 34
#: The beginning of a published narrative.
_JSON_ID = r'^\{(?:"dataset_id": ?"[^"]*", ?)?"image_id": ?"(?P<id>[0-9a-f]{16})"'


@dataclasses.dataclass(frozen=True)
class RowFilter:
    """Which rows of tables are wanted.

    Attributes:
        keys: of the images, sorted uint64 in bytes; None for all.
        start: the key at which the wanted ones begin; they go on from 0 after the last key.
        size: how many of the 2^64 keys are wanted.
        labels: rows of annotations that name none of these are dropped; empty for any.
    """

    keys: bytes | None = None
    start: int = 0
    size: int = ALL_KEYS
    labels: tuple[str, ...] = ()

    def finder(self) -> "RowFinder | None":
        """Returns what finds wanted rows; None if all are."""
        return RowFinder(self) if self.labels or self.filters_images else None

    @property
    def filters_images(self) -> bool:
        """Whether rows of some images aren't wanted."""
        return self.keys is not None or self.size < ALL_KEYS


ALL_ROWS = RowFilter()


class Filtered(NamedTuple):
    """The wanted records of a block.

    Attributes:
        data: their text.
        lines: (n,) the numbers of their lines in the block, from 0.
        dropped: how many records were dropped.
        line_breaks: how many the block has.
    """

    data: bytes
    lines: np.ndarray
    dropped: int
    line_breaks: int


class RowFinder:
    """Finds wanted rows, in blocks of any tables."""

    def __init__(self, wanted: RowFilter) -> None:
        self._wanted = wanted
        self._keys = None
        if wanted.keys is not None:
            self._keys = KeySet(np.frombuffer(wanted.keys, np.uint64))
        self._labels = LabelSet(wanted.labels) if wanted.labels else None

    def wants(self, keys: np.ndarray) -> np.ndarray:
        """Returns which of some images are wanted, (n,) bool."""
        wanted = in_window(keys, self._wanted.start, self._wanted.size)
        return wanted if self._keys is None else wanted & self._keys.holds(keys)

    def filter_lines(self, source: Source, kind: Kind, data: bytes) -> Filtered:
        """Drops the lines of a block that are surely not wanted.

        Args:
            source: the table.
            kind: of the table.
            data: whole records.
        """
        if not data:
            return Filtered(data, np.arange(1), 0, 0)
        text = np.frombuffer(data, np.uint8)
        breaks = find_byte(text, _NEWLINE)
        ends = breaks + 1 if data.endswith(b"\n") else np.append(breaks + 1, len(text))
        starts = np.concatenate([[0], ends[:-1]])
        if not source.columns:
            is_kept = self._find_objects(text, starts)
        else:
            is_kept = np.ones(len(starts), bool)
            if self._labels and kind.labels:
                is_kept[:] = False
                is_kept[np.searchsorted(ends, self._labels.places(data), side="right")] = True
            if self._wanted.filters_images:
                lines = np.flatnonzero(is_kept)
                number = source.columns.index(kind.image_id)
                field = _field_starts(text, starts[lines], number, source.delimiter)
                is_kept[lines] = self._find_rows(text, *field, ends[lines], source.delimiter)
        is_dropped = ~is_kept
        if kind.free_texts and b'"' in data and is_dropped.any():
            layout = kind.layout(source)
            assert layout is not None
            is_kept, is_head = _with_whole_records(data, is_kept, starts, layout)
            is_dropped = ~is_kept & is_head
        dropped = int(np.count_nonzero(is_dropped))
        if not dropped:
            return Filtered(data, np.arange(len(starts)), 0, len(breaks))
        edges = np.flatnonzero(np.diff(is_kept, prepend=False, append=False))
        pieces = zip(starts[edges[::2]], ends[edges[1::2] - 1], strict=True)
        view = memoryview(data)
        kept = b"".join([view[start:stop] for start, stop in pieces])
        return Filtered(kept, np.flatnonzero(is_kept), dropped, len(breaks))

    def filter_rows(self, parsed: ParsedBlock, filtered: Filtered) -> ParsedBlock:
        """Returns a block of which the parser has seen only some lines, without unwanted rows.

        Args:
            parsed: what was made of `filtered`.
            filtered: of `filter_lines`.
        """
        table = parsed.table
        is_wanted = self.wants(in_one_piece(table["key"]).to_numpy())
        if not is_wanted.all():
            table = table.filter(pa.array(is_wanted))
        found = parsed.failures
        if len(found):
            at = found.schema.get_field_index("line")
            numbers = filtered.lines[found["line"].to_numpy() - 1] + 1
            found = found.set_column(at, found.field(at), pa.array(numbers, found.field(at).type))
        return dataclasses.replace(
            parsed,
            table=table,
            failures=found,
            rows=parsed.rows + filtered.dropped,
            lines=filtered.line_breaks,
            deselected=filtered.dropped + int(np.count_nonzero(~is_wanted)),
        )

    def _find_rows(
        self,
        text: np.ndarray,
        places: np.ndarray,
        is_sure: np.ndarray,
        ends: np.ndarray,
        delimiter: str,
    ) -> np.ndarray:
        """Returns which lines of a CSV file may be of wanted images, (n,) bool.

        Args:
            text: of the block.
            places: where the ImageID of each line begins.
            is_sure: whether it does.
            ends: where each line ends.
            delimiter: between fields.
        """
        is_id = is_sure & (places + HEX_DIGITS < ends)
        is_id[is_id] = text[places[is_id] + HEX_DIGITS] == ord(delimiter)
        keys, valid = keys_of_digits(bytes_at(text, places[is_id], HEX_DIGITS))
        is_kept = ~is_id
        is_kept[is_id] = ~valid | self.wants(keys)
        return is_kept

    def _find_objects(self, text: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Returns which lines of JSON may be of wanted images, (n,) bool."""
        offsets = np.append(starts, len(text)).astype(np.int32)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text)]
        lines = pa.BinaryArray.from_buffers(pa.binary(), len(starts), buffers)
        found = pc.struct_field(pc.extract_regex(lines, _JSON_ID), "id").drop_null()
        is_id = pc.match_substring_regex(lines, _JSON_ID).to_numpy(zero_copy_only=False)
        keys, valid = image_keys(found.cast(pa.string()))
        is_kept = np.ones(len(starts), bool)
        is_kept[is_id] = ~valid | self.wants(keys)
        return is_kept


def _with_whole_records(
    data: bytes, is_kept: np.ndarray, starts: np.ndarray, layout: Layout
) -> tuple[np.ndarray, np.ndarray]:
    """Returns which lines are kept so that records stay what they are, and which begin one.

    Args:
        data: whole records.
        is_kept: lines that are to be kept, (n,) bool.
        starts: where each line begins.
        layout: of the table.
    """
    quoted = find_quoted_lines(data, layout)
    is_head = np.ones(len(starts), bool)
    is_head[quoted.continued] = False
    # The lines of a record are kept together.
    record = np.cumsum(is_head) - 1
    has_kept = np.zeros(len(starts), bool)
    has_kept[record[is_kept]] = True
    is_kept = has_kept[record]
    # The next record ends a quote that nothing closes, so it is kept with that.
    for line in quoted.unclosed:
        others = range(line + 1, len(starts)) if is_kept[line] else ()
        following = next((each for each in others if layout.is_head(data, int(starts[each]))), None)
        if following is not None:
            is_kept[record == record[following]] = True
    return is_kept, is_head


def _field_starts(
    text: np.ndarray, starts: np.ndarray, number: int, delimiter: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns where a field of each line begins, (n,), and whether that is sure, (n,) bool.

    It isn't where there are quotes before it. The line may have fewer fields, and end before.
    """
    if not number:
        return starts, np.ones(len(starts), bool)
    delimiters = np.append(find_byte(text, ord(delimiter)), len(text) - 1)
    first = np.searchsorted(delimiters, starts)
    found = delimiters[np.minimum(first + number - 1, len(delimiters) - 1)] + 1
    quotes = find_byte(text, _QUOTE)
    return found, np.searchsorted(quotes, starts) == np.searchsorted(quotes, found)
