"""The files that a bucket's examples are written to."""

import os
import uuid

import pyarrow as pa

from transforms.config import BuildConfig
from transforms.elements import BuiltPart
from transforms.examples import features
from transforms.outputs.parquet import ParquetWriter
from transforms.outputs.tfrecord import TFRecordWriter

#: Of a shard's size, what isn't worth a part of its own.
_SMALL_REST = 0.25


class PartWriter:
    """Writes the examples of a bucket and split in one format, in parts of about a shard's size."""

    def __init__(
        self, config: BuildConfig, form: str, split: str, bucket: int, images: int
    ) -> None:
        """At most so many images are to come."""
        self._config = config
        self._form = form
        self._split = split
        self._bucket = bucket
        self._coming = images
        self._writer: ParquetWriter | TFRecordWriter | None = None
        self._parts: list[BuiltPart] = []

    def write(self, examples: pa.Table) -> None:
        """Writes the next examples."""
        if self._writer is None:
            self._writer = self._open()
            self._written = 0
        self._writer.write(examples)
        self._written += len(examples)
        self._coming -= len(examples)
        written, shard_size = self._writer.bytes_written, self._config.shard_size
        rest = written / self._written * self._coming
        # Rather than that a small rest becomes a shard, the last one is somewhat larger.
        if written >= shard_size and rest >= shard_size * _SMALL_REST:
            self._close_part(self._writer)

    def close(self) -> list[BuiltPart]:
        """Ends the last part; all of them, in order."""
        if self._writer:
            self._close_part(self._writer)
        return self._parts

    def _open(self) -> ParquetWriter | TFRecordWriter:
        # The name is unique to the attempt: a retry never touches what another attempt wrote.
        path = os.path.join(self._config.parts_folder, uuid.uuid4().hex)
        if self._form == "parquet":
            return ParquetWriter(path, options=self._config.object_options)
        config = self._config
        columns = features.columns(with_image=config.with_pictures, maps=config.map_columns)
        return TFRecordWriter(path, columns, config.object_options)

    def _close_part(self, writer: ParquetWriter | TFRecordWriter) -> None:
        part = writer.close()
        sequence = len(self._parts)
        self._parts.append(BuiltPart(self._form, self._split, self._bucket, sequence, *part))
        self._writer = None
