"""What a build was asked to do, and the plan made of it: the one object that all steps share."""

import dataclasses
import os

from transforms.dataset.elements import Failed, Notice, Source, SourceCount
from transforms.examples.imaging.process import ImageSpec
from transforms.examples.options import ExampleOptions
from transforms.examples.part_writer import PartOptions
from transforms.sources.limits import HttpOptions
from transforms.storage.objects import is_remote
from transforms.storage.stores import ObjectOptions
from transforms.work_folder import WorkFolder


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """What the vocabulary files say: the content of `classes.json`, its labels as `encode_labels`
    has them, rows, and failures.

    Apart from the config, since it is large and few steps need it.
    """

    classes: bytes
    labels: bytes
    counts: tuple[SourceCount, ...]
    failed: tuple[Failed, ...]


@dataclasses.dataclass(frozen=True)
class BuildConfig:
    """A build.

    Attributes:
        output: the folder, or URI, that versions are published to.
        work: this build's own folder: below a local `output`, so that renames stay within a file
            system; for one in an object store a local folder that all workers see, or a URI below
            `output` where there is none.
        version: the name of the version to publish.
        fingerprint: of inputs and flags, as far as inputs are known before they are read.
        flags: the flags that decide about the output, as recorded in the manifest.
        sources: all inputs, by index.
        release: the dataset's version for readers.
        splits: which to build; None for all.
        formats: of `dataset.naming.FORMATS`.
        with_pictures: whether examples carry pictures.
        map_columns: of `schema.MAP_COLUMNS`.
        verify_pixels: whether pictures are decoded in full.
        image_spec: what pictures are to become.
        http_options: how pictures are asked for over HTTP.
        object_options: how object stores are reached.
        shard_size: bytes a shard is to have, about.
        num_shards: how many shards each split is to have; None where their size decides.
        max_failure_rate: fraction of the images that may fail.
        max_bad_rate: fraction of a table's rows that may be bad, and of a split's masks that may
            lack pixels.
        exchange: of `exchange.FORMS`.
        chunk_size: bytes of a file that are read at once.
        range_size: bytes of rows, about, that the exchange has of what one element stands for, some
            chunks of a file.
        buckets: how many groups of images are joined one by one.
        notices: remarks on the inputs that are no failures.
        basis: what the fingerprint is of, but for the inputs.
        previous: the folder of the version before, if it has the same basis: what hasn't changed
            since is taken over from it.
        lease: the token of the lease on the output without which nothing is to be published; None
            for a build that needs none.
    """

    output: str
    work: str
    version: str
    fingerprint: str
    flags: dict[str, object]
    sources: tuple[Source, ...]
    release: str
    splits: tuple[str, ...] | None
    formats: tuple[str, ...]
    with_pictures: bool
    map_columns: tuple[str, ...]
    verify_pixels: bool
    image_spec: ImageSpec
    http_options: HttpOptions
    object_options: ObjectOptions
    shard_size: int
    num_shards: int | None
    max_failure_rate: float
    max_bad_rate: float
    exchange: str
    chunk_size: int
    range_size: int
    buckets: int
    notices: tuple[Notice, ...]
    basis: str
    previous: str | None
    lease: str | None = None

    @property
    def work_folder(self) -> WorkFolder:
        return WorkFolder(self.work)

    @property
    def exchange_folder(self) -> str:
        return self.work_folder.exchange

    @property
    def parts_folder(self) -> str:
        return self.work_folder.parts

    @property
    def example_options(self) -> ExampleOptions:
        return ExampleOptions(
            self.sources,
            self.splits,
            self.image_spec,
            self.verify_pixels,
            self.map_columns,
            self.http_options,
            self.object_options,
        )

    @property
    def part_options(self) -> PartOptions:
        return PartOptions(
            self.formats,
            self.shard_size,
            self.num_shards,
            self.buckets,
            self.parts_folder,
            self.with_pictures,
            self.map_columns,
            self.object_options,
        )

    @property
    def version_folder(self) -> str:
        """Where the version is put together before it is published.

        In an object store that is its final place, since nothing can be moved there; it isn't
        published before it has a manifest.
        """
        if is_remote(self.output):
            return os.path.join(self.output, "versions", self.version)
        return os.path.join(self.work, "version", self.version)

    @property
    def progress_folder(self) -> str | None:
        """Where workers leave word of how far they are; None where they have no folder for it."""
        return self.work_folder.progress
