"""ReadAnnotations: ranges of files → checked rows, partitioned by bucket of images."""

import dataclasses
import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import AsSingleton, TaggedOutput

from transforms import metrics, progress
from transforms.checksum import Checksum
from transforms.dataset import elements, failures
from transforms.dataset.classes import decode_labels
from transforms.dataset.elements import ByteRange, Failed, Source, SourceCount
from transforms.dataset.failures import Failure, Reason, Stage
from transforms.exchange.batches import KeyedBatch
from transforms.journal import Journal
from transforms.kinds.images import IMAGES
from transforms.kinds.kind import Kind
from transforms.kinds.parsing import blocks
from transforms.kinds.parsing.ending import TAIL_BYTES, WARNING
from transforms.kinds.parsing.parsed import ParsedBlock
from transforms.kinds.parsing.records import MAX_RECORD_BYTES
from transforms.kinds.reading.lines import ALL_ROWS, RowFilter, RowFinder
from transforms.kinds.reading.text import parse_block, read_blocks
from transforms.kinds.registry import tables
from transforms.storage import files
from transforms.storage.stores import ObjectOptions


def _unknown_labels(
    rows: pa.StructArray, fields: Sequence[str], encoded_labels: bytes
) -> frozenset[str]:
    """Returns the labels of a block that no class file names; coded labels have a name.

    Args:
        rows: (n,) rows.
        fields: those of labels.
        encoded_labels: the labels that class files name, as of `encode_labels`.
    """
    columns = [pc.struct_field(rows, field) for field in fields]
    columns = [labels.unique() for labels in columns if pa.types.is_string(labels.type)]
    labels = pa.concat_arrays([pa.array([], pa.string()), *columns])
    return frozenset(
        labels.filter(pc.invert(pc.is_in(labels, decode_labels(encoded_labels)))).to_pylist()
    )


@dataclasses.dataclass(frozen=True)
class RangeReader:
    """Reads and parses ranges of sources.

    Attributes:
        sources: all sources, by index.
        chunk_size: bytes of a file that are read and parsed at once.
        is_coded: whether labels and texts of few values become codes (`dataset.codes`); where each
            batch travels by itself it would have to carry their dictionaries.
        splits: whose image rows are counted; None for all.
        options: how object stores are reached.
        progress_folder: where what was read is counted; None for nowhere.
        rows: which rows are wanted.
        is_measured: whether metrics count what is read: not where it is read again.
        kinds: gives what sources are read as, by their kinds.
    """

    sources: Sequence[Source]
    chunk_size: int
    is_coded: bool
    splits: Sequence[str] | None = None
    options: ObjectOptions = files.DEFAULTS
    progress_folder: str | None = None
    rows: RowFilter = ALL_ROWS
    is_measured: bool = True
    kinds: Callable[[], Mapping[str, Kind]] = tables

    def read(
        self, piece: ByteRange, encoded_labels: bytes, image_keys: bytes | None = None
    ) -> Iterator[Any]:
        """Yields keyed batches of rows, and by tag the other outputs of `ReadAnnotations`.

        Args:
            piece: the range.
            encoded_labels: the labels that class files name, as of `encode_labels`.
            image_keys: of the images whose rows are wanted, sorted uint64; None for all.
        """
        source = self.sources[piece.source]
        finder = dataclasses.replace(self.rows, keys=image_keys).finder()
        order = piece.start
        checksum = Checksum()
        if source.lacks_digest and piece.start == source.data_start:
            with files.open_file(source.path, stamp=source.stamp) as file:
                checksum = checksum.extended(file.read(source.data_start))
        try:
            tail = b""
            for block in read_blocks(source, piece, self.chunk_size, self.options, self.kinds()):
                start, data, is_rest = block
                order = start + len(data)
                del block
                if source.lacks_digest:
                    checksum = checksum.extended(data)
                tail = (tail + data[-TAIL_BYTES:])[-TAIL_BYTES:]
                if is_rest:
                    lines = blocks.count_lines(data)
                    yield TaggedOutput("counts", SourceCount(source.index, start, 0, 0, lines))
                else:
                    parsed = self._parse_block(source, piece, data, tail, encoded_labels, finder)
                    del data  # so that it isn't there while rows are spilled
                    yield from self._make_outputs(source, start, parsed, encoded_labels)
                    del parsed
            if source.lacks_digest:
                count = SourceCount(source.index, piece.start, 0, 0, 0, checksum)
                yield TaggedOutput("counts", count)
            progress.add(self.progress_folder, bytes_read=piece.stop - piece.start)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            detail = f"compressed data: {error}"
            failure = Failure(None, None, Stage.READ, Reason.TRUNCATED, detail, line=1)
            yield self._make_failed(source.index, order, failures.to_table([failure]))
            damage = f"compressed data is cut or damaged ({error}): download it again"
            count = SourceCount(source.index, order, rows=1, bad_rows=1, lines=0, damage=damage)
            yield TaggedOutput("counts", count)

    def _parse_block(
        self,
        source: Source,
        piece: ByteRange,
        data: bytes,
        tail: bytes,
        encoded_labels: bytes,
        finder: RowFinder | None,
    ) -> ParsedBlock:
        """Parses a block; a last record of the file that is cut is a bad row.

        Args:
            source: the file.
            piece: the range to which the block belongs.
            data: the block.
            tail: the last bytes that were read of the range, up to the end of the block.
            encoded_labels: as for `read`.
            finder: finds wanted rows; None where all are.
        """
        cut = None
        # Blocks end after line breaks, but for the last one of a file, and the beginning of a line
        # that is too long.
        last_line = len(data) - data.rfind(b"\n") - 1
        if 0 < last_line <= MAX_RECORD_BYTES:
            cut = self.kinds()[source.kind].find_cut(source, self._tail(source, piece, tail))
        whole = data[: max(0, len(data) - cut.size)] if cut else data
        if self.is_measured:
            metrics.BYTES_READ.inc(len(whole))
        labels = encoded_labels if self.is_coded else None
        if finder is None:
            parsed = parse_block(source, whole, labels, self.kinds())
        else:
            filtered = finder.filter_lines(source, self.kinds()[source.kind], whole)
            parsed = parse_block(source, filtered.data, labels, self.kinds())
            parsed = finder.filter_rows(parsed, filtered)
        return parsed.with_cut_record(cut.failure, WARNING) if cut else parsed

    def _tail(self, source: Source, piece: ByteRange, read: bytes) -> bytes:
        """Returns the last lines of a file, which don't depend on its ranges and blocks."""
        if not source.compressed and piece.start > source.data_start:
            start = max(source.data_start, source.size - TAIL_BYTES)
            with files.open_file(
                source.path, self.options, size=source.size, stamp=source.stamp
            ) as file:
                read = files.read_at(file, start, source.size - start)
        return read.partition(b"\n")[2] if len(read) == TAIL_BYTES else read

    def _make_outputs(
        self, source: Source, order: int, parsed: ParsedBlock, encoded_labels: bytes
    ) -> Iterator[Any]:
        """Yields the rows, failures, new labels and counts of a block."""
        rows = elements.in_one_piece(parsed.table["value"])
        if unknown := _unknown_labels(rows, self.kinds()[source.kind].labels, encoded_labels):
            yield TaggedOutput("labels", unknown)
        if parsed.failures.num_rows:
            yield self._make_failed(source.index, order, parsed.failures)
        counts = parsed.rows, parsed.bad_rows, parsed.lines
        count = SourceCount(
            source.index, order, *counts, warning=parsed.warning, deselected=parsed.deselected
        )
        yield TaggedOutput("counts", count)
        if source.kind == IMAGES.name:
            progress.add(self.progress_folder, image_rows=self._count_wanted(parsed.table))
        if parsed.table.num_rows:
            yield KeyedBatch(source.index, order, elements.to_batch(parsed.table))

    def _make_failed(self, source: int, order: int, table: pa.Table) -> TaggedOutput:
        if self.is_measured:
            metrics.FAILURES.inc(table.num_rows)
        return TaggedOutput("failed", Failed(source, order, failures.pack(table)))

    def _count_wanted(self, images: pa.Table) -> int:
        """Counts the rows of an image table that are of the splits to build."""
        if self.splits is None:
            return images.num_rows
        wanted = pc.is_in(pc.struct_field(images["value"], "split"), pa.array(self.splits))
        return pc.sum(wanted).as_py() or 0


@dataclasses.dataclass(eq=False)
class ReadRangeFn(beam.DoFn):
    """Reads a range of a source and partitions its rows, unless the journal has both.

    For the attributes see `ReadAnnotations`.
    """

    reader: RangeReader
    partition: Callable[[Iterable[Any]], Iterator[Any]]
    journal: Journal
    name: str

    def setup(self) -> None:
        progress.sign_on(self.reader.progress_folder)

    def process(
        self, piece: ByteRange, encoded_labels: bytes, image_keys: bytes | None = None
    ) -> Iterable[Any]:
        name = f"{self.name}-{piece.source}-{piece.start}-{piece.stop}"
        outputs = self.journal.load(name)
        if outputs is None:
            rows = self.reader.read(piece, encoded_labels, image_keys)
            outputs = self.journal.save(name, self.partition(rows))
        return outputs


class Rows(NamedTuple):
    """The outputs of `ReadAnnotations`.

    Attributes:
        fragments: of the exchange.
        labels: that no class file names; frozensets.
        failed: `Failed`.
        counts: `SourceCount`.
    """

    fragments: beam.PCollection
    labels: beam.PCollection
    failed: beam.PCollection
    counts: beam.PCollection


@dataclasses.dataclass(eq=False)
class ReadAnnotations(beam.PTransform):
    """Ranges → checked rows, as fragments of the exchange.

    Rows are partitioned by the DoFn that reads them, so that no runner keeps them in between.

    Attributes:
        reader: reads a range.
        partition: turns keyed batches into fragments, such as `FileTransport.partition`.
        journal: of the fragments that were written.
        encoded_labels: the labels that class files name, as of `encode_labels`; one element.
        image_keys: of the images whose rows are wanted, as of `RowFilter`, one; None for all.
        name: of what is read in the journal.
    """

    reader: RangeReader
    partition: Callable[[Iterable[Any]], Iterator[Any]]
    journal: Journal
    encoded_labels: beam.PCollection
    image_keys: beam.PCollection | None = None
    name: str = "range"

    @beam.typehints.no_annotations  # Beam knows no tuples of PCollections
    def expand(self, ranges: beam.PCollection) -> Rows:
        read = ReadRangeFn(self.reader, self.partition, self.journal, self.name)
        inputs = {"encoded_labels": AsSingleton(self.encoded_labels)}
        if self.image_keys is not None:
            inputs["image_keys"] = AsSingleton(self.image_keys)
        parse = beam.ParDo(read, **inputs)
        parse = parse.with_outputs(*Rows._fields[1:], main="fragments")
        outputs = ranges | "SpreadRanges" >> beam.Reshuffle() | "ReadRanges" >> parse
        return Rows(*(outputs[tag] for tag in Rows._fields))
