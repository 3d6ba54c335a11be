"""What examples are made of, and what becomes of it."""

import dataclasses

from transforms.dataset.elements import Source
from transforms.examples.imaging.process import ImageSpec
from transforms.sources.limits import HttpOptions
from transforms.storage.stores import ObjectOptions


@dataclasses.dataclass(frozen=True)
class ExampleOptions:
    """What examples are made of, and what becomes of it.

    Attributes:
        sources: all inputs, by index.
        splits: which to build; None for all.
        image_spec: what pictures become.
        verify_pixels: whether pictures are decoded in full.
        map_columns: of `schema.MAP_COLUMNS`.
        http_options: how pictures are asked for over HTTP.
        object_options: how object stores are reached.
    """

    sources: tuple[Source, ...]
    splits: tuple[str, ...] | None
    image_spec: ImageSpec
    verify_pixels: bool
    map_columns: tuple[str, ...]
    http_options: HttpOptions
    object_options: ObjectOptions

    @property
    def with_pictures(self) -> bool:
        """Whether examples carry pictures."""
        return any(source.kind == "pictures" for source in self.sources)

    @property
    def needs_all_labels(self) -> bool:
        """Whether examples depend on labels that occur anywhere: indices of classes do."""
        return "semantic_map" in self.map_columns
