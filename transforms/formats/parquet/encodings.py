"""How Parquet lays out values and levels, on machines that are little-endian as it is.

Format: https://github.com/apache/parquet-format, `Encodings.md`
"""

from typing import Any

import numpy as np
import pyarrow as pa

from transforms.formats.parquet import thrift
from transforms.formats.tfrecord import wire

PLAIN, RLE, RLE_DICTIONARY, BYTE_STREAM_SPLIT = 0, 3, 8, 9

#: The types of Arrow that examples have, as Parquet's physical types.
_INT32, _INT64, _FLOAT, BYTE_ARRAY = 1, 2, 4, 6
PHYSICAL = {
    pa.int8(): _INT32,
    pa.int16(): _INT32,
    pa.int32(): _INT32,
    pa.int64(): _INT64,
    pa.float32(): _FLOAT,
    pa.string(): BYTE_ARRAY,
    pa.binary(): BYTE_ARRAY,
}

#: Of a dictionary, so that indices have up to 16 bits.
MAX_ENTRIES = 1 << 16


def plain(values: pa.Array) -> list[Any]:
    """Values one after another, little-endian, texts after their lengths: buffers to be joined."""
    if PHYSICAL[values.type] != BYTE_ARRAY:
        numbers = values.cast(pa.int32()) if values.type.bit_width < 32 else values
        return [numbers.to_numpy()]
    if not len(values):
        return []
    texts = values.cast(pa.large_binary())
    lengths = np.diff(wire.bounds(texts)).astype(np.int32)
    if texts.nbytes > wire.LARGE * len(texts):
        prefixes = lengths.tobytes()
        return [
            piece
            for n, cell in enumerate(wire.cells(texts))
            for piece in (prefixes[4 * n : 4 * n + 4], cell)
        ]
    ends = pa.py_buffer(np.arange(0, 4 * len(texts) + 4, 4))
    prefixes = pa.Array.from_buffers(
        pa.large_binary(), len(texts), [None, ends, pa.py_buffer(lengths)]
    )
    places = np.arange(2 * len(texts)).reshape(2, -1).T.ravel()  # prefix, text, prefix, text …
    joined = pa.concat_arrays([prefixes, texts]).take(pa.array(places))
    return [joined.buffers()[2]]


def byte_stream_split(values: pa.Array) -> bytes:
    """All first bytes of 32-bit floats, then all second ones, and so on."""
    words = values.to_numpy().view(np.uint32)
    streams = np.empty((4, len(words)), np.uint8)
    for n, stream in enumerate(streams):
        stream[:] = words >> np.uint32(8 * n)
    return streams.tobytes()


def indices(values: np.ndarray, entries: int) -> bytes:
    """(n,) indices of a dictionary of 1 to `MAX_ENTRIES` entries."""
    width = max(1, (entries - 1).bit_length())
    narrow = values.astype(np.uint8 if width <= 8 else np.uint16)
    return bytes([width]) + run_length(narrow, width)


def run_length(values: np.ndarray, width: int) -> bytes:
    """Levels or dictionary indices in the "RLE/bit-packing hybrid": one run of one value, or all
    packed.

    Args:
        values: (n,) unsigned: 8-bit for widths up to 8, else 16-bit.
        width: bits a value, 1 to 16.
    """
    if not len(values):
        return b""
    if values.min() == values.max():
        count = thrift.write_varint(len(values) << 1)
        return count + int(values[0]).to_bytes(-(-width // 8), "little")
    return thrift.write_varint(-(-len(values) // 8) << 1 | 1) + _pack(values, width)


def _pack(values: np.ndarray, width: int) -> bytes:
    """(n,) unsigned values, `width` bits each, the lowest first; filled up to a multiple of 8."""
    if width == 1:
        return np.packbits(values, bitorder="little").tobytes()
    groups = -(-len(values) // 8)
    padded = np.zeros(8 * groups, values.dtype)
    padded[: len(values)] = values
    # As many as fit into a word at once: neighbours move together, until all are.
    words, lane = padded.view(np.uint64), 8 * values.itemsize
    while lane < 64:
        low = np.uint64(sum((1 << width) - 1 << place for place in range(0, 64, 2 * lane)))
        high = low << np.uint64(lane)
        words = words & low | (words & high) >> np.uint64(lane - width)
        lane, width = 2 * lane, 2 * width
    if values.itemsize == 1:
        return words.view(np.uint8).reshape(groups, 8)[:, : width // 8].tobytes()
    first, second = words[::2], words[1::2]
    pairs = np.empty((groups, 2), np.uint64)
    pairs[:, 0] = first | second << np.uint64(width) if width < 64 else first
    pairs[:, 1] = second >> np.uint64(64 - width)
    return pairs.view(np.uint8).reshape(groups, 16)[:, : width // 4].tobytes()
