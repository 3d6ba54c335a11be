"""Bits and bytes of pages, against what loops make of the format's description."""

import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.formats.parquet import encodings, thrift


def _unpack(data: bytes, width: int, count: int) -> list[int]:
    bits = int.from_bytes(data, "little")
    return [bits >> width * n & (1 << width) - 1 for n in range(count)]


def _decode(data: bytes, width: int, count: int) -> list[int]:
    """One run of the RLE/bit-packing hybrid."""
    header, at = thrift.read_varint(data, 0)
    if header & 1:
        assert len(data) - at == (header >> 1) * width
        assert header >> 1 == -(-count // 8)
        return _unpack(data[at:], width, count)
    assert len(data) - at == -(-width // 8)
    assert header >> 1 == count
    return [int.from_bytes(data[at:], "little")] * count


@pytest.mark.parametrize("width", range(1, 17))
@given(data=st.data())
def test_runs_of_any_width(width: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.integers(0, 2**width - 1), min_size=1, max_size=40))
    array = np.array(values, np.uint8 if width <= 8 else np.uint16)
    assert _decode(encodings.run_length(array, width), width, len(values)) == values


@given(
    entries=st.sampled_from([1, 2, 3, 255, 256, 257, 65_535, 65_536]),
    dtype=st.sampled_from([np.int32, np.int64]),
)
def test_indices_have_as_many_bits_as_the_dictionary_needs(entries: int, dtype: type) -> None:
    wanted = [0, entries - 1, entries // 2]
    encoded = encodings.indices(np.array(wanted, dtype), entries)
    assert encoded[0] == max(1, (entries - 1).bit_length())
    assert _decode(encoded[1:], encoded[0], 3) == wanted


def test_no_values() -> None:
    assert encodings.run_length(np.empty(0, np.uint8), 3) == b""
    assert encodings.indices(np.empty(0, np.int32), 9) == b"\4"
    for dtype in encodings.PHYSICAL:
        assert b"".join(encodings.plain(pa.array([], dtype))) == b""


@pytest.mark.parametrize(
    ("dtype", "values", "form"),
    [
        (pa.int8(), [-1, 0, 127], "<i"),
        (pa.int16(), [-(2**15), 90], "<i"),
        (pa.int32(), [-(2**31), 7], "<i"),
        (pa.int64(), [2**40, -1], "<q"),
        (pa.float32(), [0.5, -1.25], "<f"),
    ],
)
def test_plain_numbers(dtype: pa.DataType, values: list[Any], form: str) -> None:
    expected = b"".join(struct.pack(form, value) for value in values[1:])
    assert b"".join(encodings.plain(pa.array(values, dtype)[1:])) == expected


@given(values=st.lists(st.text(max_size=5)), start=st.integers(0, 3))
def test_plain_texts(values: list[str], start: int) -> None:
    expected = b"".join(
        len(text.encode()).to_bytes(4, "little") + text.encode() for text in values[start:]
    )
    assert b"".join(encodings.plain(pa.array(values, pa.string())[start:])) == expected


def test_large_values_are_not_copied() -> None:
    values = pa.array([bytes(5), bytes(1 << 20), b"", bytes(range(9))], pa.binary())
    pieces = encodings.plain(values[1:])
    lengths = [1 << 20, 0, 9]
    assert pieces[::2] == [length.to_bytes(4, "little") for length in lengths]
    assert pieces[1].address == values.buffers()[2].address + 5
    assert pieces[5] == bytes(range(9))


def test_streams_of_bytes() -> None:
    values = [1.5, -2.0, float("inf")]
    expected = b"".join(bytes(struct.pack("<f", value)[n] for value in values) for n in range(4))
    assert encodings.byte_stream_split(pa.array([0, *values], pa.float32())[1:]) == expected
