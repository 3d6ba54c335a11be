"""Column chunks: a leaf's levels and values in pages, and what the footer says of them.

Format: https://github.com/apache/parquet-format, `README.md` and `src/main/thrift/parquet.thrift`
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset import codes
from transforms.formats.parquet import encodings
from transforms.formats.parquet.encodings import BYTE_STREAM_SPLIT, PLAIN, RLE, RLE_DICTIONARY
from transforms.formats.parquet.levels import Leaf, Slots
from transforms.formats.parquet.thrift import (
    BINARY,
    I32,
    I64,
    LIST,
    STRUCT,
    write_binary,
    write_integer,
    write_list,
    write_struct,
)

#: Bytes of values in a page, about, and in a dictionary, at most, before they are compressed.
_PAGE_BYTES = _DICTIONARY_BYTES = 1 << 20

_UNCOMPRESSED, _ZSTD = 0, 6
_COMPRESSOR = pa.Codec("zstd", 1)

#: Kinds of pages, and where their headers lie in a PageHeader.
_DATA_PAGE, _DICTIONARY_PAGE = (0, 5), (2, 7)


@dataclass(frozen=True)
class Layout:
    """How a leaf is to be written.

    Attributes:
        dictionary: by a dictionary, unless that would be large.
        compressed: by zstd.
        statistics: with the least and the largest value.
    """

    dictionary: bool
    compressed: bool
    statistics: bool


class ChunkWriter:
    """Writes the column chunks of a row group.

    Attributes:
        position: where in the file the next page will lie.
        raw_bytes: how much was written, had it not been compressed.
    """

    def __init__(self, write: Callable[[Any], int], position: int) -> None:
        """Writes by `write`, from this place of the file on."""
        self._write = write
        self.position = position
        self.raw_bytes = 0
        # Encoded levels, by the arrays that hold them, which columns side by side share.
        self._encoded: dict[tuple[int, int, int], tuple[np.ndarray, bytes]] = {}

    def add(self, leaf: Leaf, layout: Layout) -> bytes:
        """Writes a leaf of at least one row; returns its ColumnChunk.

        Raises:
            ValueError: its type isn't one that examples have.
        """
        start, raw_start = self.position, self.raw_bytes
        values, dictionary = leaf.values, None
        dtype = codes.plain(values.type)
        if dtype not in encodings.PHYSICAL:
            raise ValueError(f"{'.'.join(leaf.path)}: values of type {dtype} aren't written")
        if layout.dictionary or dtype != values.type:
            values, dictionary = _by_dictionary(values)
        used = {RLE}
        if dictionary is not None:
            used.add(PLAIN)
            header = ((1, I32, write_integer(len(dictionary))), (2, I32, write_integer(PLAIN)))
            page = encodings.plain(dictionary)
            self._add_page(_DICTIONARY_PAGE, write_struct(*header), page, layout.compressed)
        first_page = self.position
        for places, some in _pages(leaf.slots, values):
            encoding, page = _encode(some, dictionary)
            used.add(encoding)
            header = (
                (1, I32, write_integer(places.stop - places.start)),
                (2, I32, write_integer(encoding)),
                (3, I32, write_integer(RLE)),
                (4, I32, write_integer(RLE)),
            )
            levels = self._levels(leaf.slots, places)
            self._add_page(_DATA_PAGE, write_struct(*header), [levels, *page], layout.compressed)
        codec = _ZSTD if layout.compressed else _UNCOMPRESSED
        meta = [
            (1, I32, write_integer(encodings.PHYSICAL[dtype])),
            (2, LIST, write_list(I32, [write_integer(some) for some in sorted(used)])),
            (3, LIST, _name(leaf.path)),
            (4, I32, write_integer(codec)),
            (5, I64, write_integer(len(leaf.slots.definition))),
            (6, I64, write_integer(self.raw_bytes - raw_start)),
            (7, I64, write_integer(self.position - start)),
            (9, I64, write_integer(first_page)),
        ]
        if dictionary is not None:
            meta.append((11, I64, write_integer(start)))
        if layout.statistics:
            meta.append((12, STRUCT, _statistics(leaf)))
        return write_struct((2, I64, write_integer(0)), (3, STRUCT, write_struct(*meta)))

    def _add_page(
        self, kind: tuple[int, int], header: bytes, pieces: list[Any], is_compressed: bool
    ) -> None:
        size = sum(memoryview(piece).nbytes for piece in pieces)
        if is_compressed:
            pieces = [_COMPRESSOR.compress(b"".join(pieces), asbytes=True)]
        stored = len(pieces[0]) if is_compressed else size
        number, place = kind
        page = write_struct(
            (1, I32, write_integer(number)),
            (2, I32, write_integer(size)),
            (3, I32, write_integer(stored)),
            (place, STRUCT, header),
        )
        for piece in (page, *pieces):
            self._write(piece)
        self.position += len(page) + stored
        self.raw_bytes += len(page) + size

    def _levels(self, slots: Slots, places: slice) -> bytes:
        levels = b""
        for array, largest in (
            (slots.repetition, slots.max_repetition),
            (slots.definition, slots.max_definition),
        ):
            if array is None:
                continue
            key = id(array), places.start, places.stop
            if key not in self._encoded:
                run = encodings.run_length(array[places], largest.bit_length())
                self._encoded[key] = array, len(run).to_bytes(4, "little") + run
            levels += self._encoded[key][1]
        return levels


@functools.cache
def _name(path: tuple[str, ...]) -> bytes:
    return write_list(BINARY, [write_binary(name.encode()) for name in path])


def _by_dictionary(values: pa.Array) -> tuple[pa.Array, pa.Array | None]:
    """Indices, and what they are indices of; or the values, if it isn't worth a dictionary."""
    is_coded = pa.types.is_dictionary(values.type)
    if len(values):
        coded = codes.compact(values) if is_coded else values.dictionary_encode()
        entries = coded.dictionary
        if len(entries) <= encodings.MAX_ENTRIES and entries.nbytes <= _DICTIONARY_BYTES:
            return coded.indices, entries
    return values.cast(values.type.value_type) if is_coded else values, None


def _pages(slots: Slots, values: pa.Array) -> Iterator[tuple[slice, pa.Array]]:
    """The slots and values of each page; each begins with a row."""
    count, total = -(-values.nbytes // _PAGE_BYTES), len(slots.definition)
    if count <= 1:
        yield slice(0, total), values
        return
    rows = np.arange(total)
    if slots.repetition is not None:
        rows = np.flatnonzero(slots.repetition == 0)
    count = min(count, len(rows))
    starts = rows[len(rows) * np.arange(count) // count]
    is_value = slots.definition == slots.max_definition
    sizes = np.add.reduceat(is_value, starts, dtype=np.intp).tolist()
    first = 0
    for start, stop, size in zip(starts, [*starts[1:], total], sizes, strict=True):
        yield slice(int(start), int(stop)), values.slice(first, size)
        first += size


def _encode(values: pa.Array, dictionary: pa.Array | None) -> tuple[int, list[Any]]:
    """The encoding of values, or of indices of a dictionary, and their bytes in pieces."""
    if dictionary is not None:
        return RLE_DICTIONARY, [encodings.indices(values.to_numpy(), len(dictionary))]
    if values.type == pa.float32():  # makes coordinates 4% smaller, at no cost
        return BYTE_STREAM_SPLIT, [encodings.byte_stream_split(values)]
    return PLAIN, encodings.plain(values)


def _statistics(leaf: Leaf) -> bytes:
    """The Statistics of texts, or of integers of up to 32 bits, that aren't in lists."""
    fields = [(3, I64, write_integer(len(leaf.slots.definition) - len(leaf.values)))]
    if len(leaf.values):
        extremes = pc.min_max(leaf.values)
        for number, name in ((5, "max"), (6, "min")):
            value = extremes[name].as_py()
            plain = (
                value.encode()
                if isinstance(value, str)
                else value.to_bytes(4, "little", signed=True)
            )
            fields.append((number, BINARY, write_binary(plain)))
    return write_struct(*fields)
