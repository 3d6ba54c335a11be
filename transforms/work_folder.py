"""The folder of one build, and what lies where in it."""

import dataclasses
import os

from transforms.storage import objects


@dataclasses.dataclass(frozen=True)
class WorkFolder:
    """The folder of one build.

    Attributes:
        path: a folder that all workers see, below a local output so that renames stay within a file
            system; or a URI below the output where workers share no file system. Empty where
            nothing is to be written.
    """

    path: str

    @property
    def is_remote(self) -> bool:
        """Whether it is in an object store."""
        return objects.is_remote(self.path)

    @property
    def exchange(self) -> str:
        """The folder for rows on their way to buckets, and unpacked archives."""
        return os.path.join(self.path, "exchange")

    @property
    def parts(self) -> str:
        """The folder for files of examples until they are put together to shards."""
        return os.path.join(self.path, "parts")

    @property
    def progress(self) -> str | None:
        """The folder in which workers count what they have done; None for none."""
        return None if self.is_remote or not self.path else os.path.join(self.path, "progress")
