"""The plan of a build, and the options of its steps."""

import dataclasses
from typing import TYPE_CHECKING

from transforms.dataset.elements import Failed, SourceCount
from transforms.examples.options import ExampleOptions, PartOptions
from transforms.formats.registry import find_format
from transforms.releases.publication import Publication
from transforms.work_folder import WorkFolder

if TYPE_CHECKING:  # it imports Beam, which the report of `verify` needn't
    from open_images.building.select_inputs import Steps


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The content of the vocabulary files; apart from the plan, since few steps need so much.

    Attributes:
        classes: the content of `classes.json`.
        labels: its labels, as of `encode_labels`.
        counts: rows of each file.
        failed: failures of rows.
    """

    classes: bytes
    labels: bytes
    counts: tuple[SourceCount, ...]
    failed: tuple[Failed, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExamplePlan:
    """The plan of a flow that makes examples.

    Attributes:
        examples: options of making examples.
        exchange: `files` of the work folder, or the `engine`'s shuffle.
        chunk_size: bytes of a file that are read and parsed at once.
        range_size: bytes of rows of one range, about; a multiple of chunks.
        buckets: number of buckets.
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
    """The plan of a build, from inputs to a published version.

    Attributes:
        fingerprint: of inputs and flags, as far as inputs are known before they are read.
        previous: the folder of the version before, if it has the same settings: what hasn't changed
            since is taken over from it.
    """

    fingerprint: str
    previous: str | None

    @property
    def need_classes(self) -> bool:
        """Whether examples or formats depend on the dataset's classes."""
        formats = map(find_format, self.formats)
        return self.examples.needs_class_index or any(each.needs_classes for each in formats)

    @property
    def part_options(self) -> PartOptions:
        """Options of writing examples."""
        return PartOptions(
            self.formats,
            self.shard_size,
            self.num_shards,
            self.buckets,
            self.work.parts,
            self.examples.with_pictures,
            self.examples.map_columns,
            self.settings,
            self.object_options,
        )
