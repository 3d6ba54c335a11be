"""TFRecord files: framing, writing, joining and checking.

A record is its length as little-endian uint64, the masked CRC-32C of these eight bytes as uint32,
the data, and the masked CRC-32C of the data; a file is nothing but records, so files concatenate
(https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details and
tensorflow/core/lib/io/record_writer.h).
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.examples import wire
from transforms.examples.encoder import encode_examples
from transforms.examples.schema import IMAGE
from transforms.outputs.part import HashingFile, Part

_LENGTH_BYTES, _CRC_BYTES = 8, 4
_HEADER_BYTES = _LENGTH_BYTES + _CRC_BYTES
_MASK_DELTA = np.uint32(0xA282EAD8)
_COPY_BYTES = 8 << 20

# How much is encoded at a time: enough rows to pay for the loop over features, few enough pictures
# that the handful of copies on the way stays small.
_SLICE_ROWS = 1024
_SLICE_PICTURE_BYTES = 16 << 20


class TFRecordWriter:
    """Writes rows of examples to one TFRecord file."""

    def __init__(self, path: str, columns: Sequence[str]) -> None:
        """Opens the file, replacing any that is there.

        Args:
            path: a local file.
            columns: which columns of `EXAMPLE` become features; see `features.columns`.
        """
        self._path = path
        self._columns = columns
        self._file = HashingFile(open(path, "wb"))  # noqa: SIM115 - close() closes it
        self._num_examples = 0

    def write(self, table: pa.Table) -> None:
        """Appends the rows of a table with the columns of `EXAMPLE`."""
        for rows in _slices(table.select(self._columns)):
            self._file.write(frame(encode_examples(rows, self._columns)))
            self._num_examples += len(rows)

    @property
    def bytes_written(self) -> int:
        """Size of the file so far."""
        return self._file.tell()

    def close(self) -> Part:
        """Ends the file."""
        self._file.close()
        return Part(self._path, self._num_examples, self._file.tell(), self._file.sha256)


def frame(records: pa.LargeBinaryArray) -> pa.Buffer:
    """The TFRecord bytes of one or more records, end to end."""
    lengths = pc.binary_length(records).to_numpy().astype("<u8")[:, None].view(np.uint8)
    headers = np.hstack([lengths, _masked_crcs(lengths)])
    crcs = _masked_crcs(record.as_buffer() for record in records)
    frames = wire.concatenate(wire.concatenate(_cells(headers), wire.raw([records])), _cells(crcs))
    return wire.assemble(frames).buffers()[2]


def _masked_crcs(data: Iterable[np.ndarray | pa.Buffer | bytes]) -> np.ndarray:
    """The checksum of each, rotated and shifted as TFRecord wants it: (n, 4) uint8."""
    crcs = np.array([google_crc32c.value(each) for each in data], "<u4")[:, None]
    return ((crcs >> 15 | crcs << 17) + _MASK_DELTA).view(np.uint8)


def _cells(matrix: np.ndarray) -> wire.Messages:
    """Each row of an (n, k) uint8 matrix as k bytes."""
    rows, width = matrix.shape
    return wire.raw([wire.binary(matrix, np.arange(rows + 1) * width)])


def _slices(table: pa.Table) -> Iterator[pa.Table]:
    """Cuts a table into runs of rows that are encoded at a time."""
    sizes = np.zeros(len(table), np.int64)
    for column in table.itercolumns():
        if column.type == IMAGE:
            lengths = pc.binary_length(pc.struct_field(column, "bytes"))
            sizes += pc.fill_null(lengths, 0).to_numpy()
    offsets = wire.offsets_of(sizes)
    start = 0
    while start < len(table):
        fitting = np.searchsorted(offsets, offsets[start] + _SLICE_PICTURE_BYTES, "right") - 1
        stop = min(max(fitting, start + 1), start + _SLICE_ROWS)
        yield table.slice(start, stop - start)
        start = stop


def concatenate(paths: Iterable[str], destination: BinaryIO | HashingFile) -> None:
    """Writes files, one after the other, into an open one: TFRecord parts make a shard."""
    for path in paths:
        with open(path, "rb") as source:
            shutil.copyfileobj(source, destination, _COPY_BYTES)


def count_records(path: str) -> int:
    """Counts a file's records by their lengths, without reading their data.

    Raises:
        ValueError: a length's checksum is wrong, or the file ends inside a record.
    """
    count = position = 0
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        while position < size:
            header = file.read(_HEADER_BYTES)
            length, crc = header[:_LENGTH_BYTES], header[_LENGTH_BYTES:]
            if len(header) == _HEADER_BYTES and crc != _masked_crcs([length]).tobytes():
                raise ValueError(f"{path}: no TFRecord at offset {position}: wrong checksum")
            end = position + _HEADER_BYTES + int.from_bytes(length, "little") + _CRC_BYTES
            if len(header) < _HEADER_BYTES or end > size:
                raise ValueError(f"{path}: ends inside the record at offset {position}")
            position = file.seek(end)
            count += 1
    return count
