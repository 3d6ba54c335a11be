"""The plan of a build, and what each step of it is told."""

import dataclasses
from typing import TYPE_CHECKING

from transforms.dataset.elements import Failed, SourceCount
from transforms.examples.options import ExampleOptions, PartOptions
from transforms.releases.publication import Publication
from transforms.work_folder import WorkFolder

if TYPE_CHECKING:  # it imports Beam, which the report of `verify` needn't
    from open_images.building.select_inputs import Steps


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The content of the vocabulary files: that of `classes.json`, its labels as `encode_labels`
    has them, rows, and failures.

    Apart from the plan, since it is large and few steps need it.
    """

    classes: bytes
    labels: bytes
    counts: tuple[SourceCount, ...]
    failed: tuple[Failed, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExamplePlan:
    """How the rows of images come together, and what becomes of them.

    Attributes:
        examples: what they are made of.
        exchange: `files` of the work folder, or the `engine`'s shuffle.
        chunk_size: bytes of a file that are read at once.
        range_size: bytes of rows, about, of one element that is read, some chunks of a file.
        buckets: how many groups of images are joined one by one.
        work: a folder that all workers see.
        steps: how the selection is carried out.
        image_keys: of the images that are listed, sorted uint64 in bytes; None where none are.
    """

    examples: ExampleOptions
    exchange: str
    chunk_size: int
    range_size: int
    buckets: int
    work: WorkFolder
    steps: "Steps"
    image_keys: bytes | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildPlan(ExamplePlan, Publication):
    """How examples become a published version.

    Attributes:
        fingerprint: of inputs and flags, as far as inputs are known before they are read.
        previous: the folder of the version before, if it has the same settings: what hasn't changed
            since is taken over from it.
    """

    fingerprint: str
    previous: str | None

    @property
    def part_options(self) -> PartOptions:
        """How examples are written."""
        return PartOptions(
            self.formats,
            self.shard_size,
            self.num_shards,
            self.buckets,
            self.work.parts,
            self.examples.with_pictures,
            self.examples.map_columns,
            self.object_options,
        )
