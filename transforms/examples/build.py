"""BuildBucket: the fragments of a bucket → joined, completed, encoded and written examples."""

import os
import uuid
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms import metrics, progress
from transforms.config import BuildConfig
from transforms.dataset import failures
from transforms.dataset.classes import class_index, decode_labels
from transforms.dataset.elements import BucketCount, BuiltPart, Failed
from transforms.dataset.failures import Failure, Stage
from transforms.dataset.schema import EXAMPLE, count_annotations
from transforms.examples.imaging.annotations import turn_annotations
from transforms.examples.join import Joined, join
from transforms.examples.masks.rasterise import Raster, draw_maps, rasterise_masks
from transforms.examples.part_writer import PartWriter
from transforms.exchange.batches import BucketBatches
from transforms.journal import Journal
from transforms.reuse import recording
from transforms.reuse.bucket import SplitLineage, digest_bucket
from transforms.reuse.kept import Kept
from transforms.reuse.previous import Previous
from transforms.sources.buffer import PictureBuffer
from transforms.sources.fetch import HELD_BYTES, Fetched, fetch_pictures
from transforms.sources.members import MemberReader, archive_stamps
from transforms.sources.sources import open_sources

#: Images that are written together where they have no pictures.
PIECE_IMAGES = 16_384
_MAX_MASK_BYTES = 64 << 20


def _by_split(joined: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The slice of each split."""
    start = 0
    for count in pc.value_counts(joined["split"]).to_pylist():
        yield count["values"], joined.slice(start, count["counts"])
        start += count["counts"]


class _BuiltSplit(NamedTuple):
    """What was built of a bucket and split.

    Attributes:
        split: its name.
        annotations: how many annotations were written, by column.
        failed: failures of images and of single masks.
        failed_images: how many images failed.
        pictures: how many pictures are those of the version before.
        exif_reset: how many other pictures had an orientation that was set to 1.
    """

    split: str
    annotations: Counter[str]
    failed: Sequence[Failure] = ()
    failed_images: int = 0
    pictures: int = 0
    exif_reset: int = 0

    @property
    def masks(self) -> tuple[str, int, int]:
        """The split, how many masks were written, and how many of them lack pixels."""
        lacking = sum(failure.stage == Stage.MASK for failure in self.failed)
        return self.split, self.annotations["masks"], lacking


def _count(
    bucket: int,
    joined: Joined,
    built: Sequence[_BuiltSplit],
    digest: str | None,
    taken_over: bool = False,
) -> BucketCount:
    """The account of a bucket that was joined and built."""
    written = sum((split.annotations for split in built), Counter())
    joined_annotations = count_annotations(joined.table)
    left_out = [
        (name, joined.left_out.get(name, 0) + count - written[name])
        for name, count in joined_annotations.items()
    ]
    return BucketCount(
        bucket,
        joined.images,
        joined.failures.num_rows + sum(split.failed_images for split in built),
        rows=tuple(joined.rows.items()),
        orphans=tuple(joined.orphans.items()),
        digest=digest,
        taken_over=taken_over,
        pictures=sum(split.pictures for split in built),
        repeats=tuple(joined.repeats.items()),
        written=tuple((name, written[name]) for name in joined_annotations),
        left_out=tuple(left_out),
        masks=tuple(split.masks for split in built),
        exif_reset=sum(split.exif_reset for split in built),
    )


class BuildBucketFn(beam.DoFn):
    """Builds the examples of a bucket."""

    def __init__(self, config: BuildConfig) -> None:
        self._config = config

    def setup(self) -> None:
        config = self._config
        progress.sign_on(config.progress_folder)
        self._buffer = PictureBuffer(min(HELD_BYTES, config.shard_size))
        self._picture_sources = open_sources(
            config.sources, config.http_options, config.object_options, self._buffer
        )
        self._journal = Journal(config.work_folder)
        self._mask_reader = MemberReader(
            _MAX_MASK_BYTES,
            options=config.object_options,
            stamps=archive_stamps(config.sources),
        )
        self._previous = None
        if config.previous:
            options = config.object_options
            self._previous = Previous.open(config.previous, config.parts_folder, options)

    def teardown(self) -> None:
        for source in self._picture_sources:
            source.close()
        self._mask_reader.close()

    def process(
        self,
        element: tuple[int, BucketBatches],
        known: bytes,
        labels: Sequence[frozenset] = (),
    ) -> Iterable[Any]:
        bucket, batches = element
        name = f"bucket-{bucket}"
        outputs = self._journal.load(name)
        if outputs is None:
            outputs = self._journal.save(name, self._build(bucket, batches, known, labels))
        return outputs

    def _build(
        self,
        bucket: int,
        batches: BucketBatches,
        known: bytes,
        labels: Sequence[frozenset],
    ) -> Iterator[Any]:
        config = self._config
        joined = join(batches, config.sources, config.splits, decode_labels(known))
        splits = [
            (split, images, SplitLineage(images, config))
            for split, images in _by_split(joined.table)
        ]
        index: dict[str, int] = {}
        if "semantic_map" in config.map_columns:
            index = class_index(decode_labels(known).to_pylist(), frozenset().union(*labels))
        numbers = repr(sorted(index.items())).encode()
        digest = digest_bucket(joined.table, [of_split for *_, of_split in splits], [numbers])
        built: list[_BuiltSplit] = []
        taken = self._take_over(bucket, digest, len(joined.table))
        if taken:
            for split, images, lineage in splits:
                taken.append(self._record(lineage.rows, split, bucket))
                pictures = len(images) if config.with_pictures else 0
                built.append(_BuiltSplit(split, count_annotations(images), pictures=pictures))
            yield from taken
            yield from self._reports(joined, [], _count(bucket, joined, built, digest, True))
            return
        for split, images, lineage in splits:
            built.append((yield from self._build_split(bucket, split, images, lineage, index)))
        found = [failure for split in built for failure in split.failed]
        count = _count(bucket, joined, built, None if found else digest)
        yield from self._reports(joined, found, count)

    def _build_split(
        self,
        bucket: int,
        split: str,
        images: pa.Table,
        lineage: SplitLineage,
        index: Mapping[str, int],
    ) -> Generator[BuiltPart, None, _BuiltSplit]:
        """Writes and yields the parts of a split; returns what was built."""
        config = self._config
        kept = self._keep(split, lineage)
        writers = [PartWriter(config, form, split, bucket, len(images)) for form in config.formats]
        annotations: Counter[str] = Counter()
        found: list[Failure] = []
        failed_images = exif_reset = 0
        for piece in self._pieces(images, kept):
            examples, failed = self._complete(piece, index, lineage, kept)
            found += failed
            annotations += count_annotations(examples)
            failed_images += len(piece.failures)
            exif_reset += piece.exif_reset
            lineage.add(examples["image_id"], (failure.image_id for failure in failed))
            metrics.IMAGES.inc(len(examples))
            for writer in writers:
                writer.write(examples, len(piece.failures))
            progress.add(
                config.progress_folder,
                images=len(examples) + len(piece.failures),
                failed=len(piece.failures),
            )
            del piece, examples  # which would stay until the next ones are there
        parts = [part for writer in writers for part in writer.close()]
        rows = lineage.written()
        if len(rows):
            parts.append(self._record(rows, split, bucket))
        yield from parts
        pictures = int(kept.pictures.sum()) if kept and config.with_pictures else 0
        return _BuiltSplit(split, annotations, found, failed_images, pictures, exif_reset)

    def _take_over(self, bucket: int, digest: str, images: int) -> list[BuiltPart] | None:
        """The parts of a bucket whose input is that of the version before."""
        if not self._previous or not images:
            return None
        config = self._config
        taken = self._previous.bucket(bucket, config.buckets, digest, images, config.formats)
        if taken:
            metrics.IMAGES.inc(images)
            progress.add(config.progress_folder, images=images)
        return taken

    def _keep(self, split: str, lineage: SplitLineage) -> Kept | None:
        """Pictures and masks of the version before, of images of which they haven't changed."""
        if not self._previous:
            return None
        match = self._previous.match(split, lineage.rows)
        return Kept(match, self._config.object_options) if match else None

    def _record(self, rows: np.ndarray, split: str, bucket: int) -> BuiltPart:
        config = self._config
        path = os.path.join(config.parts_folder, uuid.uuid4().hex)
        return recording.write_rows(rows, path, split, bucket, config.object_options)

    def _reports(self, joined: Joined, found: list[Failure], count: BucketCount) -> Iterator[Any]:
        failed = pa.concat_tables([joined.failures, failures.to_table(found)])
        metrics.FAILURES.inc(len(failed))
        if len(failed):
            report = Failed(len(self._config.sources), count.bucket, failures.pack(failed))
            yield beam.pvalue.TaggedOutput("failed", report)
        yield beam.pvalue.TaggedOutput("counts", count)
        progress.add(self._config.progress_folder, buckets=1, failed=joined.failures.num_rows)

    def _pieces(self, images: pa.Table, kept: Kept | None) -> Iterator[Fetched]:
        """Consecutive pieces of images, with their pictures where these are wanted."""
        config = self._config
        if config.with_pictures:
            for piece in fetch_pictures(
                images,
                self._picture_sources,
                config.verify_pixels,
                config.image_spec,
                self._buffer.capacity,
                self._buffer,
                kept,
            ):
                sizes = pc.binary_length(piece.columns["image"].field("bytes")).to_pylist()
                metrics.add_pictures(sizes, piece.fetch_seconds, piece.decode_seconds)
                yield piece
                del piece  # which would stay until the next one is there
            return
        for start in range(0, len(images), PIECE_IMAGES):
            yield Fetched(images.slice(start, PIECE_IMAGES), {}, [])

    def _complete(
        self,
        piece: Fetched,
        class_index: Mapping[str, int],
        lineage: SplitLineage,
        kept: Kept | None,
    ) -> tuple[pa.Table, list[Failure]]:
        """Examples of a piece's images; failures of images left out and of single masks."""
        config = self._config
        images, columns = piece.images, dict(piece.columns)
        columns["published_rotation"] = images["rotation"]
        sizes: Sequence[tuple[int, int] | None] = [None] * len(images)
        if config.with_pictures:
            sizes = list(
                zip(columns["width"].to_pylist(), columns["height"].to_pylist(), strict=True)
            )
        rotations: Sequence[int | None] = [None] * len(images)
        if config.image_spec.apply_rotation:
            rotations = images["rotation"].to_pylist()
            images = turn_annotations(images, images["rotation"])
            # Nothing is left to turn, but where it is unknown: there it stays null.
            columns["rotation"] = pc.multiply(images["rotation"], pa.scalar(0, pa.int16()))
        rasters: Sequence[Sequence[Raster] | None] = [None] * len(images)
        if kept:
            rasters = kept.read_rasters(lineage.places(images["image_id"]))
        columns["masks"], failed = rasterise_masks(
            images, sizes, rotations, self._mask_reader, rasters, config.sources
        )
        if config.map_columns:
            image_ids = images["image_id"].to_pylist()
            columns |= draw_maps(
                image_ids, columns["masks"], sizes, class_index, config.map_columns
            )
        arrays = [
            columns[field.name]
            if field.name in columns
            else images[field.name]
            if field.name in images.column_names
            else pa.nulls(len(images), field.type)
            for field in EXAMPLE
        ]
        # The types are those of `EXAMPLE`, but for texts that come as dictionaries.
        fields = [field.with_type(array.type) for field, array in zip(EXAMPLE, arrays, strict=True)]
        schema = pa.schema(fields, EXAMPLE.metadata)
        return pa.Table.from_arrays(arrays, schema=schema), piece.failures + failed


class BuildBucket(beam.PTransform):
    """Batches by bucket → files of examples.

    Outputs, by tag: `parts` (`BuiltPart`), failures (`failed`) and counts (`counts`,
    `BucketCount`).
    """

    def __init__(
        self,
        config: BuildConfig,
        known: beam.PCollection,
        labels: beam.PCollection,
    ) -> None:
        super().__init__()
        self._config = config
        self._known = known
        self._labels = labels

    def expand(self, grouped: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        # Class indices depend on labels that occur anywhere, so semantic maps wait for all of
        # reading.
        side = {"known": beam.pvalue.AsSingleton(self._known)}
        if "semantic_map" in self._config.map_columns:
            side["labels"] = beam.pvalue.AsList(self._labels)
        return grouped | beam.ParDo(BuildBucketFn(self._config), **side).with_outputs(
            "failed", "counts", main="parts"
        )
