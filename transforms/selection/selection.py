"""A selection: which images are built, and which annotations their examples carry."""

import dataclasses
from collections.abc import Iterator

from transforms.dataset.keys import ALL_KEYS
from transforms.kinds.kind import Kind
from transforms.kinds.masks import MASKS
from transforms.kinds.registry import ANNOTATIONS
from transforms.selection.conditions import Condition
from transforms.selection.expand import Hierarchy
from transforms.selection.label_types import LABEL_TYPES, LabelType

#: 2^64 by the golden ratio, so that neighbouring seeds begin far from each other.
_SEED_STEP = 0x9E3779B97F4A7C15


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selection:
    """What to build of the inputs.

    Conditions on annotations come first: of what they leave, the classes of an image are found.
    Images are taken in key order, which is that of the shards, from a place that the seed decides
    on; so a larger maximum contains a smaller one.

    Attributes:
        label_types: which annotations examples carry; None for all.
        classes: what an image is to show, None for anything: terms, each of the MIDs of which one
            is enough.
        match: whether an image qualifies by `any` term or has to show `all` of them.
        match_in: the label types among which classes are looked for; None for `label_types`.
        only_matching: whether annotations of other classes are dropped.
        where: conditions that annotations and images have to hold.
        where_images: conditions that no annotation of an image may fail.
        has_image_ids: whether just the images of a list are built.
        sample_fraction: of all images, those that are considered; None for all.
        max_images: how many images are built at most; None for no limit.
        max_per_class: of how many images each class is content; images that no class needs are not
            built. None for no such limit.
        seed: where the order of images begins.
        hierarchy: over which annotations are expanded; None for not at all.
    """

    label_types: tuple[str, ...] | None = None
    classes: tuple[tuple[str, ...], ...] | None = None
    match: str = "any"
    match_in: tuple[str, ...] | None = None
    only_matching: bool = False
    where: tuple[Condition, ...] = ()
    where_images: tuple[Condition, ...] = ()
    has_image_ids: bool = False
    sample_fraction: float | None = None
    max_images: int | None = None
    max_per_class: int | None = None
    seed: int = 0
    hierarchy: Hierarchy | None = None

    @property
    def mids(self) -> tuple[str, ...]:
        """The MIDs of all classes, each once; empty where none are asked for."""
        return tuple(dict.fromkeys(mid for term in self.classes or () for mid in term))

    @property
    def has_quota(self) -> bool:
        """Whether images are taken up to some number, so that all have to be counted first."""
        return self.max_images is not None or self.max_per_class is not None

    @property
    def needs_classes(self) -> bool:
        """Whether the classes that an image shows decide about it."""
        return self.classes is not None or self.max_per_class is not None

    @property
    def chooses_images(self) -> bool:
        """Whether some images may be left out."""
        return (
            self.needs_classes
            or self.has_quota
            or self.has_image_ids
            or self.sample_fraction is not None
            or bool(self.where_images or self.image_conditions)
        )

    @property
    def image_conditions(self) -> tuple[Condition, ...]:
        """The conditions on rows of image tables."""
        conditions = (*self.where, *self.where_images)
        return tuple(each for each in conditions if each.subject == "images")

    @property
    def inspected_types(self) -> frozenset[str]:
        """The label types of which no annotation of an image may fail some condition."""
        return frozenset(each.subject for each in self.where_images) - {"images"}

    @property
    def order_start(self) -> int:
        """The key at which the order of images begins; it goes on from 0 after the last key."""
        return self.seed * _SEED_STEP % ALL_KEYS

    @property
    def sample_size(self) -> int:
        """How many of the 2^64 keys from `order_start` on are of images that are considered."""
        return int((1.0 if self.sample_fraction is None else self.sample_fraction) * ALL_KEYS)

    def carries(self, label_type: str) -> bool:
        """Whether examples carry annotations of a type."""
        return self.label_types is None or label_type in self.label_types

    @property
    def matched_types(self) -> tuple[LabelType, ...]:
        """The label types among which classes are looked for."""
        names = self.match_in or self.label_types or tuple(LABEL_TYPES)
        types = [LABEL_TYPES[name] for name in names]
        return tuple(each for each in types if each.kind.labels)

    @property
    def deciding_types(self) -> frozenset[str]:
        """The label types whose rows decide about images."""
        matched = self.matched_types if self.needs_classes else ()
        return self.inspected_types | {each.name for each in matched}

    @property
    def carried_columns(self) -> frozenset[str]:
        """The columns of annotations that examples carry."""
        types = LABEL_TYPES.values()
        return frozenset(each.column for each in types if self.carries(each.name))

    def with_masks_alone(self) -> "Selection":
        """Returns a selection of the same images, of whose annotations it carries just masks."""
        masks = [name for name, each in LABEL_TYPES.items() if each.kind is MASKS]
        return dataclasses.replace(
            self,
            label_types=tuple(name for name in masks if self.carries(name)),
            match_in=self.match_in or self.label_types or tuple(LABEL_TYPES),
            hierarchy=None,
        )

    def reads(self, kind: Kind, path: str) -> bool:
        """Whether a table has rows that are carried or decide."""
        if kind.column not in ANNOTATIONS:
            return True
        return any(
            self.carries(each.name) or each.name in self.deciding_types
            for each in self._types_in(kind, path)
        )

    @property
    def images_decide(self) -> bool:
        """Whether image tables decide: by conditions, or because all images have to be known."""
        return bool(self.image_conditions) or self.has_quota or not self.needs_classes

    def decides(self, kind: Kind, path: str) -> bool:
        """Whether a table has rows that decide about images."""
        if kind.column not in ANNOTATIONS:
            return self.images_decide
        return any(each.name in self.deciding_types for each in self._types_in(kind, path))

    def _types_in(self, kind: Kind, path: str) -> Iterator[LabelType]:
        """Yields the label types of which a table may hold rows."""
        types = LABEL_TYPES.values()
        return (each for each in types if each.kind is kind and each.may_hold(path))


#: Everything, as it is.
EVERYTHING = Selection()
