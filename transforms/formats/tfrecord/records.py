"""TFRecord files read back, record by record, without TensorFlow or protobuf.

The framing is described in `writer`, the messages in `encoder`. Nothing of either is used here:
what wrote a file doesn't judge it.
"""

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import google_crc32c
import numpy as np
import pyarrow as pa

from transforms.formats.format import FormatError
from transforms.formats.varints import read_varint
from transforms.storage import files

_LENGTH_BYTES, _CRC_BYTES = 8, 4
_MASK_DELTA = 0xA282EAD8

_CHECKSUM_BYTES = 8

_ENTRY, _VALUE = 0x0A, 0x12  # fields 1 and 2, length-delimited
_MORE = 0x80

BYTES, FLOAT, INT64 = 1, 2, 3
#: Kinds of features, as manifests call them.
KIND_NAMES = {BYTES: "bytes", FLOAT: "float", INT64: "int64"}


class Feature(NamedTuple):
    """A feature of an example.

    Attributes:
        kind: BYTES, FLOAT or INT64.
        values: bytes, float32 or int64, a list or array.
    """

    kind: int
    values: Sequence[Any] | np.ndarray


def read_records(path: str) -> Iterator[bytes]:
    """Yields the records of a local file; see `iterate_records`."""
    with files.open_file(path) as file:
        yield from iterate_records(file, os.fstat(file.fileno()).st_size)


def iterate_records(file: io.BufferedIOBase, size: int) -> Iterator[bytes]:
    """Yields the records of a file, checked by both of their checksums.

    Args:
        file: at its beginning.
        size: of the file.

    Raises:
        FormatError: A checksum is wrong, or the file ends inside a record.
    """
    position = 0
    while position < size:
        header, crc = file.read(_LENGTH_BYTES), file.read(_CRC_BYTES)
        if len(crc) == _CRC_BYTES and crc != _masked_crc(header):
            raise FormatError(f"wrong CRC of the length at offset {position}")
        length = int.from_bytes(header, "little")
        end = position + _LENGTH_BYTES + length + 2 * _CRC_BYTES
        if len(crc) < _CRC_BYTES or end > size:
            raise FormatError(f"ends inside the record at offset {position}")
        data = file.read(length)
        if file.read(_CRC_BYTES) != _masked_crc(data):
            raise FormatError(f"wrong CRC of the record at offset {position}")
        yield data
        position = end


def is_record(head: bytes) -> bool:
    """Returns whether a file's first bytes are a record's length and its checksum."""
    header, crc = head[:_LENGTH_BYTES], head[_LENGTH_BYTES : _LENGTH_BYTES + _CRC_BYTES]
    return len(crc) == _CRC_BYTES and crc == _masked_crc(header)


def checksum(*pieces: bytes | pa.Buffer) -> int:
    """Returns the checksum of bytes that stand end to end: 64 bits."""
    hash_ = hashlib.blake2b(digest_size=_CHECKSUM_BYTES)
    for piece in pieces:
        hash_.update(piece)
    return int.from_bytes(hash_.digest(), "little")


def comparable(features: dict[str, Feature]) -> dict[str, Any]:
    """Returns features in a form that is equal where they are; floats count bit by bit."""
    return {
        key: (kind, [*values] if kind == BYTES else np.asarray(values).tobytes())
        for key, (kind, values) in features.items()
    }


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    masked = ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF
    return masked.to_bytes(_CRC_BYTES, "little")


def key_prefix(key: str) -> bytes:
    """How the entry of a feature with this name begins, after its own length."""
    encoded = key.encode()
    return bytes((_ENTRY, len(encoded))) + encoded + bytes((_VALUE,))


def entry_bounds(record: bytes, prefixes: Sequence[bytes]) -> list[int]:
    """Returns where the entries of an example's features lie, which are just these, in this order.

    Args:
        record: a tf.train.Example.
        prefixes: of the features' names; see `key_prefix`.

    Returns:
        Offsets of the first byte of each entry, and of the end.

    Raises:
        FormatError: The features are others.
    """
    try:
        end, at = _open(record, 0, _ENTRY)
        if end != len(record):
            raise IndexError(f"{len(record) - end} bytes too many")
        bounds = [at]
        for prefix in prefixes:
            if record[at] != _ENTRY:
                raise IndexError(f"tag {record[at]} at offset {at}")
            length, at = record[at + 1], at + 2
            if length >= _MORE:
                length, at = read_varint(record, at - 1)
            if not record.startswith(prefix, at):
                raise FormatError(f"lacks the feature {prefix[2:-1].decode()} where it should be")
            at += length
            bounds.append(at)
    except IndexError as error:
        raise FormatError(f"is no tf.train.Example: {error}") from None
    if at != end:
        raise FormatError("has features that it shouldn't have")
    return bounds


def parse_example(record: bytes) -> dict[str, Feature]:
    """Returns the features of an example by name, in whatever order they stand.

    Raises:
        FormatError: It is no tf.train.Example.
    """
    try:
        found = {}
        end, at = _open(record, 0, _ENTRY)
        while at < end:
            stop, _ = _open(record, at, _ENTRY)
            key, feature = _parse_entry(record[at:stop])
            found[key] = feature
            at = stop
    except (IndexError, ValueError) as error:
        raise FormatError(f"is no tf.train.Example: {error}") from None
    return found


def parse_entry(entry: bytes) -> Feature:
    """Returns the feature of one entry of an example; see `entry_bounds`.

    Raises:
        FormatError: It is no entry of an example.
    """
    try:
        return _parse_entry(entry)[1]
    except (IndexError, ValueError) as error:
        raise FormatError(f"is no tf.train.Example: {error}") from None


def _parse_entry(entry: bytes) -> tuple[str, Feature]:
    """Returns the name and the feature of one entry."""
    _, at = _open(entry, 0, _ENTRY)
    key_end, at = _open(entry, at, _ENTRY)
    key = entry[at:key_end].decode()
    end, at = _open(entry, key_end, _VALUE)
    if end != len(entry):
        raise IndexError(f"feature {key}: its length is wrong")
    return key, _parse_feature(entry[at:end])


def _parse_feature(data: bytes) -> Feature:
    kind = data[0] >> 3
    end, at = _open(data, 0, kind << 3 | 2)
    if kind == BYTES:
        texts = []
        while at < end:
            stop, at = _open(data, at, _ENTRY)
            texts.append(data[at:stop])
            at = stop
        return Feature(kind, texts)
    packed = b""
    if at < end:
        stop, at = _open(data, at, _ENTRY)
        packed = data[at:stop]
    if kind == FLOAT:
        return Feature(kind, np.frombuffer(packed, "<f4"))
    if kind != INT64:
        raise IndexError(f"a feature of kind {kind}")
    numbers, at = [], 0
    while at < len(packed):
        number, at = read_varint(packed, at)
        numbers.append(number - (1 << 64) if number >> 63 else number)
    return Feature(kind, np.array(numbers, np.int64))


def _open(data: bytes, at: int, tag: int) -> tuple[int, int]:
    """Returns where a length-delimited field with this tag ends, and where its content begins."""
    if data[at] != tag:
        raise IndexError(f"tag {data[at]} at offset {at}, not {tag}")
    length, at = read_varint(data, at + 1)
    if at + length > len(data):
        raise IndexError(f"a field at offset {at} is longer than what holds it")
    return at + length, at
