"""Pictures from their sources into a folder, and an account of them."""

import csv
import os
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from open_images.downloading.client import DownloadError, StoppedError
from open_images.downloading.parallel import Meter
from transforms.dataset.failures import Failure, Reason
from transforms.examples.imaging.process import ImageSpec
from transforms.examples.pictures import Fetched, fetch_pictures
from transforms.sources.answers import PictureSource
from transforms.storage import private
from transforms.wording import clean, counted

FAILURES = "failures.csv"

#: Pictures that are fetched before any of them is written.
_HELD_BYTES = 2 << 20
_AS_STORED = ImageSpec(keep_exif_orientation=True)
_FAILURES_SHOWN = 5
_FAILURES_BEFORE_GIVING_UP = 100


class Downloads:
    """Downloads pictures, and keeps account of them; `close` may come from another thread.

    Attributes:
        fetched: how many have been downloaded.
        missing: how many no source has.
        failed: how many couldn't be had for another reason.
        blocked: how many of these because of the address that they were to come from.
    """

    def __init__(
        self,
        output: Path,
        sources: Sequence[PictureSource],
        allowed_failures: float,
        meter: Meter,
        stop: threading.Event,
    ) -> None:
        """Prepares for pictures that go to `images/`, and failures to `FAILURES`, below `output`.

        When `allowed_failures` and no few pictures have failed for other reasons than that they are
        missing, the sources are given up. Nothing more is downloaded once `stop` is set.
        """
        self._output, self._sources, self._meter, self._stop = output, sources, meter, stop
        self._giving_up = max(allowed_failures, _FAILURES_BEFORE_GIVING_UP)
        self._lock = threading.Lock()
        self._part = output / f"{FAILURES}.part"
        self._part.unlink(missing_ok=True)  # of a run that was killed
        self.fetched = self.missing = self.failed = self.blocked = 0

    def fetch(self, images: pa.Table) -> None:
        """Downloads some pictures.

        Args:
            images: n rows of `join.Joined.table`.

        Raises:
            DownloadError: Too many have failed by now.
            StoppedError: No more are wanted.
            OSError: One can't be written.
        """
        for fetched in fetch_pictures(
            images, self._sources, verify=False, spec=_AS_STORED, held_bytes=_HELD_BYTES
        ):
            if self._stop.is_set():
                raise StoppedError
            self._write_pictures(fetched)
            self.refuse(fetched.failures)

    def refuse(self, failures: Sequence[Failure]) -> None:
        """Takes account of pictures that can't be had.

        Raises:
            DownloadError: They are too many by now.
        """
        if not failures:
            return
        with self._lock:
            self._write(failures)
            self._meter.add(len(failures))
            others = [failure for failure in failures if failure.reason != Reason.MISSING]
            for failure in others[: max(0, _FAILURES_SHOWN - self.failed)]:
                self._meter.say(f"{_name(failure)}: {failure.reason}: {failure.detail}")
            self.missing += len(failures) - len(others)
            self.failed += len(others)
            self.blocked += sum(other.reason == Reason.BLOCKED_ADDRESS for other in others)
            if others and self.failed > self._giving_up:
                last = f"{others[-1].reason}: {others[-1].detail} ({_name(others[-1])})"
                number = counted(self.failed, "picture")
                raise DownloadError(f"{number} failed, the last with {last}")

    def close(self) -> None:
        """Puts the failures in their place; none, no file."""
        with self._lock:
            if self._part.exists():
                os.replace(self._part, self._output / FAILURES)
            else:
                (self._output / FAILURES).unlink(missing_ok=True)

    def _write_pictures(self, fetched: Fetched) -> None:
        splits, image_ids = (fetched.images[name].to_pylist() for name in ("split", "image_id"))
        pictures = fetched.columns["image"].field("bytes")
        for split, image_id, picture in zip(splits, image_ids, pictures, strict=True):
            path = self._output / "images" / split / f"{image_id}.jpg"
            part = path.with_name(path.name + ".part")
            path.parent.mkdir(parents=True, exist_ok=True)
            private.write_file(os.fspath(part), memoryview(picture.as_buffer()))
            os.replace(part, path)
        with self._lock:
            self.fetched += len(image_ids)
        self._meter.add(len(image_ids))

    def _write(self, failures: Iterable[Failure]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        descriptor = private.open_file(os.fspath(self._part), flags, 0o666)
        with open(descriptor, "a", encoding="utf-8", errors="backslashreplace", newline="") as file:
            writer = csv.writer(file)
            if not file.tell():
                writer.writerow(("image", "reason", "detail"))
            writer.writerows((clean(_name(f)), f.reason, clean(f.detail)) for f in failures)


def _name(failure: Failure) -> str:
    return f"{failure.split}/{failure.image_id}"
