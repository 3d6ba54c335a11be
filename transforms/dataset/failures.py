"""Failures: what could not be read, fetched, decoded or written, one row each.

An input may have more bad rows than others have rows. So failures of rows are found, held and sent
on in columns, in which each text is stored once (`COMPACT`).
"""

import enum
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import in_one_piece
from transforms.redaction import redact
from transforms.wording import DETAIL_LENGTH, LINE_LENGTH, clean


class Reason(enum.StrEnum):
    """Why something was left out; the words are public interface."""

    MISSING = "missing"
    EMPTY = "empty"
    NOT_IMAGE = "not_image"
    FORMAT_NOT_ALLOWED = "format_not_allowed"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    TOO_MANY_PIXELS = "too_many_pixels"
    MD5_MISMATCH = "md5_mismatch"
    SIZE_MISMATCH = "size_mismatch"
    HTTP_STATUS = "http_status"
    TIMEOUT = "timeout"
    TOO_LARGE = "too_large"
    BLOCKED_ADDRESS = "blocked_address"
    UNSAFE_PATH = "unsafe_path"
    BAD_ROW = "bad_row"
    BAD_ROTATION = "bad_rotation"
    MASK_MISSING = "mask_missing"
    MASK_CORRUPT = "mask_corrupt"
    VOICE_MISSING = "voice_missing"
    VOICE_CORRUPT = "voice_corrupt"
    CONFLICT = "conflict"


class Stage(enum.StrEnum):
    """Where it happened."""

    READ = "read"
    FETCH = "fetch"
    DECODE = "decode"
    MASK = "mask"
    VOICE = "voice"
    JOIN = "join"
    WRITE = "write"


SCHEMA = pa.schema(
    {
        "image_id": pa.string(),
        "split": pa.string(),
        "stage": pa.string(),
        "reason": pa.string(),
        "detail": pa.string(),
        "source": pa.string(),
        "line": pa.int64(),
    }
)


class Failure(NamedTuple):
    """One failure; `line` counts from 1, `source` is a file's path."""

    image_id: str | None
    split: str | None
    stage: Stage
    reason: Reason
    detail: str
    source: str | None = None
    line: int | None = None


class PixelError(Exception):
    """A picture, mask or recording that can't be used, with the reason for its failure row."""

    def __init__(self, reason: Reason, detail: str) -> None:
        detail = redact(detail)
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


#: Characters of each text that comes from an input.
_LENGTHS = {"image_id": DETAIL_LENGTH, "detail": DETAIL_LENGTH, "source": LINE_LENGTH}
_TEXT = pa.dictionary(pa.int32(), pa.string())
#: `SCHEMA` with a dictionary for each column of texts that repeat.
COMPACT = pa.schema(
    [
        field.with_type(_TEXT)
        if pa.types.is_string(field.type) and field.name != "image_id"
        else field
        for field in SCHEMA
    ]
)
#: No failures.
NONE = COMPACT.empty_table()
#: What failures are sorted by; null comes last.
_ORDER = ("stage", "source", "line", "image_id", "detail")
_PACKED_ROWS = 1 << 16
_PACKING = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1), unify_dictionaries=True)


def to_table(failures: Iterable[Failure]) -> pa.Table:
    """Returns failures as a table with `SCHEMA`, with texts that were cleaned."""
    columns = list(zip(*failures, strict=True)) or [()] * len(SCHEMA)
    arrays = []
    for column, field in zip(columns, SCHEMA, strict=True):
        length = _LENGTHS.get(field.name)
        values = [text and clean(text, length) for text in column] if length else column
        arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


class BadRows(NamedTuple):
    """Rows that failed to be read for the same reason.

    Attributes:
        places: which rows, (n,) int64.
        reason: why.
        detail: likewise, in words.
    """

    places: np.ndarray
    reason: Reason
    detail: str


def of_rows(
    found: Iterable[BadRows], lines: np.ndarray, image_ids: pa.StringArray | None = None
) -> pa.Table:
    """Returns failures of rows as a table with `COMPACT`, sorted.

    Args:
        found: the rows.
        lines: the line of each row, (rows,) int64.
        image_ids: the ImageID of each row, null where it has none; None: no row has any.
    """
    found = list(found)
    if not found:
        return NONE
    places = np.concatenate([each.places for each in found]).astype(np.int64)
    counts = [len(each.places) for each in found]
    columns = {name: pa.nulls(len(places), COMPACT.field(name).type) for name in COMPACT.names}
    if image_ids is not None:
        columns["image_id"] = image_ids.take(pa.array(places))
    details = [clean(each.detail, _LENGTHS["detail"]) for each in found]
    columns["stage"] = _repeated([Stage.READ], [len(places)])
    columns["reason"] = _repeated([each.reason for each in found], counts)
    columns["detail"] = _repeated(details, counts)
    columns["line"] = pa.array(lines[places], pa.int64())
    return in_order(pa.table(columns, COMPACT))


def _repeated(texts: list[str], counts: list[int]) -> pa.DictionaryArray:
    distinct = pa.array(texts, pa.string()).dictionary_encode()
    indices = np.repeat(distinct.indices.to_numpy(), counts)
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), distinct.dictionary)


def compact(table: pa.Table) -> pa.Table:
    """Returns failures as a table with `COMPACT` and one chunk a column."""
    columns = [
        column if column.type == field.type else column.dictionary_encode()
        for column, field in zip(table.columns, COMPACT, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=COMPACT).combine_chunks()


def in_order(table: pa.Table) -> pa.Table:
    """Returns failures, as a table with `COMPACT`, sorted by stage, source, line, image and
    detail."""
    table = compact(table)
    keys = pa.table({name: _sortable(table[name]) for name in _ORDER})
    order = pc.sort_indices(keys, [(name, "ascending") for name in _ORDER])
    return table.take(order).combine_chunks()


def _sortable(column: pa.ChunkedArray) -> pa.Array:
    """Returns a column, or numbers that sort as its texts do."""
    texts = in_one_piece(column)
    if texts.type != _TEXT:
        return texts
    ranks = pc.rank(texts.dictionary, tiebreaker="dense").cast(pa.int32())
    return ranks.take(texts.indices)


def pack(table: pa.Table) -> bytes:
    """Returns failures sorted as bytes, which take some bytes a row."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, COMPACT, options=_PACKING) as writer:
        writer.write_table(in_order(table), max_chunksize=_PACKED_ROWS)
    return sink.getvalue().to_pybytes()


def unpack(packed: bytes) -> Iterator[pa.Table]:
    """Yields what was packed, with `COMPACT`, in pieces."""
    for batch in pa.ipc.open_stream(packed):
        yield pa.Table.from_batches([batch])


def displaced(table: pa.Table, source: str, lines: int) -> pa.Table:
    """Returns failures of a block, as a table with `COMPACT`, as those of its file.

    Args:
        table: the failures.
        source: the file's name.
        lines: how many precede the block in the file.
    """
    indices = np.zeros(len(table), np.int32)
    named = pa.DictionaryArray.from_arrays(indices, pa.array([source], pa.string()))
    columns = dict(zip(table.column_names, table.columns, strict=True))
    columns |= {"source": named, "line": pc.add(table["line"], lines)}
    return pa.table(columns, COMPACT)
