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
    """What was found of a version.

    Attributes:
        version: its name.
        problems: a line each, and of damaged pictures the first, which are no problems.
        notes: a line each.
        account: how much was checked: `examples`, `shards`, `bytes` and `pictures`; and the
            numbers of `problems` and of `damaged` pictures.
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
    """Does what `verify` does, and tells an observer of problems and notes as they are found."""
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
        observer.say(f"note: {redact(line)}")

    def show(done: int, total: int) -> None:
        observer.show(Progress(f"checking {name}", done, total))

    account = checks.verify(published, name, sample, num_workers, report, note, show)
    return Verification(name, problems, notes, account, time.monotonic() - started)
