"""The wire format against protobuf's own encoder."""

import functools
from itertools import pairwise

import numpy as np
import pyarrow as pa
from google.protobuf.internal.encoder import _SignedVarintEncoder, _VarintBytes
from hypothesis import example, given
from hypothesis import strategies as st

from transforms.examples import wire


def _varint(number: int) -> bytes:
    pieces = []
    _SignedVarintEncoder()(pieces.append, number, None)
    return b"".join(pieces)


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-200, 200)))
@example(
    [sign * ((1 << power) - less) for power in range(63) for sign in (1, -1) for less in (0, 1)]
)
def test_varints_are_those_of_protobuf(numbers):
    data, offsets = wire.varints(np.array(numbers, np.int64))
    pieces = [data[i:j].tobytes() for i, j in pairwise(offsets)]
    assert pieces == [_varint(number) for number in numbers]
    assert offsets[-1] == len(data)


@given(st.lists(st.binary(max_size=200) | st.just(b"x" * 20_000), min_size=1, max_size=5))
def test_delimited_puts_tag_and_length_before_each(contents):
    messages = wire.raw([pa.array(contents, wire.BYTES), pa.array(contents[::-1], wire.BYTES)])
    fields = wire.delimited(np.array([[1], [15]]), messages)
    expected = [
        b"\x0a" + _VarintBytes(len(a)) + a + b"\x7a" + _VarintBytes(len(b)) + b
        for a, b in zip(contents, contents[::-1], strict=True)
    ]
    merged = wire.merge(fields)
    assert wire.assemble(merged).to_pylist() == expected
    assert merged.sizes.tolist() == [[len(each) for each in expected]]


@given(st.integers(1, 15), st.binary(max_size=300) | st.just(b"x" * 20_000))
def test_a_field_is_one_delimited_message(number, content):
    message = wire.delimited(number, wire.constants([content], 1))
    assert wire.assemble(message).to_pylist() == [wire.field(number, content)]


@st.composite
def _columns(draw: st.DrawFn) -> tuple[int, list[bytes | pa.LargeBinaryArray]]:
    """A number of rows, and columns of so many: constants, and arrays or slices of longer ones."""
    rows = draw(st.integers(1, 4))
    small = st.binary(max_size=9)
    cells = st.lists(small | st.sampled_from([b"x" * 17_000, b"y" * 90_000]), min_size=6)
    arrays = cells.map(lambda found: pa.array(found[: rows + 2], wire.BYTES))
    cut = st.sampled_from([slice(0, rows), slice(1, rows + 1)])
    slices = st.tuples(arrays, cut).map(lambda drawn: drawn[0][drawn[1]])
    return rows, draw(st.lists(small | slices, min_size=1, max_size=5))


@given(_columns())
def test_runs_are_the_messages_with_large_pieces_as_they_came(drawn):
    rows, columns = drawn
    messages = [
        wire.constants([column], rows) if isinstance(column, bytes) else wire.raw([column])
        for column in columns
    ]
    whole = functools.reduce(wire.concatenate, messages)
    runs = wire.runs(whole)
    cells = zip(*map(wire.cells, runs), strict=True)
    expected = wire.assemble(whole).to_pylist()
    assert [b"".join(map(bytes, row)) for row in cells] == expected
    assert [*map(len, expected)] == whole.sizes[0].tolist()
    large = [
        column
        for column in columns
        if not isinstance(column, bytes) and sum(map(len, column.to_pylist())) > rows * wire.LARGE
    ]
    assert [id(run) for run in runs if run in large] == [id(column) for column in large]
    assert len(runs) <= 2 * len(large) + 1


def test_delimited_leaves_content_bare_where_asked():
    messages = wire.raw([pa.array([b"a", b"", b"c"], wire.BYTES)])
    fields = wire.delimited(2, messages, where=np.array([[True, False, False]]))
    assert wire.assemble(fields).to_pylist() == [b"\x12\x01a", b"", b"c"]
