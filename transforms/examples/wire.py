"""The wire format of protocol buffers, for many columns of messages at a time.

A message field is its tag (`number << 3 | wire type`) and value; text, bytes, messages and packed
numbers are length-delimited (wire type 2): a length as varint, then that many bytes
(https://protobuf.dev/programming-guides/encoding). So a message is a sequence of pieces laid side
by side, and a column of messages a sequence of columns of pieces. NumPy computes the headers of all
columns at once; Arrow's `binary_join_element_wise` puts the pieces of a row together, in one pass
of memory copies. Pictures can be left out of that: see `runs`.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BYTES = pa.large_binary()

_LENGTH_DELIMITED = 2
#: The smallest numbers that take 2, 3, … 10 bytes, seven bits each.
_WIDER = np.uint64(1) << np.arange(7, 64, 7, dtype=np.uint64)
_MORE = np.uint8(0x80)  # set in every byte of a varint but its last

#: Mean size from which pieces aren't copied: about as much as is copied in the time that it takes
#: to handle a piece by itself.
LARGE = 16 << 10

#: What stands in all rows at one place: an array of bytes a row, or bytes that are the same in all.
Piece = pa.LargeBinaryArray | bytes


class Messages(NamedTuple):
    """c columns of n messages each, not yet put together.

    Attributes:
        pieces: of each column, what its messages consist of, in order.
        sizes: (c, n) int64, bytes of each message.
    """

    pieces: list[tuple[Piece, ...]]
    sizes: np.ndarray


def varints(numbers: np.ndarray, tags: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Base-128 varints of many numbers, end to end.

    Args:
        numbers: (m,) int64; a negative number takes ten bytes, as protobuf's int64 does.
        tags: (m,) uint8, a byte to put before each.

    Returns:
        The uint8 bytes of all, and (m + 1,) int64 offsets of each.
    """
    unsigned = numbers.view(np.uint64)
    widths = np.searchsorted(_WIDER, unsigned, side="right") + 1
    places = [] if tags is None else [tags]
    for place in range(widths.max(initial=1)):
        septets = (unsigned >> np.uint64(7 * place)).astype(np.uint8)
        places.append(np.where(place + 1 < widths, septets | _MORE, septets & ~_MORE))
    if tags is not None:
        widths += 1
    encoded = np.stack(places, axis=1)
    return encoded[np.arange(len(places)) < widths[:, None]], offsets_of(widths)


def offsets_of(sizes: np.ndarray) -> np.ndarray:
    """(n + 1,) int64 offsets of n neighbours with these sizes."""
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


def binary(data: np.ndarray | pa.Buffer | bytes, offsets: np.ndarray) -> pa.LargeBinaryArray:
    """The column of bytes `data[offsets[i]:offsets[i + 1]]`, without a copy.

    Args:
        data: contiguous bytes of any dtype.
        offsets: (n + 1,) int64, in bytes.
    """
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.LargeBinaryArray.from_buffers(BYTES, len(offsets) - 1, buffers)


def raw(columns: Sequence[pa.LargeBinaryArray]) -> Messages:
    """Bytes as they are: content that is already encoded."""
    sizes = [pc.binary_length(column).to_numpy(zero_copy_only=False) for column in columns]
    return Messages([(column,) for column in columns], np.stack(sizes))


def constants(columns: Sequence[bytes], rows: int) -> Messages:
    """A column of the same bytes in every row, for each of these."""
    sizes = np.array([len(data) for data in columns], np.int64)
    return Messages([(data,) for data in columns], np.repeat(sizes[:, None], rows, axis=1))


def concatenate(first: Messages, second: Messages) -> Messages:
    """Messages of which each is one of the first and then one of the second."""
    pieces = [a + b for a, b in zip(first.pieces, second.pieces, strict=True)]
    return Messages(pieces, first.sizes + second.sizes)


def merge(messages: Messages) -> Messages:
    """All columns side by side, as one."""
    return Messages([sum(messages.pieces, ())], messages.sizes.sum(axis=0, keepdims=True))


def field(number: int, content: bytes) -> bytes:
    """One length-delimited field; its number is below 16."""
    header, length = [number << 3 | _LENGTH_DELIMITED], len(content)
    while length >> 7:
        header.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes((*header, length)) + content


def delimited(
    numbers: int | np.ndarray, content: Messages, where: np.ndarray | None = None
) -> Messages:
    """Length-delimited fields.

    Args:
        numbers: the field's number, below 16: one, or (c, 1) of them.
        content: what the fields hold.
        where: (c, n) bool, which to make fields; the others stay bare. Default all.
    """
    shape = content.sizes.shape
    present = np.ones(shape, bool) if where is None else where
    tags = np.broadcast_to(np.uint8(_LENGTH_DELIMITED) | np.uint8(numbers) << np.uint8(3), shape)
    data, starts = varints(content.sizes[present], tags[present])
    offsets = starts[offsets_of(present.ravel())]
    rows = shape[1]
    headers = [(binary(data, offsets[i * rows : (i + 1) * rows + 1]),) for i in range(shape[0])]
    return concatenate(Messages(headers, np.diff(offsets).reshape(shape)), content)


def assemble(messages: Messages) -> pa.LargeBinaryArray:
    """Puts the messages of one column together: an (n,) large_binary array."""
    (pieces,) = messages.pieces
    return _join(pieces, messages.sizes.shape[1])


def runs(messages: Messages) -> list[pa.LargeBinaryArray]:
    """Puts the messages of one column together as far as that needs no copies of large pieces.

    Returns:
        (n,) large_binary arrays. The rows of all of them, side by side, are the messages.
    """
    (pieces,) = messages.pieces
    found: list[pa.LargeBinaryArray] = []
    for large, run in groupby(pieces, _is_large):
        neighbours = list(run)
        found += neighbours if large else [_join(neighbours, messages.sizes.shape[1])]
    return found


def cells(array: pa.LargeBinaryArray) -> list[pa.Buffer]:
    """The bytes of each row, without a copy."""
    _, offsets, data = array.buffers()
    own = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    return [data.slice(start, stop - start) for start, stop in pairwise(own.tolist())]


def _is_large(piece: Piece) -> bool:
    return not isinstance(piece, bytes) and piece.nbytes > LARGE * len(piece)


def _join(pieces: Iterable[Piece], rows: int) -> pa.LargeBinaryArray:
    # Of constants alone Arrow would make one value, not one for each row.
    operands = [binary(b"", np.zeros(rows + 1, np.int64))]
    for constant, run in groupby(pieces, lambda piece: isinstance(piece, bytes)):
        neighbours = list(run)
        operands += [pa.scalar(b"".join(neighbours), BYTES)] if constant else neighbours
    return pc.binary_join_element_wise(*operands, pa.scalar(b"", BYTES))
