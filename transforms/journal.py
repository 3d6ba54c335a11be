"""What the steps of a build have done, kept in its work folder: one that was stopped goes on there.

An entry is one element's outputs and the files that they name. It appears at once or not at all,
and the names of files are unique to an attempt, so that what an attempt left unfinished is never
taken for its work.
"""

import contextlib
import json
import os
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

from transforms import element_json, progress
from transforms.config import BuildConfig
from transforms.storage import private

FOLDER = "journal"


class _Entry(NamedTuple):
    """Attributes:
    files: names within the work folder, and sizes in bytes.
    counted: what was added to the counters of `progress`.
    outputs: the elements.
    """

    files: dict[str, int]
    counted: dict[str, int]
    outputs: list[Any]

    def encode(self) -> bytes:
        """Returns the content of its file: JSON, so that reading it runs nothing."""
        return json.dumps(self._replace(outputs=element_json.encode(self.outputs))).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Returns what was encoded.

        Raises:
            ValueError: The data is torn, or something else.
        """
        try:
            files, counted, outputs = json.loads(data)
            sizes = {os.fspath(name): int(size) for name, size in files.items()}
            amounts = {str(name): int(amount) for name, amount in counted.items()}
        except (TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"no entry of a journal: {error}") from None
        return cls(sizes, amounts, element_json.decode(outputs))


def once(
    config: BuildConfig,
    name: str,
    work: Callable[[set[str]], Iterable[Any]],
) -> list[Any]:
    """The outputs of some work, which is done if no attempt of this build has done it before.

    Args:
        config: the build. Where its work isn't on a file system, nothing is kept.
        name: of the work, the same in every attempt.
        work: gives the outputs, and adds the paths of files in the work folder that they rely on to
            the set that it is given.
    """
    if config.progress_folder is None:
        return list(work(set()))
    own = os.path.join(config.work, FOLDER, name)
    with contextlib.suppress(FileNotFoundError):
        entry = _read(own)
        progress.add(config.progress_folder, **entry.counted)
        return entry.outputs
    with progress.recorded() as counted:
        outputs = list(work(paths := set()))
    files = {os.path.relpath(path, config.work): os.stat(path).st_size for path in paths}
    entry = _Entry(files, dict(counted), outputs)
    attempt = f"{own}.{uuid.uuid4().hex}"
    with open(attempt, "wb") as file:
        file.write(entry.encode())
    os.replace(attempt, own)
    return outputs


def clear_up(work: str, folders: Iterable[str]) -> int:
    """Makes a stopped build's folder fit to go on in.

    Args:
        work: the work folder.
        folders: those in it that hold the steps' files; what no entry names is removed from them.

    Returns:
        How many entries are sound: their files are there, and as long as they were.
    """
    wanted: set[Path] = set()
    sound = 0
    for path in Path(work, FOLDER).iterdir():
        entry = None
        with contextlib.suppress(ValueError, private.ForeignError):
            entry = _read(path)
        if entry is None or not all(_is_whole(work, *file) for file in entry.files.items()):
            path.unlink()
            continue
        wanted |= {Path(work, name) for name in entry.files}
        sound += 1
    for path in _files_below(Path(work, folder) for folder in folders):
        if path not in wanted:
            path.unlink()
    return sound


def _read(path: str | Path) -> _Entry:
    with open(private.open_file(os.fspath(path), os.O_RDONLY), "rb") as file:
        return _Entry.decode(file.read())


def _is_whole(work: str, name: str, size: int) -> bool:
    with contextlib.suppress(OSError):
        found = os.lstat(os.path.join(work, name))
        return stat.S_ISREG(found.st_mode) and found.st_size == size
    return False


def _files_below(folders: Iterable[Path]) -> Iterator[Path]:
    """All that is no folder; links are not followed."""
    for folder in folders:
        for parent, _, names in os.walk(folder):
            yield from (Path(parent, name) for name in names)
