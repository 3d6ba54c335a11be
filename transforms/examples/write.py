"""Makes and writes the examples of a bucket, window by window, so that memory holds one."""

import dataclasses
from collections.abc import Generator, Mapping
from types import MappingProxyType

from transforms import progress
from transforms.dataset.elements import BuiltPart
from transforms.examples.join import Joined
from transforms.examples.make import ExampleMaker
from transforms.examples.options import ExampleOptions, PartOptions
from transforms.examples.part_writer import PartWriter
from transforms.examples.pictures import HELD_BYTES, Finished
from transforms.examples.report import BuiltBucket
from transforms.examples.select import split_table


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
        class_index: Mapping[str, int],
        finished: Mapping[str, Finished] = MappingProxyType({}),
    ) -> Generator[BuiltPart, None, BuiltBucket]:
        """As of `BucketBuilder`; some images of a split may be `finished` already."""
        built = BuiltBucket()
        for split, images in split_table(joined.table):
            account = built.add_split(split)
            writers = [
                PartWriter(self.parts, form, split, bucket, len(images))
                for form in self.parts.formats
            ]
            for window in self._maker.make(images, class_index, finished.get(split)):
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
