"""What is to be downloaded, how much that is, and whether there is room."""

import dataclasses
import hashlib
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from open_images.downloading.catalogue import Entry
from transforms.wording import bytes_of, counted


@dataclasses.dataclass(frozen=True)
class Item:
    """A file to have: any of `urls` holds it; `size` and `checksum` where they are known."""

    urls: tuple[str, ...]
    path: Path
    size: int | None
    checksum: str

    @property
    def part(self) -> Path:
        """Where the file grows until it is whole."""
        return self.path.with_name(self.path.name + ".part")

    @property
    def part_size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def is_there(self, verify: bool) -> bool:
        """Returns whether the file is there with its size, and with `verify` its checksum."""
        if not self.path.is_file():
            return False
        if self.size is not None and self.path.stat().st_size != self.size:
            return False
        return not verify or not self.checksum or digest(self.path, self.checksum) == self.checksum


def digest(path: Path, like: str) -> str:
    """Returns the checksum of a file by the algorithm of the checksum `like`."""
    algorithm = like.partition(":")[0]
    with open(path, "rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def make_plan(entries: Iterable[Entry], output: Path, base_url: str | None) -> list[Item]:
    """Returns an item an entry, below `output` in the folders that a build takes them from."""
    return [
        Item(
            tuple(entry.addresses(base_url)),
            output / entry.folder / entry.name,
            entry.size,
            entry.checksum,
        )
        for entry in entries
    ]


def describe(plan: Sequence[Item], output: Path) -> str:
    """Returns a table of the files with sizes and how they will be checked, and their total."""
    rows = [("file", "bytes", "checked by")]
    for item in plan:
        size = "?" if item.size is None else f"{item.size:,}"
        check = item.checksum.partition(":")[0] or "-"
        rows.append((str(item.path.relative_to(output)), size, check))
    width = max(len(name) for name, _, _ in rows)
    table = [f"{name:<{width}}  {size:>15}  {check}" for name, size, check in rows]
    total = sum(item.size or 0 for item in plan)
    unknown = sum(item.size is None for item in plan)
    text = f"{counted(len(plan), 'file')}, {counted(total, 'byte')} ({bytes_of(total)})"
    if unknown:
        text += f" and {counted(unknown, 'file')} of unknown size"
    return "\n".join([*table, text])


def check_room(plan: Iterable[Item], output: Path) -> None:
    """Checks the free space of the disk.

    Raises:
        OSError: It is less than the files that are known by size still need.
    """
    need = sum(max((item.size or 0) - item.part_size, 0) for item in plan)
    folder = output.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if need > free:
        raise OSError(
            f"{output}: {bytes_of(need)} to download, but {bytes_of(free)} free: "
            "free some space, name another --output or fewer --kinds"
        )
