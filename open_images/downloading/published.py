"""Published files: which are there, and downloading the others."""

import dataclasses
from collections.abc import Sequence

from open_images.downloading import plan
from open_images.downloading.client import Client, DownloadError
from open_images.downloading.fetch import fetch
from open_images.downloading.flags import DownloadFlags
from open_images.downloading.parallel import Meter, for_each
from open_images.progress import Observer
from transforms.wording import counted


@dataclasses.dataclass(frozen=True)
class FilesAccount:
    """Counts of files that were downloaded, present, and failed.

    Attributes:
        downloaded: how many were downloaded.
        present: how many were there before.
        failed: how many can't be had.
        size: bytes of those that were downloaded.
    """

    downloaded: int = 0
    present: int = 0
    failed: int = 0
    size: int = 0

    def __add__(self, other: "FilesAccount") -> "FilesAccount":
        return FilesAccount(
            self.downloaded + other.downloaded,
            self.present + other.present,
            self.failed + other.failed,
            self.size + other.size,
        )

    def report(self) -> str:
        """Returns a line for the result."""
        return (
            f"{counted(self.downloaded, 'file')} downloaded, {self.present} were there, "
            f"{self.failed} failed"
        )

    def complaints(self) -> list[str]:
        """Returns a line if files failed."""
        if not self.failed:
            return []
        total = counted(self.downloaded + self.present + self.failed, "file")
        return [
            f"{self.failed} of {total} failed, as said above: run the same command again; if that "
            "doesn't help, check --base_url and --release"
        ]


def get_files(
    flags: DownloadFlags, items: Sequence[plan.Item], client: Client, observer: Observer
) -> FilesAccount:
    """Downloads files that aren't there as they were published.

    Args:
        flags: of the download.
        items: the files.
        client: asks for them.
        observer: is told how far it is, and of each file that can't be had.

    Raises:
        OSError: The disk hasn't the room, or something can't be written.
        KeyboardInterrupt: The user wants no more.
    """
    there: dict[plan.Item, bool] = {}

    def look(item: plan.Item) -> None:
        there[item] = item.is_there(flags.verify)

    for_each(look, items, flags.num_connections, client.stop)
    wanted = [item for item in items if not there[item]]
    plan.check_room(wanted, flags.output)
    for item in wanted:
        if item.path.exists():
            observer.log(f"{item.path.name}: there, but not as published: again")
    errors: list[str] = []
    total = sum(item.size or 0 for item in wanted)
    meter = Meter(observer, counted(len(wanted), "file"), total, "B")

    def work(item: plan.Item) -> None:
        try:
            fetch(item, client, meter)
        except DownloadError as error:
            errors.append(str(error))
            meter.log(str(error))

    # The largest first, so that none is left alone at the end.
    wanted.sort(key=lambda item: -(item.size or 1 << 62))
    for_each(work, wanted, flags.num_connections, client.stop)
    size = sum(item.path.stat().st_size for item in wanted if item.path.exists())
    return FilesAccount(len(wanted) - len(errors), len(items) - len(wanted), len(errors), size)
