"""Checks a published version."""

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Sequence

from open_images.progress import Listener, Observer, Progress
from transforms.redaction import redact
from transforms.releases import verify as checks
from transforms.releases.output import Output
from transforms.storage.stores import ObjectOptions

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Verification:
    """The result of a check.

    Attributes:
        version: the name of the version.
        problems: one line each; also lines about the first damaged pictures, which are no problems
            unless the build looked for damage.
        notes: remarks, one line each.
        account: the numbers of `examples`, `shards`, `bytes` and `pictures` that were checked, of
            `problems`, and of `damaged` pictures.
        seconds: how long it took.
    """

    version: str
    problems: Sequence[str]
    notes: Sequence[str]
    account: checks.Account
    seconds: float

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
        version: its name; None for the latest.
        sample: how many pictures to decode, evenly spread; None for all.
        num_workers: number of processes. With several the calling script is imported again, as by
            `multiprocessing`: its calls must be below `if __name__ == "__main__"`.
        s3_endpoint_url: address of a store like S3, for `s3://`.
        progress: is called with the progress.

    Raises:
        VersionError: There is no such version, or its manifest can't be read.
        StorageError, OSError: A file can't be read.
    """
    listener = Listener(_log, progress)
    return check(os.fspath(output), version, sample, num_workers, s3_endpoint_url, listener)


def check(
    output: str,
    version: str | None,
    sample: int | None,
    num_workers: int,
    s3_endpoint_url: str | None,
    observer: Observer,
) -> Verification:
    """Checks a version as `verify` does; an observer gets problems and notes as they are found."""
    started = time.monotonic()
    published = Output(output, ObjectOptions(s3_endpoint_url=s3_endpoint_url))
    name = published.choose(version)
    problems: list[str] = []
    notes: list[str] = []

    def report(line: str) -> None:
        problems.append(line)
        observer.report(line)

    def note(line: str) -> None:
        notes.append(line)
        observer.log(f"note: {redact(line)}")

    def show(done: int, total: int) -> None:
        observer.show(Progress(f"checking {name}", done, total))

    account = checks.verify(published, name, sample, num_workers, report, note, show)
    return Verification(name, problems, notes, account, time.monotonic() - started)
