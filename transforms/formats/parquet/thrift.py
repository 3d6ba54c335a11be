"""Just enough of Thrift's compact protocol to find integers in a struct and to write others.

The format: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
Nothing is turned into objects: a struct is walked over in place, and all that is not named is kept
byte for byte, fields of later versions of a schema too.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from transforms.formats.varints import read_varint, write_varint

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY = range(1, 9)
_LIST, _SET, _MAP, STRUCT, _UUID = range(9, 14)
_INTEGERS = frozenset((_I16, _I32, _I64))  # all are zigzag varints
_FIXED_SIZES = {_TRUE: 0, _FALSE: 0, _BYTE: 1, _DOUBLE: 8, _UUID: 16}

#: Which integers of a struct are meant: field id to a name, or to the `Wanted` of the struct, or of
#: the structs of the list, that the field holds.
Wanted = dict[int, "str | Wanted"]


class Integer(NamedTuple):
    """An integer that was wanted, its `name`, and the bytes from `start` to `end` that hold it."""

    name: str
    value: int
    start: int
    end: int


def read_integer(data: bytes, at: int) -> tuple[int, int]:
    """Returns the signed (zigzag) integer at `at`, and where it ends."""
    value, at = read_varint(data, at)
    return value >> 1 ^ -(value & 1), at


def write_integer(value: int) -> bytes:
    """Encodes a signed integer of up to 64 bits as a zigzag varint."""
    return write_varint(value << 1 ^ value >> 63)


def read_list_header(data: bytes, at: int) -> tuple[int, int, int]:
    """Returns a list's length, the kind of its elements, and where the first one starts."""
    header = data[at]
    size, at = header >> 4, at + 1
    if size == 0xF:
        size, at = read_varint(data, at)
    return size, header & 0xF, at


def write_list(kind: int, values: Sequence[bytes]) -> bytes:
    """Encodes a list of encoded values of a kind."""
    size = len(values)
    header = bytes([min(size, 0xF) << 4 | kind])
    return b"".join((header, write_varint(size) if size >= 0xF else b"", *values))


def find_integers(data: bytes, at: int, wanted: Wanted) -> tuple[list[Integer], int]:
    """Returns the wanted integers of the struct at `at`, in the order in which they were written,
    and where the struct ends."""
    found: list[Integer] = []
    number = 0
    while data[at]:
        number, kind, at = _read_field_header(data, at, number)
        want = wanted.get(number)
        if isinstance(want, str) and kind in _INTEGERS:
            value, end = read_integer(data, at)
            found.append(Integer(want, value, at, end))
            at = end
        elif isinstance(want, dict) and kind in (STRUCT, _LIST):
            size = 1
            if kind == _LIST:
                size, _, at = read_list_header(data, at)
            for _ in range(size):
                inside, at = find_integers(data, at, want)
                found += inside
        else:
            at = _skip(data, at, kind)
    return found, at + 1


def replace_integers(data: bytes, wanted: Wanted, replace: Callable[[str, int], int]) -> bytes:
    """Returns a struct in which each wanted integer is what `replace` makes of name and value."""
    pieces, copied = [], 0
    for name, value, start, end in find_integers(data, 0, wanted)[0]:
        pieces += data[copied:start], write_integer(replace(name, value))
        copied = end
    return b"".join([*pieces, data[copied:]])


def _read_field_header(data: bytes, at: int, number: int) -> tuple[int, int, int]:
    """Returns the id and kind of the field after the one of this id, and where its value starts."""
    header = data[at]
    if header >> 4:
        return number + (header >> 4), header & 0xF, at + 1
    number, at = read_integer(data, at + 1)
    return number, header & 0xF, at


def _skip(data: bytes, at: int, kind: int) -> int:
    """Returns where the value of this kind that starts at `at` ends."""
    if kind in _INTEGERS:
        while data[at] & 0x80:
            at += 1
        return at + 1
    if kind == _BINARY:
        size, at = read_varint(data, at)
        return at + size
    if kind == STRUCT:
        while data[at]:
            _, inner, at = _read_field_header(data, at, 0)
            at = _skip(data, at, inner)
        return at + 1
    if kind in (_LIST, _SET):
        size, element, at = read_list_header(data, at)
        if element in (_TRUE, _FALSE):  # In a list, unlike in a field, a boolean has a byte.
            return at + size
        for _ in range(size):
            at = _skip(data, at, element)
        return at
    if kind in _FIXED_SIZES:
        return at + _FIXED_SIZES[kind]
    raise ValueError(f"a Thrift value of kind {kind} is not one that Parquet uses")
