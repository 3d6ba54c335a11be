"""Checks a published version."""

import dataclasses
import os
from collections.abc import Callable, Sequence

from open_images.progress import Progress
from transforms.releases import verify as checks
from transforms.releases.output import Output
from transforms.storage.stores import ObjectOptions


@dataclasses.dataclass(frozen=True)
class Verification:
    """What was found of a version.

    Attributes:
        version: its name.
        problems: a line each, and of damaged pictures the first, which are no problems.
        notes: a line each.
        account: how much was checked: `examples`, `shards`, `bytes` and `pictures`; and the
            numbers of `problems` and of `damaged` pictures.
    """

    version: str
    problems: Sequence[str]
    notes: Sequence[str]
    account: checks.Account

    @property
    def is_whole(self) -> bool:
        """Whether there is no problem."""
        return not self.account.problems


def verify(
    output: str | os.PathLike[str],
    version: str | None = None,
    *,
    sample: int | None = 1000,
    num_workers: int = 1,
    s3_endpoint_url: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Verification:
    """Checks that a published version is whole, as `open-images verify` does.

    Args:
        output: the folder or URI that a build has published to.
        version: which; None for the latest.
        sample: how many pictures to decode, evenly spread; None for all.
        num_workers: processes. Several import the calling script again, as `multiprocessing` does:
            it must have its calls below `if __name__ == "__main__"`.
        s3_endpoint_url: of a store like S3, for `s3://`.
        progress: is called with how far it is.

    Raises:
        VersionError: There is no such version, or its manifest can't be read.
        StorageError, OSError: Something can't be read.
    """
    published = Output(os.fspath(output), ObjectOptions(s3_endpoint_url=s3_endpoint_url))
    name = published.choose(version)
    problems: list[str] = []
    notes: list[str] = []

    def show(done: int, total: int) -> None:
        if progress:
            progress(Progress(f"checking {name}", done, total))

    account = checks.verify(
        published, name, sample, num_workers, problems.append, notes.append, show
    )
    return Verification(name, problems, notes, account)
