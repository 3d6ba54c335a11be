"""Just enough of Thrift's compact protocol to write structs, and to find integers inside of one and
to replace them.

The format: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
Nothing is turned into objects: a struct is walked over in place, and all that is not named is kept
byte for byte, fields of later versions of a schema too.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

_TRUE, _FALSE, _BYTE, I16, I32, I64, _DOUBLE, BINARY = range(1, 9)
LIST, _SET, _MAP, STRUCT, _UUID = range(9, 14)
_INTEGERS = frozenset((I16, I32, I64))  # all are zigzag varints
_FIXED_SIZES = {_TRUE: 0, _FALSE: 0, _BYTE: 1, _DOUBLE: 8, _UUID: 16}

#: Which integers of a struct are meant: field id to a name, or to the `Wanted` of the struct, or of
#: the structs of the list, that the field holds.
Wanted = dict[int, "str | Wanted"]


class Field(NamedTuple):
    """A field of a struct; its value takes up the bytes from `start` to `end`."""

    id: int
    kind: int
    start: int
    end: int


class Integer(NamedTuple):
    """An integer that was wanted, its `name`, and the bytes from `start` to `end` that hold it."""

    name: str
    value: int
    start: int
    end: int


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The unsigned varint at `at`, and where it ends."""
    value = shift = 0
    while (byte := data[at]) & 0x80:
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
    return value | byte << shift, at + 1


_ONE_BYTE = [bytes([value]) for value in range(0x80)]


def write_varint(value: int) -> bytes:
    """A non-negative integer as an unsigned varint."""
    if value < 0x80:
        return _ONE_BYTE[value]
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def read_integer(data: bytes, at: int) -> tuple[int, int]:
    """The signed (zigzag) integer at `at`, and where it ends."""
    value, at = read_varint(data, at)
    return value >> 1 ^ -(value & 1), at


def write_integer(value: int) -> bytes:
    """A signed integer of up to 64 bits as a zigzag varint."""
    return write_varint(value << 1 ^ value >> 63)


def read_list_header(data: bytes, at: int) -> tuple[int, int, int]:
    """A list's length, the kind of its elements, and where the first one starts."""
    header = data[at]
    size, at = header >> 4, at + 1
    if size == 0xF:
        size, at = read_varint(data, at)
    return size, header & 0xF, at


def write_binary(value: bytes) -> bytes:
    """Bytes or an UTF-8 text."""
    return write_varint(len(value)) + value


def write_struct(*fields: tuple[int, int, bytes]) -> bytes:
    """A struct of fields: id, kind and encoded value, by ascending ids at most 15 apart."""
    encoded, before = bytearray(), 0
    for number, kind, value in fields:
        encoded.append(number - before << 4 | kind)
        encoded += value
        before = number
    encoded.append(0)
    return bytes(encoded)


def write_list(kind: int, values: Sequence[bytes]) -> bytes:
    """A list of encoded values of a kind."""
    size = len(values)
    header = bytes([min(size, 0xF) << 4 | kind])
    return b"".join((header, write_varint(size) if size >= 0xF else b"", *values))


def fields(data: bytes, at: int = 0) -> Iterator[Field]:
    """The fields of the struct at `at`, in the order in which they were written."""
    number = 0
    while header := data[at]:
        delta, kind = header >> 4, header & 0xF
        at += 1
        if delta:
            number += delta
        else:
            number, at = read_integer(data, at)
        end = _skip(data, at, kind)
        yield Field(number, kind, at, end)
        at = end


def find_integers(data: bytes, at: int, wanted: Wanted, found: Callable[[Integer], None]) -> int:
    """Calls `found` with each wanted integer of the struct at `at`; returns where that ends."""
    number = 0
    while header := data[at]:
        delta, kind = header >> 4, header & 0xF
        at += 1
        if delta:
            number += delta
        else:
            number, at = read_integer(data, at)
        want = wanted.get(number)
        if isinstance(want, str) and kind in _INTEGERS:
            value, end = read_integer(data, at)
            found(Integer(want, value, at, end))
            at = end
        elif isinstance(want, dict) and kind == STRUCT:
            at = find_integers(data, at, want, found)
        elif isinstance(want, dict) and kind == LIST:
            size, _, at = read_list_header(data, at)
            for _ in range(size):
                at = find_integers(data, at, want, found)
        else:
            at = _skip(data, at, kind)
    return at + 1


def _skip(data: bytes, at: int, kind: int) -> int:
    """Where the value of this kind that starts at `at` ends."""
    if kind in _INTEGERS:
        while data[at] & 0x80:
            at += 1
        return at + 1
    if kind == BINARY:
        size, at = read_varint(data, at)
        return at + size
    if kind == STRUCT:
        while header := data[at]:
            at += 1
            if not header >> 4:
                _, at = read_varint(data, at)
            at = _skip(data, at, header & 0xF)
        return at + 1
    if kind in (LIST, _SET):
        size, element, at = read_list_header(data, at)
        if element in (_TRUE, _FALSE):  # In a list, unlike in a field, a boolean has a byte.
            return at + size
        for _ in range(size):
            at = _skip(data, at, element)
        return at
    if kind in _FIXED_SIZES:
        return at + _FIXED_SIZES[kind]
    raise ValueError(f"a Thrift value of kind {kind} is not one that Parquet uses")
