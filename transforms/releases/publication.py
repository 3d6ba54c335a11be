"""Options of publishing a version: its output, its name, and the limits on losses."""

import dataclasses
import os

from transforms.dataset.elements import Notice
from transforms.dataset.naming import SPLITS
from transforms.examples.options import ExampleOptions
from transforms.formats.settings import FormatSettings
from transforms.storage.objects import is_remote
from transforms.storage.stores import ObjectOptions
from transforms.work_folder import WorkFolder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Publication:
    """Options of publishing a version.

    Attributes:
        output: the folder, or URI, that versions are published to.
        version: the name of the version.
        formats: names of the output formats.
        settings: of all formats.
        shard_size: target size of a shard in bytes.
        num_shards: number of shards of each split; None where `shard_size` decides.
        examples: options of making examples.
        max_failure_rate: fraction of the images that may fail, or else nothing is published.
        max_bad_rate: likewise, of a table's rows that may be bad, and of a split's masks that may
            lack pixels.
        buckets: number of buckets.
        flags: the flags that decide about the output, as recorded in the manifest.
        settings_fingerprint: of all that decides about the output but the inputs.
        selection: what was selected, as recorded in the manifest; None where everything was.
        class_names: display names of the classes of the selection, by MID.
        image_keys: of the images that are listed, sorted uint64 in bytes; None where none are.
        notices: remarks on the inputs that are no failures.
        work: the build's own folder.
        lease: the token of the lease on the output without which nothing is to be published; None
            for a build that needs none.
    """

    output: str
    version: str
    formats: tuple[str, ...]
    settings: FormatSettings
    shard_size: int
    num_shards: int | None
    examples: ExampleOptions
    max_failure_rate: float
    max_bad_rate: float
    buckets: int
    flags: dict[str, object]
    settings_fingerprint: str
    selection: dict[str, object] | None
    class_names: dict[str, str]
    image_keys: bytes | None
    notices: tuple[Notice, ...]
    work: WorkFolder
    lease: str | None = None

    @property
    def row_splits(self) -> tuple[str | None, ...]:
        """The splits of sources whose rows count; None stands for a source of several splits."""
        return (*(self.examples.splits or SPLITS), None)

    @property
    def object_options(self) -> ObjectOptions:
        """How object stores are reached."""
        return self.examples.object_options

    @property
    def version_folder(self) -> str:
        """Where the version is put together before it is published.

        In an object store that is its final place, since nothing can be moved there; it isn't
        published before it has a manifest.
        """
        if is_remote(self.output):
            return os.path.join(self.output, "versions", self.version)
        return os.path.join(self.work.path, "version", self.version)
