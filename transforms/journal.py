"""The journal of a build in its work folder: a build that was stopped goes on from there.

An entry holds the outputs of one piece of work, and the files that they rely on. It appears at once
or not at all, and the names of files are unique to an attempt, so that what an attempt left
unfinished is never taken for its work.
"""

import contextlib
import dataclasses
import json
import os
import stat
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from transforms import element_json, progress
from transforms.storage import private
from transforms.storage.objects import is_remote
from transforms.work_folder import WorkFolder

FOLDER = "journal"
#: The folder of further files of a file is its path and this; they are wanted as long as it is.
FILES_OF = ".files"


class _Entry(NamedTuple):
    """An entry of the journal.

    Attributes:
        files: names within the work folder, and bytes, with those of their `FILES_OF`.
        counted: what was added to the counters of `progress`.
        outputs: the elements.
    """

    files: dict[str, int]
    counted: dict[str, int]
    outputs: list[Any]


@dataclasses.dataclass(frozen=True)
class Journal:
    """What steps have done, by name, to be done once however often a build is stopped and goes on.

        outputs = journal.load(name)
        if outputs is None:
            outputs = journal.save(name, work())

    Attributes:
        work: the build's folder. Without one on a file system nothing is kept: `load` finds nothing
            and `save` gives back the outputs as they come.
    """

    work: WorkFolder | None

    def load(self, name: str) -> list[Any] | None:
        """Returns the outputs of an earlier attempt; None if there is none.

        Args:
            name: of the work, the same in every attempt.
        """
        if self.work is None or self.work.is_remote:
            return None
        with contextlib.suppress(FileNotFoundError):
            entry = _read(os.path.join(self.work.path, FOLDER, name))
            progress.add(self.work.progress, **entry.counted)
            return entry.outputs
        return None

    def save(self, name: str, outputs: Iterable[Any], files: Iterable[str] = ()) -> Iterable[Any]:
        """Returns outputs once all are there and written down.

        Args:
            name: of the work.
            outputs: of the work, which may be done while they are iterated. One that has a local
                `path` relies on that file.
            files: paths of other files in the work folder that the outputs rely on.
        """
        if self.work is None or self.work.is_remote:
            return outputs
        work = self.work.path
        with progress.recorded() as counted:
            outputs = list(outputs)
        named = [path for output in outputs if (path := getattr(output, "path", None))]
        paths = [*files, *(path for path in named if not is_remote(path))]
        sizes = {os.path.relpath(path, work): _count_bytes(path) for path in paths}
        own = os.path.join(work, FOLDER, name)
        attempt = f"{own}.{uuid.uuid4().hex}"
        with open(attempt, "wb") as file:
            file.write(json.dumps([sizes, counted, element_json.encode(outputs)]).encode())
        os.replace(attempt, own)
        return outputs


def _count_bytes(path: str) -> int:
    """Returns the size of a file and of those in its `FILES_OF`; links aren't followed there."""
    size = os.stat(path).st_size
    with contextlib.suppress(FileNotFoundError), os.scandir(path + FILES_OF) as found:
        size += sum(file.stat(follow_symlinks=False).st_size for file in found)
    return size


def _owner(path: Path) -> Path:
    """Returns the file that a file belongs to: itself, or that whose `FILES_OF` it is in."""
    folder = path.parent
    if not folder.name.endswith(FILES_OF):
        return path
    return folder.with_name(folder.name.removesuffix(FILES_OF))


def clear_up(work: str, folders: Iterable[str]) -> int:
    """Makes a stopped build's folder fit to go on in.

    Args:
        work: the work folder.
        folders: those in it that hold the steps' files; what no entry names is removed from them.

    Returns:
        How many entries are sound: their files are there, with all that belong to them, and as long
        as they were.
    """
    wanted: set[Path] = set()
    sound = 0
    for path in Path(work, FOLDER).iterdir():
        entry = None
        with contextlib.suppress(ValueError, private.ForeignError):
            entry = _read(path)
        if entry and all(_is_whole(work, *file) for file in entry.files.items()):
            wanted |= {Path(work, name) for name in entry.files}
            sound += 1
        else:
            path.unlink()
    for folder in folders:
        for parent, _, names in os.walk(Path(work, folder)):  # which follows no links
            for path in (Path(parent, name) for name in names):
                if _owner(path) not in wanted:
                    path.unlink()
    return sound


def _read(path: str | Path) -> _Entry:
    """Returns an entry; JSON, so that reading it runs nothing.

    Raises:
        ValueError: It is torn, or something else.
    """
    with open(private.open_file(os.fspath(path), os.O_RDONLY), "rb") as file:
        data = file.read()
    try:
        files, counted, outputs = json.loads(data)
        sizes = {os.fspath(name): int(size) for name, size in files.items()}
        amounts = {str(name): int(amount) for name, amount in counted.items()}
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no entry of a journal: {error}") from None
    return _Entry(sizes, amounts, element_json.decode(outputs))


def _is_whole(work: str, name: str, size: int) -> bool:
    with contextlib.suppress(OSError):
        path = os.path.join(work, name)
        return stat.S_ISREG(os.lstat(path).st_mode) and _count_bytes(path) == size
    return False
