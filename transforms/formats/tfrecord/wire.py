"""The wire format of protocol buffers, for many messages at a time.

A message field is its tag (`number << 3 | wire type`) and value; text, bytes, messages and packed
numbers are length-delimited (wire type 2): a length as varint, then that many bytes
(https://protobuf.dev/programming-guides/encoding). So a message is a sequence of pieces laid side
by side, and many messages a sequence of columns of pieces. Of what occurs often, as headers do,
each distinct one is encoded once, and a column holds codes. Arrow's `take` then puts the pieces of
all messages end to end, in one pass of memory copies, some ten nanoseconds each. Pictures can be
left out of that: see `runs`.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from transforms.formats.varints import write_varint

BYTES = pa.large_binary()

_LENGTH_DELIMITED = 2
#: The smallest numbers that take 2, 3, … 10 bytes, seven bits each.
_WIDER = np.uint64(1) << np.arange(7, 64, 7, dtype=np.uint64)
_MORE = np.uint8(0x80)  # set in every byte of a varint but its last
_TAG_BITS = 8

#: Mean size from which pieces aren't copied: about as much as is copied in the time that it takes
#: to handle a piece by itself.
LARGE = 16 << 10


class Coded(NamedTuple):
    """n pieces of bytes, many of them equal.

    Attributes:
        codes: (n,) integers; piece i is `values[codes[i]]`.
        values: the distinct pieces.
    """

    codes: np.ndarray
    values: pa.LargeBinaryArray


#: What stands at one place in each message.
Piece = pa.LargeBinaryArray | Coded


class Messages(NamedTuple):
    """n messages, not yet put together.

    Attributes:
        pieces: what they consist of, in order: columns of n pieces each.
        sizes: (n,) int64, bytes of each message.
    """

    pieces: tuple[Piece, ...]
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


def coded_varints(numbers: np.ndarray) -> Coded:
    """Varints of (m,) int64 numbers, of which many are equal."""
    codes, found = distinct(numbers)
    return Coded(codes, binary(*varints(found)))


def distinct(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distinct ones of (m,) numbers, as they first occur, and (m,) places there."""
    coded = pa.array(numbers).dictionary_encode()
    return coded.indices.to_numpy(), coded.dictionary.to_numpy()


def offsets_of(sizes: np.ndarray) -> np.ndarray:
    """(n + 1,) int64 offsets of n neighbours with these sizes."""
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


def binary(data: np.ndarray | pa.Buffer | bytes, offsets: np.ndarray) -> pa.LargeBinaryArray:
    """Returns the column of bytes `data[offsets[i]:offsets[i + 1]]`, without a copy.

    Args:
        data: contiguous bytes of any dtype.
        offsets: (n + 1,) int64, in bytes.
    """
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets)), pa.py_buffer(data)]
    return pa.LargeBinaryArray.from_buffers(BYTES, len(offsets) - 1, buffers)


def bounds(column: pa.LargeBinaryArray) -> np.ndarray:
    """(n + 1,) int64 offsets of n pieces in the column's data."""
    offsets = np.frombuffer(column.buffers()[1], np.int64)
    return offsets[column.offset : column.offset + len(column) + 1]


def raw(column: pa.LargeBinaryArray) -> Messages:
    """Bytes as they are: content that is already encoded."""
    return Messages((column,), np.diff(bounds(column)))


def coded(codes: np.ndarray, values: pa.LargeBinaryArray) -> Messages:
    """Messages `values[codes[i]]`."""
    return Messages((Coded(codes, values),), np.diff(bounds(values))[codes])


def concatenate(*messages: Messages) -> Messages:
    """Messages of which each is one of the first, then one of the second, and so on."""
    pieces, sizes = zip(*messages, strict=True)
    return Messages(sum(pieces, ()), np.sum(sizes, axis=0))


def field(number: int, content: bytes) -> bytes:
    """One length-delimited field; its number is below 16."""
    return bytes([number << 3 | _LENGTH_DELIMITED]) + write_varint(len(content)) + content


def delimited(
    numbers: int | np.ndarray, content: Messages, where: np.ndarray | None = None
) -> Messages:
    """Length-delimited fields.

    Args:
        numbers: the field's number, below 16: one, or (n,) of them.
        content: what the fields hold.
        where: (n,) bool, which to make fields; the others stay bare. Default all.
    """
    tags = np.asarray(numbers) << 3 | _LENGTH_DELIMITED
    headers = content.sizes << _TAG_BITS | tags
    if where is not None:
        headers *= where
    codes, found = distinct(headers)
    present = found > 0
    sizes = found[present]
    data, starts = varints(sizes >> _TAG_BITS, sizes.astype(np.uint8))
    offsets = starts[offsets_of(present)]
    column = Coded(codes, binary(data, offsets))
    return Messages((column, *content.pieces), content.sizes + np.diff(offsets)[codes])


def join(columns: Sequence[Piece]) -> pa.LargeBinaryArray:
    """Puts pieces side by side.

    Args:
        columns: k columns of n pieces each.

    Returns:
        An (n,) large_binary array, each row of it k pieces.
    """
    coded = [piece if isinstance(piece, Coded) else _uncoded(piece) for piece in columns]
    sources: dict[int, pa.LargeBinaryArray] = {}  # several columns may share their values
    starts: dict[int, int] = {}
    places = np.empty((len(coded[0].codes), len(coded)), np.int64)
    end = 0
    for i, (codes, values) in enumerate(coded):
        if id(values) not in sources:
            sources[id(values)], starts[id(values)] = values, end
            end += len(values)
        np.add(codes, starts[id(values)], out=places[:, i])
    taken = pa.concat_arrays([*sources.values()]).take(pa.array(places.ravel()))
    return binary(taken.buffers()[2], bounds(taken)[:: len(coded)])


def assemble(messages: Messages) -> pa.LargeBinaryArray:
    """Puts messages together: an (n,) large_binary array."""
    return join(messages.pieces)


def runs(messages: Messages) -> list[pa.LargeBinaryArray]:
    """Puts messages together as far as that needs no copies of large pieces.

    Returns:
        (n,) large_binary arrays. The rows of all of them, side by side, are the messages.
    """
    found: list[pa.LargeBinaryArray] = []
    for large, run in groupby(messages.pieces, _is_large):
        neighbours = list(run)
        found += neighbours if large else [join(neighbours)]
    return found


def cells(array: pa.LargeBinaryArray) -> list[pa.Buffer]:
    """Returns the bytes of each row, without a copy."""
    data = array.buffers()[2]
    return [data.slice(start, stop - start) for start, stop in pairwise(bounds(array).tolist())]


def interleave(messages: Messages) -> Iterator[pa.Buffer]:
    """Yields the bytes of all messages end to end, in buffers; large pieces aren't copied."""
    data = runs(messages)
    if len(data) == 1:
        start, *_, stop = bounds(data[0]).tolist()
        yield data[0].buffers()[2].slice(start, stop - start)
        return
    for row in zip(*map(cells, data), strict=True):
        yield from row


def _is_large(piece: Piece) -> bool:
    return not isinstance(piece, Coded) and piece.nbytes > LARGE * len(piece)


def _uncoded(column: pa.LargeBinaryArray) -> Coded:
    return Coded(np.arange(len(column)), column)
