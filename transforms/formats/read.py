"""ReadAnnotations: files → typed Arrow blocks, one a range of a file."""

import collections
import functools
import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from transforms import codes, elements, failures, metrics, progress
from transforms.checksum import Checksum
from transforms.config import BuildConfig
from transforms.elements import Block, ByteRange, Failed, Source, SourceCount
from transforms.exchange.place import PlaceFn
from transforms.failures import Failure, Reason, Stage
from transforms.formats import blocks
from transforms.formats.detect import TABLES
from transforms.formats.narratives import parse_narratives
from transforms.formats.parse_csv import ParsedBlock, parse_csv
from transforms.formats.plain_labels import KnownLabels, parse_plain_labels
from transforms.outputs.classes import labels_of
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

_LABEL_FIELDS = ("label", "label1", "label2")
_READ_BYTES = 1 << 20
#: How long a byte takes by kind, of an image label's.
_COSTS = {"image_labels": 1.0, "points": 2.5, "narratives": 2.5, "masks": 2.7}
_OTHER_COST = 1.8


def plan_ranges(source: Source, range_size: int) -> list[ByteRange]:
    """Ranges of about `range_size` bytes; a single one where a file is compressed."""
    if source.compressed:
        return [ByteRange(source.index, 0, source.size)]
    starts = range(source.data_start, source.size, range_size)
    return [ByteRange(source.index, at, min(at + range_size, source.size)) for at in starts]


def read_blocks(
    source: Source, piece: ByteRange, chunk_size: int, options: ObjectOptions = files.DEFAULTS
) -> Iterator[bytes]:
    """The whole records of a range, without the header, in blocks of up to about `chunk_size`.

    Raises:
        StorageError: The object store can't be read.
        EOFError, OSError, zlib.error: The compressed file is truncated or corrupt.
    """
    free_text = source.kind in TABLES and TABLES[source.kind].free_text
    with files.open_file(source.path, options, size=source.size) as file:
        if source.compressed:
            with gzip.GzipFile(fileobj=file) as stream:
                stream.read(source.data_start)
                yield from blocks.stream_blocks(_inflate(stream), chunk_size, free_text)
            return
        free_text = free_text and piece.quotes >= 0
        quotes = max(piece.quotes, 0)
        size = piece.stop - piece.start
        step = -(-size // -(-size // chunk_size))  # all of about the same size
        for start in range(piece.start, piece.stop, step):
            stop = min(start + step, piece.stop)
            is_first = start == source.data_start
            yield blocks.read_range(file, start, stop, source.size, quotes, free_text, is_first)
            if free_text and stop < piece.stop:
                quotes += blocks.count_quotes(file, start, stop)


def _read_header(source: Source) -> bytes:
    with open(source.path, "rb") as file:
        return file.read(source.data_start)


def _inflate(stream: gzip.GzipFile) -> Iterator[bytes]:
    """Chunks of about `_READ_BYTES`; what precedes damage comes before its error."""
    pieces: list[bytes] = []
    try:
        while piece := stream.read1(_READ_BYTES):
            pieces.append(piece)
            if sum(map(len, pieces)) >= _READ_BYTES:
                yield b"".join(pieces)
                pieces = []
    except (EOFError, OSError, zlib.error):
        yield b"".join(pieces)
        raise
    yield b"".join(pieces)


def parse_block(source: Source, data: bytes) -> ParsedBlock:
    """Parses the records of a block by the kind of its source."""
    if source.kind == "narratives":
        return parse_narratives(data)
    return parse_csv(data, source.columns, TABLES[source.kind])


def parse_coded(source: Source, data: bytes, classes: bytes) -> ParsedBlock:
    """As `parse_block`, with texts as `codes.encode` makes them, by the labels of `classes`."""
    if source.kind == "image_labels" and (
        plain := parse_plain_labels(data, source.columns, _known_labels(classes))
    ):
        return plain
    parsed = parse_block(source, data)
    value = elements.in_one_piece(parsed.table["value"])
    value = codes.encode(value, TABLES[source.kind].column, labels_of(classes))
    parsed.table = parsed.table.set_column(1, "value", value)
    return parsed


@functools.lru_cache(maxsize=1)
def _known_labels(classes: bytes) -> KnownLabels:
    return KnownLabels(labels_of(classes))


def uncoded_labels(value: pa.StructArray) -> pa.Array:
    """The distinct labels of a block; not those that are coded, which are known."""
    fields = [field.name for field in value.type if field.name in _LABEL_FIELDS]
    columns = [pc.struct_field(value, field) for field in fields]
    columns = [labels.unique() for labels in columns if pa.types.is_string(labels.type)]
    return pa.concat_arrays([pa.array([], pa.string()), *columns])


class CountQuotesFn(beam.DoFn):
    """Counts the quotes of a range: ranges after it need to know whether they begin inside some."""

    def __init__(self, config: BuildConfig) -> None:
        self._sources = config.sources
        self._options = config.object_options
        self._progress_folder = config.progress_folder

    def setup(self) -> None:
        progress.sign_on(self._progress_folder)

    def process(self, piece: ByteRange) -> Iterable[tuple[None, tuple[ByteRange, int]]]:
        source = self._sources[piece.source]
        with files.open_file(source.path, self._options, size=source.size) as file:
            yield None, (piece, blocks.count_quotes(file, piece.start, piece.stop))


def add_quotes(counted: Iterable[tuple[ByteRange, int]]) -> list[ByteRange]:
    """Gives each range of a file the number of quotes before it.

    An odd number in the whole file means that some quote is unbalanced: then no line break is taken
    for a quoted one (-1), so that one stray quote spoils its own row and not the rest of the file.
    """
    pieces = sorted(counted)
    balanced = sum(quotes for _, quotes in pieces) % 2 == 0
    before, ranges = 0, []
    for piece, quotes in pieces:
        ranges.append(piece._replace(quotes=before if balanced else -1))
        before += quotes
    return ranges


def add_all_quotes(
    counted: tuple[None, Iterable[tuple[ByteRange, int]]], sources: Sequence[Source]
) -> list[ByteRange]:
    """As `add_quotes` for the ranges of several files; the dearest ones come first."""
    by_source = collections.defaultdict(list)
    for piece, quotes in counted[1]:
        by_source[piece.source].append((piece, quotes))
    ranges = [piece for pieces in by_source.values() for piece in add_quotes(pieces)]
    return sorted(ranges, key=lambda piece: (-cost(piece, sources), piece))


def cost(piece: ByteRange, sources: Sequence[Source]) -> float:
    """What it takes to read a range, about."""
    return _COSTS.get(sources[piece.source].kind, _OTHER_COST) * (piece.stop - piece.start)


class ReadRangeFn(beam.DoFn):
    """Reads and parses a range of a source."""

    def __init__(self, config: BuildConfig) -> None:
        self._config = config

    def setup(self) -> None:
        progress.sign_on(self._config.progress_folder)

    def process(self, piece: ByteRange, classes: bytes) -> Iterator[Any]:
        source = self._config.sources[piece.source]
        order = piece.start
        checksum = Checksum()
        if source.lacks_digest and piece.start == source.data_start:
            checksum = checksum.extended(_read_header(source))
        try:
            config = self._config
            for data in read_blocks(source, piece, config.chunk_size, config.object_options):
                if source.lacks_digest:
                    checksum = checksum.extended(data)
                yield from self._read(source, order, data, classes)
                order += max(len(data), 1)
                del data  # which would stay until the next one is there
            if source.lacks_digest:
                told = SourceCount(source.index, piece.start, 0, 0, 0, checksum)
                yield beam.pvalue.TaggedOutput("counts", told)
            progress.add(self._config.progress_folder, bytes_read=piece.stop - piece.start)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            failure = Failure(
                None, None, Stage.READ, Reason.TRUNCATED, f"compressed data: {error}", line=1
            )
            metrics.FAILURES.inc()
            ipc = elements.to_ipc(failures.to_table([failure]))
            yield beam.pvalue.TaggedOutput("failed", Failed(source.index, order, ipc))
            count = SourceCount(source.index, order, rows=1, bad_rows=1, lines=0)
            yield beam.pvalue.TaggedOutput("counts", count)

    def _read(self, source: Source, order: int, data: bytes, classes: bytes) -> Iterator[Any]:
        if self._config.exchange == "files":
            parsed = parse_coded(source, data, classes)
        else:  # each of its small elements would need the dictionaries
            parsed = parse_block(source, data)
        metrics.BYTES_READ.inc(len(data))
        metrics.FAILURES.inc(parsed.failures.num_rows)
        labels = uncoded_labels(elements.in_one_piece(parsed.table["value"]))
        unknown = labels.filter(pc.invert(pc.is_in(labels, labels_of(classes))))
        if len(unknown):
            yield beam.pvalue.TaggedOutput("labels", frozenset(unknown.to_pylist()))
        if parsed.failures.num_rows:
            failed = Failed(source.index, order, elements.to_ipc(parsed.failures))
            yield beam.pvalue.TaggedOutput("failed", failed)
        count = SourceCount(source.index, order, parsed.rows, parsed.bad_rows, parsed.lines)
        yield beam.pvalue.TaggedOutput("counts", count)
        if source.kind == "images":
            progress.add(self._config.progress_folder, image_rows=self._count_wanted(parsed.table))
        if parsed.table.num_rows:
            yield Block(source.index, order, parsed.table)

    def _count_wanted(self, images: pa.Table) -> int:
        """How many rows of an image table are of the splits to build."""
        if self._config.splits is None:
            return images.num_rows
        wanted = pc.is_in(pc.struct_field(images["value"], "split"), pa.array(self._config.splits))
        return pc.sum(wanted).as_py() or 0


class ReadAnnotations(beam.PTransform):
    """Sources → checked rows, placed for the exchange.

    Some runners deal ranges out to workers in turns, once and for all: so those of like cost follow
    one another.

    Outputs, by tag: the fragments (`fragments`), labels that no class file names (`labels`,
    frozensets), failures (`failed`) and row counts (`counts`).
    """

    def __init__(self, config: BuildConfig, classes: beam.PCollection) -> None:
        super().__init__()
        self._config = config
        self._classes = classes

    def expand(self, root: beam.pvalue.PBegin) -> beam.pvalue.DoOutputsTuple:
        quoted, plain = [], []
        for source in sorted(self._config.sources, key=lambda source: source.kind):
            if source.kind in TABLES:
                ranges = plan_ranges(source, self._config.range_size)
                by_quotes = TABLES[source.kind].free_text and len(ranges) > 1
                (quoted if by_quotes else plain).extend(ranges)
        plain.sort(key=lambda piece: cost(piece, self._config.sources), reverse=True)
        ranges = [root | "PlainRanges" >> beam.Create(plain, reshuffle=False)]
        if quoted:
            # Where a range begins inside quotes depends on all ranges before it: hence the shuffle.
            ranges.append(
                root
                | "QuotedRanges" >> beam.Create(quoted, reshuffle=False)
                | "SpreadCounts" >> beam.Reshuffle()
                | "CountQuotes" >> beam.ParDo(CountQuotesFn(self._config))
                | "OfAllFiles" >> beam.GroupByKey()
                | "AddQuotes" >> beam.FlatMap(add_all_quotes, self._config.sources)
            )
        return (
            ranges
            | beam.Flatten()
            | "SpreadRanges" >> beam.Reshuffle()
            | "ReadRanges"
            >> beam.ParDo(
                PlaceFn(ReadRangeFn(self._config), self._config),
                classes=beam.pvalue.AsSingleton(self._classes),
            ).with_outputs("labels", "failed", "counts", main="fragments")
        )
