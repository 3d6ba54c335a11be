"""Writes pictures, and accounts of failures, beside the published files of a download."""

import contextlib
import csv
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from transforms.errors import UsageError
from transforms.releases.workspace import OutputError, workspace
from transforms.storage import private
from transforms.wording import clean, counted, exceeds, share_above


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Writes a file that appears when it is whole, and the folders above it.

    Raises:
        ForeignError: A link, pipe or folder is in its place.
        OSError: It can't be written.
    """
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    private.write_file(os.fspath(part), data)
    os.replace(part, path)


class FailureList:
    """A CSV file of what can't be had, which appears at the end; where all can, there is none."""

    def __init__(self, path: Path, noun: str) -> None:
        """Begins a list.

        Args:
            path: of the file.
            noun: the name of its first column.
        """
        self._path, self._noun = path, noun
        self._part = path.with_name(f"{path.name}.part")
        self._part.unlink(missing_ok=True)  # of a run that was killed

    def add(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Adds rows of a name, a reason and a detail; for one thread at a time."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        descriptor = private.open_file(os.fspath(self._part), flags, 0o666)
        with open(descriptor, "a", encoding="utf-8", errors="backslashreplace", newline="") as file:
            writer = csv.writer(file)
            if not file.tell():
                writer.writerow((self._noun, "reason", "detail"))
            writer.writerows((clean(name), reason, clean(detail)) for name, reason, detail in rows)

    def close(self) -> None:
        """Puts the list in its place; none, no file."""
        if self._part.exists():
            os.replace(self._part, self._path)
        else:
            self._path.unlink(missing_ok=True)


def describe_excess(lost: int, total: int, noun: str, limit: float, remedy: str) -> list[str]:
    """Returns a line if more of something can't be had than `--max_failure_rate` allows.

    Args:
        lost: how many are missing or failed.
        total: of all.
        noun: for one of them.
        limit: the rate.
        remedy: the end of the line.
    """
    if not exceeds(lost, total, limit):
        return []
    things = f"{counted(total, noun)} {'is' if total == 1 else 'are'}"
    return [
        f"{lost:,} of {things} missing or failed ({share_above(lost, total, limit)}), more than "
        f"--max_failure_rate {limit}: {remedy}"
    ]


@contextlib.contextmanager
def work_folder(output: Path) -> Iterator[str]:
    """Yields a folder for what is needed meanwhile, as a build has one; nothing of it stays.

    Raises:
        UsageError: The output folder can't be written, or holds what others have made.
    """
    parent = output / ".download"
    try:
        private.make_shared_folder(str(parent))
        with workspace(str(parent), fingerprint="") as (work, _):
            yield work
    except OutputError as error:
        raise UsageError(str(error)) from None
    except private.ForeignError as error:
        raise UsageError(f"--output: {error.strerror}: have that removed") from None
    finally:
        with contextlib.suppress(OSError):
            parent.rmdir()
