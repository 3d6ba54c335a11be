"""The outcome of a build, which the commit leaves in the work folder for the driver."""

import dataclasses
import json
from typing import Any, Self

from transforms.releases.documents import parse, to_json
from transforms.releases.manifest import Annotations, Count, SourceRows, SourceWarning, Split

#: Its file in the work folder.
OUTCOME = "outcome.json"


@dataclasses.dataclass(frozen=True)
class Loss:
    """A loss beyond a limit, for which nothing is published.

    Attributes:
        source: the path of a source, the masks or recordings of a split, or the images.
        problem: `damaged`, `bad_rows`, `orphans`, `masks_without_pixels`, `recordings_lost` or
            `failed_images`.
        text: one line with the source and the remedy.
        examples: warnings that may name the cause, and the first failures; one line each.
    """

    source: str
    problem: str
    text: str
    examples: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a build.

    Attributes:
        version: the name of the version; None if nothing was published.
        images: number of images of the inputs, in the splits that are built.
        failed_images: how many of them failed.
        failures: rows of failures, by reason.
        examples_of_failures: the first rows.
        sources: the inputs.
        annotations: by column.
        dropped: by format, what of the examples it can't hold, and how many of that.
        warnings: about sources.
        losses: why nothing was published.
        splits: examples and shards.
        taken_over: how many buckets and pictures come from the version before.
        exif_reset: how many pictures had an orientation in their metadata that was reset.
        funnel: how many images there were, by an empty text, and are left after each condition of
            the selection in turn; empty where nothing is selected.
        class_images: how many images show each class of the selection, by its MID.
        class_names: display names of these classes, by MID.
    """

    version: str | None
    images: Count
    failed_images: Count
    failures: dict[str, Count]
    examples_of_failures: tuple[dict[str, Any], ...]
    sources: tuple[SourceRows, ...]
    annotations: dict[str, Annotations]
    dropped: dict[str, dict[str, Count]]
    warnings: tuple[SourceWarning, ...]
    losses: tuple[Loss, ...]
    splits: dict[str, Split]
    taken_over: dict[str, Count]
    exif_reset: Count
    funnel: dict[str, Count]
    class_images: dict[str, Count]
    class_names: dict[str, str]

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads the file's content."""
        return parse(cls, json.loads(data))

    def encode(self) -> bytes:
        """Returns the file's content."""
        return to_json(dataclasses.asdict(self))
