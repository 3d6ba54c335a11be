"""Text of tables: ranges of files → blocks of whole records → rows."""

import zlib
from collections.abc import Iterator, Mapping

from transforms.dataset.elements import ByteRange, Source
from transforms.kinds.kind import Kind
from transforms.kinds.parsing import blocks
from transforms.kinds.parsing.blocks import TextBlock
from transforms.kinds.parsing.parsed import ParsedBlock
from transforms.kinds.registry import TABLES
from transforms.storage import archives, files
from transforms.storage.stores import ObjectOptions

_READ_BYTES = 1 << 20


def read_blocks(
    source: Source,
    piece: ByteRange,
    chunk_size: int,
    options: ObjectOptions = files.DEFAULTS,
    kinds: Mapping[str, Kind] = TABLES,
) -> Iterator[TextBlock]:
    """Yields whole records of a range, without the header, in blocks of about `chunk_size`.

    Args:
        source: the file.
        piece: the range.
        chunk_size: in bytes.
        options: how object stores are reached.
        kinds: what files are read as, by the kind of their source.

    Raises:
        ChangedError: The file isn't what was planned, as is found at the end of the range at last.
        StorageError: The object store can't be read.
        EOFError, OSError, zlib.error: The compressed file is truncated or corrupt.
    """
    layout = kinds[source.kind].layout(source)
    if source.compressed:
        with archives.open_inflated(source.path, source.member, options, source.stamp) as stream:
            chunks = _inflate(stream, source.data_start)
            yield from blocks.stream_blocks(chunks, source.data_start, chunk_size, layout)
        return
    with files.open_file(source.path, options, size=source.size, stamp=source.stamp) as file:
        reader = blocks.RangeReader(file, source.data_start, source.size, layout)
        size = piece.stop - piece.start
        step = -(-size // -(-size // chunk_size))  # all of about the same size
        for start in range(piece.start, piece.stop, step):
            stop = min(start + step, piece.stop)
            if stop < piece.stop:
                files.read_ahead(source.path, stop, min(stop + step, piece.stop))
            yield from reader.read(start, stop)


def _inflate(stream: archives.Inflated, start: int) -> Iterator[bytes]:
    """Yields chunks of about `_READ_BYTES` from `start` on; what precedes damage comes first."""
    pieces: list[bytes] = []
    try:
        stream.read(start)
        while piece := stream.read1(_READ_BYTES):
            pieces.append(piece)
            if sum(map(len, pieces)) >= _READ_BYTES:
                yield b"".join(pieces)
                pieces = []
    except (EOFError, OSError, zlib.error):
        yield b"".join(pieces)
        raise
    yield b"".join(pieces)


def parse_block(
    source: Source,
    data: bytes,
    encoded_labels: bytes | None = None,
    kinds: Mapping[str, Kind] = TABLES,
) -> ParsedBlock:
    """Parses the records of a block; with texts as `codes.encode` makes them, if there are
    `encoded_labels`; `kinds` as for `read_blocks`."""
    kind = kinds[source.kind]
    if encoded_labels is None:
        return kind.parse(source, data)
    return kind.parse_coded(source, data, encoded_labels)
