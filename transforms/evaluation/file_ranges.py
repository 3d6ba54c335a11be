"""Ranges of files of predictions that aren't CSV, and the rows read from them."""

from typing import NamedTuple

import pyarrow as pa


class FileRange(NamedTuple):
    """A range of a file that is read at once.

    Attributes:
        source: the index of the file.
        start: where it begins: a byte, or a row group.
        stop: where it ends.
    """

    source: int
    start: int
    stop: int


class ReadRows(NamedTuple):
    """Rows that were read.

    Attributes:
        rows: keys of images, and detections.
        count: how many rows there were.
        bad: how many of them aren't sound, and left out.
    """

    rows: pa.RecordBatch
    count: int
    bad: int
