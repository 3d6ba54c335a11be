"""The wire format against protobuf's own encoder."""

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


def test_delimited_leaves_content_bare_where_asked():
    messages = wire.raw([pa.array([b"a", b"", b"c"], wire.BYTES)])
    fields = wire.delimited(2, messages, where=np.array([[True, False, False]]))
    assert wire.assemble(fields).to_pylist() == [b"\x12\x01a", b"", b"c"]
