"""The forecast of a build, which `open_images.plan` returns."""

import dataclasses
from collections.abc import Mapping, Sequence

from transforms.releases.manifest import SourceRows, SourceWarning


@dataclasses.dataclass(frozen=True)
class ClassForecast:
    """A class in the examples of a build.

    Attributes:
        label: its MID.
        name: its display name; None where no class file has one.
        images: how many show it: by a positive image label, a point whose estimate is yes, or
            another annotation.
        annotations: how many are of it, by column, verified negatives and other points too.
        is_selected: whether `classes` asks for it.
    """

    label: str
    name: str | None
    images: int
    annotations: Mapping[str, int]
    is_selected: bool = False


@dataclasses.dataclass(frozen=True)
class PictureForecast:
    """Pictures that a build would get from places of one form.

    Attributes:
        medium: `folder`, `tar`, `zip`, `tar.gz`, `http`, `s3`, `gs`, `original` or `thumbnail`.
        images: how many.
        bytes: of all of them.
        is_estimate: whether that follows from what such pictures have on average.
    """

    medium: str
    images: int
    bytes: int
    is_estimate: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forecast:
    """The forecast of a build, as if no version were there.

    Images and annotations are counted; what shards, the exchange and the build would take is
    estimated.

    Attributes:
        images: examples, by split. Those whose picture turns out to be missing or damaged are among
            them.
        annotations: of examples, by column.
        classes: those that examples have, and all of the selection, which may have no image: with
            most images first.
        pictures: of examples; empty for annotations alone.
        bare_images: of examples, those that no source of pictures has: they would fail.
        failed_images: others that would fail, since their rows contradict each other.
        failures: rows of the failures table that are known by now, by reason.
        funnel: how many images there are, by an empty text, and are left after each condition of
            the selection in turn; empty where nothing is selected.
        sources: the inputs, with what becomes of their rows.
        warnings: about sources.
        shard_bytes: of the shards, by format: an estimate.
        work_bytes: of rows on their way, which are measured, and of archives that have to be
            unpacked: on the disk of the work folder while a build runs, beside the shards.
        build_seconds: for a build with `num_workers`: a rough estimate.
        num_workers: processes.
        seconds: how long the plan took.
        notes: lines that were shown meanwhile.
    """

    images: Mapping[str, int]
    annotations: Mapping[str, int]
    classes: Sequence[ClassForecast]
    pictures: Sequence[PictureForecast]
    bare_images: int
    failed_images: int
    failures: Mapping[str, int]
    funnel: Mapping[str, int]
    sources: Sequence[SourceRows]
    warnings: Sequence[SourceWarning]
    shard_bytes: Mapping[str, int]
    work_bytes: int
    build_seconds: float
    num_workers: int
    seconds: float
    notes: Sequence[str] = ()

    @property
    def num_images(self) -> int:
        """How many examples there would be."""
        return sum(self.images.values())

    @property
    def picture_bytes(self) -> int:
        """The bytes of all pictures."""
        return sum(each.bytes for each in self.pictures)
