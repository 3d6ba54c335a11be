"""BuildBucket: the fragments of a bucket → joined, completed, encoded and written examples."""

import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms import elements, failures, progress
from transforms.config import BuildConfig
from transforms.elements import BucketCount, BuiltPart, Failed
from transforms.examples import features
from transforms.examples.schema import EXAMPLE
from transforms.exchange.exchange import load_fragments
from transforms.failures import Failure
from transforms.imaging.annotations import turn_annotations
from transforms.joining.join import Joined, join
from transforms.masks.rasterise import draw_maps, rasterise_masks
from transforms.outputs.classes import class_index, complete_classes
from transforms.outputs.parquet import ParquetWriter
from transforms.outputs.tfrecord import TFRecordWriter
from transforms.pixels.fetch import fetch_pictures
from transforms.pixels.members import MemberReader
from transforms.pixels.sources import open_sources

#: Pictures that are in memory together, in bytes as stored; a larger picture is alone.
WINDOW_BYTES = 64 << 20
WINDOW_IMAGES = 16_384
#: What a picture has, about, whose size isn't known before it has been fetched.
UNLISTED_BYTES = 256 << 10
_MAX_MASK_BYTES = 64 << 20


def windows(joined: pa.Table, window_bytes: int, unlisted_bytes: int) -> Iterator[pa.Table]:
    """Cuts joined images into consecutive pieces whose pictures fit in memory together.

    Args:
        joined: the images of a split.
        window_bytes: of pictures in a piece, unless a single one is larger.
        unlisted_bytes: what a picture is taken for that no listed source has.
    """
    sizes = _picture_sizes(joined, unlisted_bytes)
    start = 0
    while start < len(joined):
        ahead = np.cumsum(sizes[start : start + WINDOW_IMAGES])
        stop = start + max(1, int(np.searchsorted(ahead, window_bytes, side="right")))
        yield joined.slice(start, stop - start)
        start = stop


def _picture_sizes(joined: pa.Table, unlisted_bytes: int) -> np.ndarray:
    """Bytes of each image's first picture, (n,) int64."""
    pictures = joined["pictures"].combine_chunks()
    sizes = np.full(len(joined), unlisted_bytes)
    if len(pictures.values):
        lengths = pictures.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        firsts = (np.cumsum(lengths) - lengths)[lengths > 0]
        sizes[lengths > 0] = pictures.flatten().field("size").to_numpy()[firsts]
    return sizes


def index_classes(classes: bytes, labels: Iterable[frozenset[str]]) -> dict[str, int]:
    """MID to class index from 1: of the classes of `classes.json`, then of other labels seen."""
    return class_index(complete_classes(json.loads(classes), frozenset().union(*labels)))


def _by_split(joined: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The slice of each split."""
    start = 0
    for count in pc.value_counts(joined["split"]).to_pylist():
        yield count["values"], joined.slice(start, count["counts"])
        start += count["counts"]


class _PartWriter:
    """Writes the examples of a bucket and split in one format, in parts of about a shard's size."""

    def __init__(self, config: BuildConfig, form: str, split: str, bucket: int) -> None:
        self._config = config
        self._form = form
        self._split = split
        self._bucket = bucket
        self._writer: ParquetWriter | TFRecordWriter | None = None
        self._parts: list[BuiltPart] = []

    def write(self, examples: pa.Table) -> None:
        if self._writer is None:
            self._writer = self._open()
        self._writer.write(examples)
        if self._writer.bytes_written >= self._config.shard_size:
            self._close_part(self._writer)

    def close(self) -> list[BuiltPart]:
        if self._writer:
            self._close_part(self._writer)
        return self._parts

    def _open(self) -> ParquetWriter | TFRecordWriter:
        # The name is unique to the attempt: a retry never touches what another attempt wrote.
        path = os.path.join(self._config.parts_folder, uuid.uuid4().hex)
        if self._form == "parquet":
            return ParquetWriter(path)
        config = self._config
        columns = features.columns(with_image=config.with_pictures, maps=config.map_columns)
        return TFRecordWriter(path, columns)

    def _close_part(self, writer: ParquetWriter | TFRecordWriter) -> None:
        part = writer.close()
        sequence = len(self._parts)
        self._parts.append(BuiltPart(self._form, self._split, self._bucket, sequence, *part))
        self._writer = None


class BuildBucketFn(beam.DoFn):
    """Builds the examples of a bucket."""

    def __init__(self, config: BuildConfig) -> None:
        self._config = config

    def setup(self) -> None:
        self._picture_sources = open_sources(self._config)
        self._mask_reader = MemberReader(_MAX_MASK_BYTES)

    def teardown(self) -> None:
        for source in self._picture_sources:
            source.close()
        self._mask_reader.close()

    def process(
        self,
        element: tuple[int, Iterable],
        classes: bytes = b"[]",
        labels: Sequence[frozenset] = (),
    ) -> Iterator[Any]:
        bucket, fragments = element
        config = self._config
        joined = join(load_fragments(fragments), config.sources, config.splits)
        index = index_classes(classes, labels) if config.map_columns else {}
        found: list[Failure] = []
        missing = 0
        unlisted = UNLISTED_BYTES if config.asks_by_name else 0
        for split, images in _by_split(joined.table):
            writers = [_PartWriter(config, form, split, bucket) for form in config.formats]
            for window in windows(images, min(WINDOW_BYTES, config.shard_size), unlisted):
                examples, failed = self._complete(window, index)
                found += failed
                missing += len(window) - len(examples)
                for writer in writers if len(examples) else ():
                    writer.write(examples)
                progress.add(
                    config.progress_folder,
                    images=len(window),
                    failed=len(window) - len(examples),
                )
            for writer in writers:
                yield from writer.close()
        yield from self._reports(bucket, joined, found, missing)

    def _reports(
        self, bucket: int, joined: Joined, found: list[Failure], missing: int
    ) -> Iterator[Any]:
        failed = pa.concat_tables([joined.failures, failures.to_table(found)])
        if len(failed):
            report = Failed(len(self._config.sources), bucket, elements.to_ipc(failed))
            yield beam.pvalue.TaggedOutput("failed", report)
        missing += joined.failures.num_rows
        rows, orphans = tuple(joined.rows.items()), tuple(joined.orphans.items())
        count = BucketCount(bucket, joined.images, missing, rows, orphans)
        yield beam.pvalue.TaggedOutput("counts", count)
        progress.add(self._config.progress_folder, buckets=1, failed=joined.failures.num_rows)

    def _complete(
        self, window: pa.Table, class_index: Mapping[str, int]
    ) -> tuple[pa.Table, list[Failure]]:
        """Examples of a window's images; failures of images left out and of single masks."""
        config = self._config
        columns: dict[str, pa.Array] = {}
        found: list[Failure] = []
        sizes: Sequence[tuple[int, int] | None] = [None] * len(window)
        if config.with_pictures:
            window, columns, found = fetch_pictures(
                window, self._picture_sources, config.verify_pixels, config.image_spec
            )
            sizes = list(
                zip(columns["width"].to_pylist(), columns["height"].to_pylist(), strict=True)
            )
        rotations: Sequence[int | None] = [None] * len(window)
        if config.image_spec.apply_rotation:
            rotations = window["rotation"].to_pylist()
            window = turn_annotations(window, window["rotation"])
        columns["masks"], failed = rasterise_masks(window, sizes, rotations, self._mask_reader)
        if config.map_columns:
            image_ids = window["image_id"].to_pylist()
            columns |= draw_maps(
                image_ids, columns["masks"], sizes, class_index, config.map_columns
            )
        arrays = [
            columns[field.name]
            if field.name in columns
            else window[field.name]
            if field.name in window.column_names
            else pa.nulls(len(window), field.type)
            for field in EXAMPLE
        ]
        return pa.Table.from_arrays(arrays, schema=EXAMPLE), found + failed


class BuildBucket(beam.PTransform):
    """Grouped fragments → files of examples.

    Outputs, by tag: `parts` (`BuiltPart`), failures (`failed`) and counts (`counts`,
    `BucketCount`).
    """

    def __init__(
        self, config: BuildConfig, classes: beam.PCollection, labels: beam.PCollection
    ) -> None:
        super().__init__()
        self._config = config
        self._classes = classes
        self._labels = labels

    def expand(self, grouped: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        # Class indices depend on labels that occur anywhere, so semantic maps wait for all of
        # reading.
        side = {}
        if "semantic_map" in self._config.map_columns:
            side["classes"] = beam.pvalue.AsSingleton(self._classes)
            side["labels"] = beam.pvalue.AsList(self._labels)
        return grouped | beam.ParDo(BuildBucketFn(self._config), **side).with_outputs(
            "failed", "counts", main="parts"
        )
