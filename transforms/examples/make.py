"""Makes examples of joined images, window by window."""

from collections.abc import Generator, Iterator, Mapping
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from transforms import metrics
from transforms.dataset.classes import ClassTable
from transforms.examples.complete import Window, complete_examples
from transforms.examples.join import Joined
from transforms.examples.options import ExampleOptions
from transforms.examples.pictures import HELD_BYTES, Fetched, Finished, fetch_pictures
from transforms.examples.report import BuiltBucket
from transforms.examples.splits import split_table
from transforms.examples.voices.read import VoiceReader
from transforms.kinds.registry import EXAMPLE
from transforms.sources.buffer import PictureBuffer
from transforms.sources.members import MemberReader
from transforms.sources.sources import open_sources

#: Images of a window where they have no pictures.
WINDOW_IMAGES = 16_384
_MAX_MASK_BYTES = 64 << 20


class ExampleMaker:
    """Makes the examples of joined images: reads their pictures, masks and recordings.

    Memory is bounded by a window: pictures of `window_bytes`, or `WINDOW_IMAGES` images, and
    recordings of `window_bytes`.
    """

    def __init__(
        self, options: ExampleOptions, window_bytes: int = HELD_BYTES, keeps_windows: bool = True
    ) -> None:
        """Opens all sources.

        Args:
            options: what examples are made of.
            window_bytes: processed pictures of a window, and recordings; a larger one is alone.
            keeps_windows: whether a window's pictures stay valid when the next one is asked for.
        """
        self._options = options
        self._buffer = PictureBuffer(window_bytes, is_recycled=not keeps_windows)
        self._pictures = open_sources(
            options.sources, options.http_options, options.object_options, self._buffer
        )
        self._masks = MemberReader(_MAX_MASK_BYTES, options.object_options, options.sources)
        self._voices = VoiceReader(options, window_bytes)

    def close(self) -> None:
        """Closes all sources."""
        for source in self._pictures:
            source.close()
        self._masks.close()
        self._voices.close()

    def make(
        self,
        images: pa.Table,
        class_index: Mapping[str, int],
        finished: Finished | None = None,
    ) -> Iterator[Window]:
        """Yields windows of examples, in the order of the images.

        Args:
            images: rows of `join.Joined.table`, of one split.
            class_index: MID to class index, for semantic maps.
            finished: pictures and masks that are finished already, of some of these images.
        """
        for fetched in self._fetch(images, finished):
            voiced = self._voices.read(fetched)
            del fetched  # which would stay until the next ones are there, as these would
            for some in voiced:
                window = complete_examples(some, self._options, self._masks, class_index, finished)
                del some
                yield window
                del window

    def _fetch(self, images: pa.Table, finished: Finished | None) -> Iterator[Fetched]:
        """Yields consecutive images, with their pictures where these are wanted."""
        options = self._options
        if not options.with_pictures:
            for start in range(0, len(images), WINDOW_IMAGES):
                yield Fetched(images.slice(start, WINDOW_IMAGES), {}, [])
            return
        for fetched in fetch_pictures(
            images,
            self._pictures,
            options.verify_pixels,
            options.image_spec,
            self._buffer.capacity,
            self._buffer,
            finished,
        ):
            sizes = pc.binary_length(fetched.columns["image"].field("bytes")).to_pylist()
            metrics.add_pictures(sizes, fetched.fetch_seconds, fetched.decode_seconds)
            yield fetched
            del fetched  # which would stay until the next one is there


class BucketBuilder(Protocol):
    """Makes the outputs of a step of the joined images of a bucket."""

    def open(self) -> None:
        """Opens the sources; called once in each worker, before `build`."""

    def close(self) -> None:
        """Closes the sources."""

    def build(
        self, bucket: int, joined: Joined, classes: ClassTable
    ) -> Generator[Any, None, BuiltBucket]:
        """Yields the outputs of a bucket, such as parts or batches; returns its account.

        Args:
            bucket: its number.
            joined: its images.
            classes: of the dataset; none where nothing depends on them.
        """


class BatchBuilder:
    """A `BucketBuilder` that yields examples as record batches."""

    def __init__(self, options: ExampleOptions) -> None:
        self._options = options

    def open(self) -> None:
        self._maker = ExampleMaker(self._options)

    def close(self) -> None:
        self._maker.close()

    def build(
        self, bucket: int, joined: Joined, classes: ClassTable
    ) -> Generator[Any, None, BuiltBucket]:
        built = BuiltBucket()
        for split, images in split_table(joined.table):
            account = built.add_split(split)
            for window in self._maker.make(images, classes.index):
                account.add(window)
                # Of one batch, or of none where there are no examples.
                yield from window.examples.cast(EXAMPLE).combine_chunks().to_batches()
        return built
