"""Makes and writes the examples of a bucket, window by window, so that memory holds one."""

import dataclasses
import math
import os
import uuid
from collections.abc import Generator, Mapping
from types import MappingProxyType

import pyarrow as pa

from transforms import progress
from transforms.dataset.classes import ClassTable
from transforms.dataset.elements import BuiltPart
from transforms.examples.join import Joined
from transforms.examples.make import ExampleMaker
from transforms.examples.options import ExampleOptions, PartOptions
from transforms.examples.pictures import HELD_BYTES, Finished
from transforms.examples.report import BuiltBucket
from transforms.examples.splits import split_table
from transforms.formats.format import Content, ExampleWriter
from transforms.formats.registry import find_format
from transforms.formats.shard_count import parts_at_least
from transforms.kinds.registry import example_columns

#: A rest below this fraction of a shard's size gets no part of its own.
_SMALL_REST = 0.25


@dataclasses.dataclass
class PartBuilder:
    """A `BucketBuilder` that makes all examples and writes them to parts."""

    options: ExampleOptions
    parts: PartOptions
    progress_folder: str | None

    def open(self) -> None:
        window_bytes = min(HELD_BYTES, self.parts.shard_size)
        self._maker = ExampleMaker(self.options, window_bytes, keeps_windows=False)

    def close(self) -> None:
        self._maker.close()

    def build(
        self,
        bucket: int,
        joined: Joined,
        classes: ClassTable,
        finished: Mapping[str, Finished] = MappingProxyType({}),
    ) -> Generator[BuiltPart, None, BuiltBucket]:
        """As of `BucketBuilder`; some images of a split may be `finished` already."""
        built = BuiltBucket()
        columns = example_columns(with_image=self.parts.with_pictures, maps=self.parts.map_columns)
        content = Content(columns, self.parts.settings, classes)
        for split, images in split_table(joined.table):
            account = built.add_split(split)
            writers = [
                PartWriter(self.parts, content, form, split, bucket, len(images), is_shared)
                for form in self.parts.formats
                for is_shared in ([False, True] if find_format(form).shared else [False])
            ]
            for window in self._maker.make(images, classes.index, finished.get(split)):
                account.add(window)
                for writer in writers:
                    writer.write(window.examples, window.failed_images)
                progress.add(
                    self.progress_folder,
                    images=len(window.examples) + window.failed_images,
                    failed=window.failed_images,
                )
                del window  # which would stay until the next one is there
            for writer in writers:
                yield from writer.close()
        return built


class PartWriter:
    """Writes the examples of a bucket and split in one format, in parts of about a shard's size or
    in as many as the split's shards need; or one part of the files that they share."""

    def __init__(
        self,
        options: PartOptions,
        content: Content,
        form: str,
        split: str,
        bucket: int,
        images: int,
        is_shared: bool = False,
    ) -> None:
        """Opens no file yet.

        Args:
            options: how examples are written.
            content: of the examples.
            form: name of the format.
            split: of the examples.
            bucket: number of the bucket.
            images: how many images are to come at most.
            is_shared: whether to write the format's shared files.
        """
        kind = find_format(form)
        self._options = options
        self._content = content
        self._form = form
        self._files = kind.shared if is_shared and kind.shared else kind
        self._shard_size = min(options.shard_size, kind.most_target_bytes)
        self._split = split
        self._bucket = bucket
        self._coming = images
        self._parts_to_come = parts_at_least(images, options.buckets, options.num_shards)
        if is_shared:
            self._shard_size, self._parts_to_come = math.inf, 1
        self._writer: ExampleWriter | None = None
        self._written = 0
        self._parts: list[BuiltPart] = []

    def write(self, examples: pa.Table, failed: int = 0) -> None:
        """Writes the next examples; `failed` further images have none and won't come."""
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
        """Returns how many images the open part is to have to come out at the number of parts."""
        return (self._written + self._coming) // self._parts_to_come

    def _is_large(self, writer: ExampleWriter) -> bool:
        written, shard_size = writer.bytes_written, self._shard_size
        rest = written / self._written * self._coming
        # Rather than that a small rest becomes a shard, the last one is somewhat larger.
        return written >= shard_size and rest >= shard_size * _SMALL_REST

    def close(self) -> list[BuiltPart]:
        """Closes the last part; returns all parts in order."""
        if self._writer:
            self._close_part(self._writer)
        return self._parts

    def _open(self) -> ExampleWriter:
        # The name is unique to the attempt: a retry never touches what another attempt wrote.
        options = self._options
        path = os.path.join(options.parts_folder, uuid.uuid4().hex)
        return self._files.open_part(path, self._content, options.object_options)

    def _close_part(self, writer: ExampleWriter) -> None:
        part = writer.close()
        place = self._form, self._split, self._bucket, len(self._parts)
        self._parts.append(BuiltPart(*place, **part._asdict()))
        self._parts_to_come = max(1, self._parts_to_come - 1)
        self._writer = None
