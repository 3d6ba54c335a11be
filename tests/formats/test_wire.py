"""The wire format against protobuf's own encoder."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
from google.protobuf.internal.encoder import _SignedVarintEncoder, _VarintBytes
from hypothesis import example, given
from hypothesis import strategies as st

from transforms.formats.tfrecord import wire


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


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-2, 2)))
def test_coded_varints_are_varints(numbers):
    coded = wire.coded_varints(np.array(numbers, np.int64))
    assert wire.join([coded]).to_pylist() == [_varint(number) for number in numbers]
    assert len(coded.values) == len({*numbers})


_CONTENTS = st.binary(max_size=200) | st.just(b"x" * 20_000)


@given(st.lists(st.tuples(st.integers(1, 15), _CONTENTS, st.booleans()), max_size=9))
@example([(1, b"", True), (1, b"", False), (2, b"", True), (1, b"x" * 127, True)])
def test_delimited_puts_tag_and_length_before_each_that_is_to_be_a_field(drawn):
    numbers = np.array([number for number, _, _ in drawn], np.int64)
    messages = wire.raw(pa.array([content for _, content, _ in drawn], wire.BYTES))
    where = np.array([field for _, _, field in drawn], bool)
    fields = wire.delimited(numbers, messages, where)
    expected = [
        bytes([number << 3 | 2]) + _VarintBytes(len(content)) + content if field else content
        for number, content, field in drawn
    ]
    assert wire.assemble(fields).to_pylist() == expected
    assert fields.sizes.tolist() == [*map(len, expected)]
    everywhere = wire.delimited(15, messages)
    assert wire.assemble(everywhere).to_pylist() == [
        b"\x7a" + _VarintBytes(len(content)) + content for _, content, _ in drawn
    ]


@given(st.integers(1, 15), st.binary(max_size=300) | st.just(b"x" * 20_000))
def test_a_field_is_one_delimited_message(number, content):
    message = wire.delimited(number, wire.raw(pa.array([content], wire.BYTES)))
    assert wire.assemble(message).to_pylist() == [wire.field(number, content)]


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-2, 2)))
def test_distinct_numbers_stand_as_they_first_occur(numbers):
    codes, found = wire.distinct(np.array(numbers, np.int64))
    assert found.tolist() == [*dict.fromkeys(numbers)]
    assert found[codes].tolist() == numbers


@st.composite
def _columns(draw: st.DrawFn) -> tuple[list[list[bytes]], list[wire.Piece]]:
    """Some columns of pieces, as many in each: plain and coded.

    An array may be a slice of a longer one, and several coded columns share their values.
    """
    rows = draw(st.integers(1, 4))
    small = st.binary(max_size=9)
    cells = st.lists(small | st.sampled_from([b"x" * 17_000, b"y" * 90_000]), min_size=6)
    cut = st.sampled_from([slice(0, rows), slice(1, rows + 1)])
    shared = draw(st.lists(small, min_size=1, max_size=3))
    values = pa.array(shared, wire.BYTES)
    codes = st.lists(st.integers(0, len(shared) - 1), min_size=rows, max_size=rows)
    expected: list[list[bytes]] = []
    columns: list[wire.Piece] = []
    for coded in draw(st.lists(st.booleans(), min_size=1, max_size=6)):
        if coded:
            drawn = draw(codes)
            expected.append([shared[code] for code in drawn])
            columns.append(wire.Coded(np.array(drawn), values))
        else:
            drawn, where = draw(cells)[: rows + 2], draw(cut)
            expected.append(drawn[where])
            columns.append(pa.array(drawn, wire.BYTES)[where])
    return expected, columns


@given(_columns())
def test_pieces_stand_side_by_side(drawn):
    expected, columns = drawn
    assert wire.join(columns).to_pylist() == [b"".join(row) for row in zip(*expected, strict=True)]


@given(_columns())
def test_runs_are_the_messages_with_large_pieces_as_they_came(drawn):
    expected, columns = drawn
    messages = wire.concatenate(
        *(wire.coded(*each) if isinstance(each, wire.Coded) else wire.raw(each) for each in columns)
    )
    runs = wire.runs(messages)
    cells = [b"".join(map(bytes, row)) for row in zip(*map(wire.cells, runs), strict=True)]
    assert cells == [b"".join(row) for row in zip(*expected, strict=True)]
    assert [*map(len, cells)] == messages.sizes.tolist()
    large = [
        column
        for column, pieces in zip(columns, expected, strict=True)
        if isinstance(column, pa.Array) and sum(map(len, pieces)) > len(pieces) * wire.LARGE
    ]
    assert [id(run) for run in runs if run in large] == [id(column) for column in large]
    assert len(runs) <= 2 * len(large) + 1
