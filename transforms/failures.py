"""Failures: what could not be read, fetched, decoded or written, one row each."""

import enum
from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa

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
    CONFLICT = "conflict"


class Stage(enum.StrEnum):
    """Where it happened."""

    READ = "read"
    FETCH = "fetch"
    DECODE = "decode"
    MASK = "mask"
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
    """A picture or mask that can't be used, with the reason that its failure row will carry."""

    def __init__(self, reason: Reason, detail: str) -> None:
        detail = redact(detail)
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


#: Characters of each text that comes from an input.
_LENGTHS = {"image_id": DETAIL_LENGTH, "detail": DETAIL_LENGTH, "source": LINE_LENGTH}


def to_table(failures: Iterable[Failure]) -> pa.Table:
    """Returns failures as a table with `SCHEMA`, with texts that were cleaned."""
    columns = list(zip(*failures, strict=True)) or [()] * len(SCHEMA)
    arrays = []
    for column, field in zip(columns, SCHEMA, strict=True):
        length = _LENGTHS.get(field.name)
        values = [text and clean(text, length) for text in column] if length else column
        arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=SCHEMA)
