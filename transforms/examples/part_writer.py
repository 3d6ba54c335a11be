"""The files that a bucket's examples are written to."""

import os
import uuid

import pyarrow as pa

from transforms.dataset.elements import BuiltPart
from transforms.examples.options import PartOptions
from transforms.formats.format import ExampleWriter
from transforms.formats.registry import find_format
from transforms.formats.shard_count import parts_at_least
from transforms.kinds.registry import example_columns

#: Of a shard's size, what isn't worth a part of its own.
_SMALL_REST = 0.25


class PartWriter:
    """Writes the examples of a bucket and split in one format, in parts of about a shard's size or
    in as many as the split's shards need."""

    def __init__(
        self, config: PartOptions, form: str, split: str, bucket: int, images: int
    ) -> None:
        """At most so many images are to come."""
        self._config = config
        self._form = form
        self._split = split
        self._bucket = bucket
        self._coming = images
        self._parts_to_come = parts_at_least(images, config.buckets, config.num_shards)
        self._writer: ExampleWriter | None = None
        self._written = 0
        self._parts: list[BuiltPart] = []

    def write(self, examples: pa.Table, failed: int = 0) -> None:
        """Writes the next examples; so many other images failed and aren't to come any more."""
        self._coming -= failed
        while len(examples):
            if self._writer is None:
                self._writer = self._open()
                self._written = 0
            some = examples.slice(0, max(1, self._share() - self._written))
            examples = examples.slice(len(some))
            self._writer.write(some)
            self._written += len(some)
            self._coming -= len(some)
            if self._written >= self._share() or self._is_large(self._writer):
                self._close_part(self._writer)

    def _share(self) -> int:
        """How many images the part at hand is to have, so that as many parts come as are wanted."""
        return (self._written + self._coming) // self._parts_to_come

    def _is_large(self, writer: ExampleWriter) -> bool:
        written, shard_size = writer.bytes_written, self._config.shard_size
        rest = written / self._written * self._coming
        # Rather than that a small rest becomes a shard, the last one is somewhat larger.
        return written >= shard_size and rest >= shard_size * _SMALL_REST

    def close(self) -> list[BuiltPart]:
        """Ends the last part; all of them, in order."""
        if self._writer:
            self._close_part(self._writer)
        return self._parts

    def _open(self) -> ExampleWriter:
        # The name is unique to the attempt: a retry never touches what another attempt wrote.
        path = os.path.join(self._config.parts_folder, uuid.uuid4().hex)
        config = self._config
        columns = example_columns(with_image=config.with_pictures, maps=config.map_columns)
        return find_format(self._form).open_part(path, columns, config.object_options)

    def _close_part(self, writer: ExampleWriter) -> None:
        part = writer.close()
        sequence = len(self._parts)
        self._parts.append(BuiltPart(self._form, self._split, self._bucket, sequence, *part))
        self._parts_to_come = max(1, self._parts_to_come - 1)
        self._writer = None
