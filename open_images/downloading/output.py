"""Writes pictures, and accounts of failures, beside the published files of a download."""

import contextlib
import csv
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from open_images.downloading.parallel import Meter
from transforms.dataset.failures import Reason
from transforms.errors import UsageError
from transforms.releases.workspace import OutputError, workspace
from transforms.storage import private
from transforms.wording import clean, counted, exceeds, share_above

#: How many failures are shown while a download runs.
_FAILURES_SHOWN = 5


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
    """A CSV file of what can't be had, which appears at the end; any thread may add to it.

    Attributes:
        missing: how many are nowhere.
        failed: how many can't be had for another reason.
    """

    def __init__(self, path: Path, noun: str, meter: Meter) -> None:
        """Begins a list.

        Args:
            path: of the file.
            noun: the name of its first column.
            meter: counts failures, and shows the first few that aren't just missing.
        """
        self.missing = self.failed = 0
        self._path, self._noun, self._meter = path, noun, meter
        self._part = path.with_name(f"{path.name}.part")
        self._part.unlink(missing_ok=True)  # of a run that was killed
        self._lock = threading.Lock()

    def add(self, failures: Sequence[tuple[str, Reason, str]]) -> None:
        """Adds failures, each a name, a reason and a detail."""
        if not failures:
            return
        others = [failure for failure in failures if failure[1] != Reason.MISSING]
        with self._lock:
            self._write(failures)
            self._meter.add(len(failures))
            for name, reason, detail in others[: max(0, _FAILURES_SHOWN - self.failed)]:
                self._meter.log(f"{name}: {reason}: {detail}")
            self.missing += len(failures) - len(others)
            self.failed += len(others)

    def _write(self, rows: Iterable[tuple[str, str, str]]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        descriptor = private.open_file(os.fspath(self._part), flags, 0o666)
        with open(descriptor, "a", encoding="utf-8", errors="backslashreplace", newline="") as file:
            writer = csv.writer(file)
            if not file.tell():
                writer.writerow((self._noun, "reason", "detail"))
            writer.writerows((clean(name), reason, clean(detail)) for name, reason, detail in rows)

    def close(self) -> None:
        """Puts the list in its place; without failures there is none."""
        with self._lock:
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
