"""Makes and writes the examples of a bucket, window by window, so that memory holds one."""

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


class PartBuilder:
    """A `BucketBuilder` that makes all examples and writes them to parts."""

    def __init__(
        self, options: ExampleOptions, parts: PartOptions, progress_folder: str | None
    ) -> None:
        self._options = options
        self._parts = parts
        self._progress_folder = progress_folder

    def open(self) -> None:
        window_bytes = min(HELD_BYTES, self._parts.shard_size)
        self._maker = ExampleMaker(self._options, window_bytes, keeps_windows=False)

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
                PartWriter(self._parts, form, split, bucket, len(images))
                for form in self._parts.formats
            ]
            for window in self._maker.make(images, class_index, finished.get(split)):
                account.add(window)
                for writer in writers:
                    writer.write(window.examples, window.failed_images)
                progress.add(
                    self._progress_folder,
                    images=len(window.examples) + window.failed_images,
                    failed=window.failed_images,
                )
                del window  # which would stay until the next one is there
            for writer in writers:
                yield from writer.close()
        return built
