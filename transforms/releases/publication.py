"""The version to publish, where it goes, and how much it may lack."""

import dataclasses
import os

from transforms.dataset.elements import Notice
from transforms.examples.options import ExampleOptions
from transforms.storage.objects import is_remote
from transforms.storage.stores import ObjectOptions
from transforms.work_folder import WorkFolder


@dataclasses.dataclass(frozen=True)
class LossLimits:
    """How much may be lost before nothing is published.

    Attributes:
        max_failure_rate: fraction of the images that may fail.
        max_bad_rate: fraction of a table's rows that may be bad, and of a split's masks that may
            lack pixels.
    """

    max_failure_rate: float
    max_bad_rate: float


@dataclasses.dataclass(frozen=True)
class Publication:
    """A version that is published.

    Attributes:
        output: the folder, or URI, that versions are published to.
        version: the name of the version.
        release: the dataset's version for readers.
        formats: in which examples are written.
        examples: what they are made of.
        limits: how much may be lost.
        buckets: into how many groups images were divided.
        flags: the flags that decide about the output, as recorded in the manifest.
        settings_fingerprint: of all that decides about the output but the inputs.
        selection: what was selected, as recorded in the manifest; None where everything was.
        notices: remarks on the inputs that are no failures.
        work: the build's own folder.
        lease: the token of the lease on the output without which nothing is to be published; None
            for a build that needs none.
    """

    output: str
    version: str
    release: str
    formats: tuple[str, ...]
    examples: ExampleOptions
    limits: LossLimits
    buckets: int
    flags: dict[str, object]
    settings_fingerprint: str
    selection: dict[str, object] | None
    notices: tuple[Notice, ...]
    work: WorkFolder
    lease: str | None

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
