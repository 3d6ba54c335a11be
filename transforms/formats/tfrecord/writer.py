"""TFRecord files: framing, writing and counting.

A record is its length as little-endian uint64, the masked CRC-32C of these eight bytes as uint32,
the data, and the masked CRC-32C of the data; a file is nothing but records, so files concatenate
(https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details and
tensorflow/core/lib/io/record_writer.h).
"""

import functools
import os
from collections.abc import Iterable, Iterator

import google_crc32c
import numpy as np
import pyarrow as pa

from transforms.formats.format import ExampleWriter
from transforms.formats.tfrecord import wire
from transforms.formats.tfrecord.encoder import encode_examples

_LENGTH_BYTES, _CRC_BYTES = 8, 4
_HEADER_BYTES = _LENGTH_BYTES + _CRC_BYTES
_MASK_DELTA = 0xA282EAD8

# How many rows are encoded at a time: enough to pay for the loop over features, few enough that
# what is copied on the way stays small. Of pictures a copy is 16 MiB at most, and all copies that
# are held at a time take some 70: larger ones aren't copied.
_SLICE_ROWS = (16 << 20) // wire.LARGE


class TFRecordWriter(ExampleWriter):
    """Writes rows of examples to one TFRecord file."""

    def write(self, table: pa.Table) -> None:
        for start in range(0, len(table), _SLICE_ROWS):
            rows = table.slice(start, _SLICE_ROWS)
            for data in frame(self.encode(rows)):
                self._file.write(data)
        self._rows += len(table)

    def encode(self, rows: pa.Table) -> wire.Messages:
        """Returns a tf.train.Example of each row, (n,); of some thousand rows at most."""
        return encode_examples(rows, self._content.columns)


def frame(records: wire.Messages) -> Iterator[pa.Buffer | bytes]:
    """Yields the TFRecord bytes of records, in pieces that stand end to end."""
    lengths = records.sizes.astype("<u8")[:, None].view(np.uint8)
    header = [_binary(lengths), _column(_masked_crc(length) for length in lengths)]
    data = wire.runs(records)
    if len(data) == 1:
        data_crcs = _column(map(_masked_crc, wire.cells(data[0])))
        whole = wire.join([*header, data[0], data_crcs])
        yield whole.buffers()[2].slice(0, wire.bounds(whole)[-1])
        return
    # Record by record: a picture is written while it is in the cache from being checked.
    for start, *pieces in zip(
        wire.cells(wire.join([*header, data[0]])), *map(wire.cells, data), strict=True
    ):
        crc = _masked_crc(*pieces)
        yield start
        yield from pieces[1:-1]
        yield bytes(pieces[-1]) + crc.to_bytes(_CRC_BYTES, "little")


def _masked_crc(*data: np.ndarray | pa.Buffer | bytes) -> int:
    """Returns the masked CRC-32C of pieces end to end, as TFRecord defines it."""
    crc = functools.reduce(google_crc32c.extend, data, 0)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def _column(crcs: Iterable[int]) -> pa.LargeBinaryArray:
    """Each as four bytes."""
    return _binary(np.array([*crcs], "<u4")[:, None].view(np.uint8))


def _binary(matrix: np.ndarray) -> pa.LargeBinaryArray:
    """Each row of an (n, k) uint8 matrix as k bytes."""
    rows, width = matrix.shape
    return wire.binary(matrix, np.arange(rows + 1) * width)


def count_records(path: str) -> int:
    """Counts a file's records by their lengths, without reading their data.

    Raises:
        ValueError: a length's checksum is wrong, or the file ends inside a record.
    """
    count = position = 0
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        while position < size:
            header = os.pread(file.fileno(), _HEADER_BYTES, position)
            length, crc = header[:_LENGTH_BYTES], int.from_bytes(header[_LENGTH_BYTES:], "little")
            if len(header) == _HEADER_BYTES and crc != _masked_crc(length):
                raise ValueError(f"{path}: no TFRecord at offset {position}: wrong checksum")
            end = position + _HEADER_BYTES + int.from_bytes(length, "little") + _CRC_BYTES
            if len(header) < _HEADER_BYTES or end > size:
                raise ValueError(f"{path}: ends inside the record at offset {position}")
            position = end
            count += 1
    return count
