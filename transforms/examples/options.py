"""Options of the steps that make and write examples."""

import dataclasses

from transforms.dataset.elements import Source
from transforms.examples.imaging.process import ImageSpec
from transforms.formats.settings import FormatSettings
from transforms.selection.selection import EVERYTHING, Selection
from transforms.sources.limits import HttpOptions
from transforms.storage.stores import ObjectOptions


@dataclasses.dataclass(frozen=True)
class ExampleOptions:
    """Options of making examples.

    Attributes:
        sources: all inputs, by index.
        splits: which to build; None for all.
        image_spec: size, encoding and rotation of the pictures.
        verify_pixels: whether pictures are decoded in full.
        map_columns: of `schema.MAP_COLUMNS`.
        http_options: how pictures are asked for over HTTP.
        object_options: how object stores are reached.
        selection: which images are built, and with which annotations.
        class_order: the MIDs that have an index, from 1; None where all have one.
        verify_voices: whether recordings are decoded in full.
    """

    sources: tuple[Source, ...]
    splits: tuple[str, ...] | None
    image_spec: ImageSpec
    verify_pixels: bool
    map_columns: tuple[str, ...]
    http_options: HttpOptions
    object_options: ObjectOptions
    selection: Selection = EVERYTHING
    class_order: tuple[str, ...] | None = None
    verify_voices: bool = False

    @property
    def with_pictures(self) -> bool:
        """Whether examples carry pictures."""
        return any(source.kind == "pictures" for source in self.sources)

    @property
    def with_voices(self) -> bool:
        """Whether narratives carry recordings."""
        return any(source.kind == "voice_files" for source in self.sources)

    @property
    def needs_class_index(self) -> bool:
        """Whether examples have indices of classes, which depend on the labels of all images."""
        return "semantic_map" in self.map_columns


@dataclasses.dataclass(frozen=True)
class PartOptions:
    """Options of writing examples.

    Attributes:
        formats: names of the output formats.
        shard_size: target size of a shard in bytes.
        num_shards: number of shards of each split; None where `shard_size` decides.
        buckets: number of buckets of the build.
        parts_folder: folder for the parts.
        with_pictures: whether examples carry pictures.
        map_columns: of `schema.MAP_COLUMNS`, those that examples have.
        settings: of all formats.
        object_options: how object stores are reached.
    """

    formats: tuple[str, ...]
    shard_size: int
    num_shards: int | None
    buckets: int
    parts_folder: str
    with_pictures: bool
    map_columns: tuple[str, ...]
    settings: FormatSettings
    object_options: ObjectOptions
