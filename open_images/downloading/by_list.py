"""Pictures by an image list: what is asked for, where it may be, and having it."""

import contextlib
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from open_images.building import inputs
from open_images.building.paths import check_file
from open_images.downloading import image_list
from open_images.downloading.catalogue import PICTURES_URL
from open_images.downloading.client import DownloadError, StoppedError
from open_images.downloading.flags import DownloadFlags
from open_images.downloading.gather import gather
from open_images.downloading.output import FailureList, describe_excess, work_folder, write_whole
from open_images.downloading.parallel import Meter, for_each
from open_images.progress import Observer
from transforms.dataset.failures import Failure, Reason
from transforms.errors import UsageError
from transforms.examples.imaging.process import ImageSpec
from transforms.examples.pictures import Fetched, fetch_pictures
from transforms.redaction import redact_url
from transforms.sources.answers import PictureSource
from transforms.sources.limits import HttpOptions
from transforms.sources.sources import open_sources
from transforms.storage.retry import Retry
from transforms.storage.stores import ObjectOptions
from transforms.wording import counted

_FAILURES = "failures.csv"
#: Pictures that are fetched before any of them is written.
_HELD_BYTES = 2 << 20
_AS_STORED = ImageSpec(keep_exif_orientation=True)
_FAILURES_BEFORE_GIVING_UP = 100
#: Pictures that are asked for before those that failed are counted.
_TOGETHER = 512
#: What pictures are fetched by: columns of `join.Joined.table`.
_COLUMNS = (
    "image_id",
    "split",
    "rotation",
    "original_url",
    "original_size",
    "original_md5",
    "thumbnail_300k_url",
    "pictures",
)


class _Downloads:
    """Downloads pictures, and keeps account of them.

    Attributes:
        fetched: how many have been downloaded.
        size: their bytes.
        failures: those that can't be had.
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
        """Prepares for pictures that go to `images/`, and failures to `_FAILURES`, below `output`.

        When `allowed_failures` and no few pictures have failed for other reasons than that they are
        missing, the sources are given up. Nothing more is downloaded once `stop` is set.
        """
        self._output, self._sources, self._meter, self._stop = output, sources, meter, stop
        self._giving_up = max(allowed_failures, _FAILURES_BEFORE_GIVING_UP)
        self._lock = threading.Lock()
        self.failures = FailureList(output / _FAILURES, "image", meter)
        self.fetched = self.size = self.blocked = 0

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
        rows = [(f"{each.split}/{each.image_id}", each.reason, each.detail) for each in failures]
        self.failures.add(rows)
        with self._lock:
            self.blocked += sum(reason == Reason.BLOCKED_ADDRESS for _, reason, _ in rows)
        others = [row for row in rows if row[1] != Reason.MISSING]
        if others and self.failures.failed > self._giving_up:
            name, reason, detail = others[-1]
            number = counted(self.failures.failed, "picture")
            raise DownloadError(f"{number} failed, the last with {reason}: {detail} ({name})")

    def _write_pictures(self, fetched: Fetched) -> None:
        splits, image_ids = (fetched.images[name].to_pylist() for name in ("split", "image_id"))
        pictures = fetched.columns["image"].field("bytes")
        size = 0
        for split, image_id, picture in zip(splits, image_ids, pictures, strict=True):
            path = self._output / "images" / split / f"{image_id}.jpg"
            content = memoryview(picture.as_buffer())
            write_whole(path, content)
            size += len(content)
        with self._lock:
            self.fetched += len(image_ids)
            self.size += size
        self._meter.add(len(image_ids))


class PicturesByList:
    """The pictures of an image list.

    Attributes:
        size: bytes of the pictures that were downloaded.
    """

    def __init__(
        self, flags: DownloadFlags, wanted: image_list.Pictures, observer: Observer
    ) -> None:
        """Finds the sources.

        Args:
            flags: of the download.
            wanted: the pictures.
            observer: is told how far it is, and what came of it.

        Raises:
            UsageError: A source is wrong.
        """
        self.size = 0
        self._wanted = wanted
        self._flags = flags
        self._observer = observer
        self._http_options = http_options(flags)
        self._object_options = ObjectOptions(
            s3_endpoint_url=flags.s3_endpoint_url,
            read_timeout=flags.timeout,
            timeout=max(ObjectOptions.timeout, flags.timeout),
            retry=_patient(ObjectOptions.retry, flags.timeout),
            max_concurrent=flags.num_connections,
        )
        self._images = flags.images or (PICTURES_URL,)
        if "none" in self._images:
            raise UsageError("--images none: name where the pictures are")
        annotations, pixels, _ = inputs.find_sources(
            flags.annotations, self._images, [], self._object_options
        )
        self._sources = [*annotations, *pixels]
        self._published = any(source.medium in ("original", "thumbnail") for source in pixels)

    def describe(self) -> str:
        """What would be downloaded."""
        places = ", ".join(map(redact_url, self._images))
        return f"{counted(image_list.count(self._wanted), 'picture')} from {places}"

    def download(self, stop: threading.Event) -> list[str]:
        """Downloads what isn't there, and says what came of it.

        Args:
            stop: set when the user wants no more.

        Returns:
            A line if too many pictures can't be had.

        Raises:
            ChangedError: A folder or archive of pictures, or an image table, changes meanwhile.
            DownloadError: So many can't be had that the rest was given up.
            UsageError: The output folder can't be written.
            OSError: The disk is full, or something can't be written.
            KeyboardInterrupt: The user wants no more.
        """
        flags = self._flags
        total = image_list.count(self._wanted)
        allowed = flags.max_failure_rate * total
        meter = Meter(self._observer, "pictures", total, "pictures")
        with work_folder(flags.output) as work:
            lacking, damaged, example = image_list.look(
                self._wanted, flags.output / "images", flags.verify, meter, stop
            )
            if damaged:
                meter.log(
                    f"pictures that are there, but not whole: {damaged:,}, again; the first "
                    f"{example}"
                )
            whole = total - image_list.count(lacking)
            sources = open_sources(self._sources, self._http_options, self._object_options)
            downloads = _Downloads(flags.output, sources, allowed, meter, stop)
            with contextlib.closing(downloads.failures):
                if whole < total:
                    windows = self._windows(lacking, f"{work}/exchange", downloads, meter)
                    # One thread asks, for many pictures at once.
                    for_each(downloads.fetch, windows, 1, stop)
            # Not where it broke off, since some wait for their servers.
            for source in sources:
                source.close()
        self.size, failures = downloads.size, downloads.failures
        self._observer.report(
            f"{counted(downloads.fetched, 'picture')} downloaded, {whole:,} were there, "
            f"{failures.missing:,} missing, {failures.failed:,} failed"
        )
        lost = failures.missing + failures.failed
        if lost:
            self._observer.report(
                f"those that can't be had are listed in {flags.output / _FAILURES}"
            )
        remedy = "check the list and --images, or raise it"
        if downloads.blocked:
            remedy = f"{downloads.blocked:,} were on addresses for --allow_private_hosts; {remedy}"
        return describe_excess(lost, total, "picture", flags.max_failure_rate, remedy)

    def _windows(
        self, lacking: image_list.Pictures, folder: str, downloads: _Downloads, meter: Meter
    ) -> Iterator[pa.Table]:
        """Yields the pictures that are asked for together, with what is known of them."""
        for joined in gather(
            lacking, self._sources, self._published, folder, meter, self._object_options
        ):
            downloads.refuse([Failure(**row) for row in joined.failures.to_pylist()])
            table = joined.table.select(_COLUMNS)
            for at in range(0, len(table), _TOGETHER):
                yield table.slice(at, _TOGETHER)


def read_list(flags: DownloadFlags, list_path: Path) -> image_list.Pictures:
    """Returns the pictures of an image list, in the splits of a download.

    Raises:
        UsageError: The list can't be read, or isn't one.
    """
    try:
        check_file("--image_list", str(list_path))
        return image_list.read_list(list_path, flags.all_splits)
    except OSError as error:
        raise UsageError(f"--image_list: {list_path}: {error.strerror}") from None


def http_options(flags: DownloadFlags) -> HttpOptions:
    """Returns how pictures and recordings are asked for over HTTP."""
    return HttpOptions(
        max_per_host=flags.num_connections,
        max_requests=flags.num_connections,
        read_seconds=math.ceil(flags.timeout),
        retry=_patient(HttpOptions.retry, flags.timeout),
        allow_private_hosts=flags.allow_private_hosts,
    )


def _patient(retry: Retry, timeout: float) -> Retry:
    """Returns a policy with time for a second attempt after one that took `timeout` seconds."""
    return replace(retry, total_seconds=max(retry.total_seconds, 2 * timeout))
