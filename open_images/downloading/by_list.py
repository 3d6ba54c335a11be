"""Pictures by an image list: what is asked for, where it may be, and having it."""

import contextlib
import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from open_images.building import inputs
from open_images.building.paths import check_file
from open_images.downloading import image_list, present
from open_images.downloading.catalogue import PICTURES_URL
from open_images.downloading.flags import DownloadFlags
from open_images.downloading.gather import gather
from open_images.downloading.parallel import Meter, for_each
from open_images.downloading.pictures import FAILURES, Downloads
from open_images.progress import Observer
from transforms.dataset.failures import Failure
from transforms.errors import UsageError
from transforms.redaction import redact_url
from transforms.releases.workspace import OutputError, workspace
from transforms.sources.limits import HttpOptions
from transforms.sources.sources import open_sources
from transforms.storage import private
from transforms.storage.retry import Retry
from transforms.storage.stores import ObjectOptions
from transforms.wording import counted, exceeds, share_above

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


class PicturesByList:
    """The pictures of an image list."""

    def __init__(self, flags: DownloadFlags, list_path: Path, observer: Observer) -> None:
        """Reads the list, and finds the sources.

        Args:
            flags: of the download.
            list_path: the image list.
            observer: is told how far it is, and what came of it.

        Raises:
            UsageError: The list or a source is wrong.
        """
        self._flags = flags
        self._observer = observer
        self._http_options = HttpOptions(
            max_per_host=flags.num_connections,
            max_requests=flags.num_connections,
            read_seconds=math.ceil(flags.timeout),
            retry=_patient(HttpOptions.retry, flags.timeout),
            allow_private_hosts=flags.allow_private_hosts,
        )
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
        try:
            check_file("--image_list", str(list_path))
            self._wanted = image_list.read_list(list_path, flags.splits)
        except OSError as error:
            raise UsageError(f"--image_list: {list_path}: {error.strerror}") from None
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
        with _work_folder(flags.output) as folder:
            lacking, damaged, example = present.look(
                self._wanted, flags.output / "images", flags.verify, meter, stop
            )
            if damaged:
                meter.say(
                    f"pictures that are there, but not whole: {damaged:,}, again; the first "
                    f"{example}"
                )
            whole = total - image_list.count(lacking)
            sources = open_sources(self._sources, self._http_options, self._object_options)
            downloads = Downloads(flags.output, sources, allowed, meter, stop)
            with contextlib.closing(downloads):
                if whole < total:
                    windows = self._windows(lacking, folder, downloads, meter)
                    # One thread asks, for many pictures at once.
                    for_each(downloads.fetch, windows, 1, stop)
            # Not where it broke off, since some wait for their servers.
            for source in sources:
                source.close()
        self._observer.report(
            f"{counted(downloads.fetched, 'picture')} downloaded, {whole:,} were there, "
            f"{downloads.missing:,} missing, {downloads.failed:,} failed"
        )
        lost = downloads.missing + downloads.failed
        if lost:
            self._observer.report(
                f"those that can't be had are listed in {flags.output / FAILURES}"
            )
        exceeded = exceeds(lost, total, flags.max_failure_rate)
        return [self._complaint(lost, total, downloads)] if exceeded else []

    def _windows(
        self, lacking: image_list.Pictures, folder: str, downloads: Downloads, meter: Meter
    ) -> Iterator[pa.Table]:
        """The pictures that are asked for together, with what is known of them."""
        for joined in gather(
            lacking, self._sources, self._published, folder, meter, self._object_options
        ):
            downloads.refuse([Failure(**row) for row in joined.failures.to_pylist()])
            table = joined.table.select(_COLUMNS)
            for at in range(0, len(table), _TOGETHER):
                yield table.slice(at, _TOGETHER)

    def _complaint(self, lost: int, total: int, downloads: Downloads) -> str:
        remedy = "check the list and --images, or raise it"
        if downloads.blocked:
            remedy = f"{downloads.blocked:,} were on addresses for --allow_private_hosts; {remedy}"
        pictures = f"{counted(total, 'picture')} {'is' if total == 1 else 'are'}"
        limit = self._flags.max_failure_rate
        return (
            f"{lost:,} of {pictures} missing or failed ({share_above(lost, total, limit)}), more "
            f"than --max_failure_rate {limit}: {remedy}"
        )


def _patient(retry: Retry, timeout: float) -> Retry:
    """A policy with time for a second attempt after one that took `timeout` seconds."""
    return replace(retry, total_seconds=max(retry.total_seconds, 2 * timeout))


@contextlib.contextmanager
def _work_folder(output: Path) -> Iterator[str]:
    """A folder for what is needed meanwhile, as a build has one; nothing of it stays."""
    parent = output / ".download"
    try:
        private.make_shared_folder(str(parent))
        with workspace(str(parent), fingerprint="") as (work, _):
            yield f"{work}/exchange"
    except OutputError as error:
        raise UsageError(str(error)) from None
    except private.ForeignError as error:
        raise UsageError(f"--output: {error.strerror}: have that removed") from None
    finally:
        with contextlib.suppress(OSError):
            parent.rmdir()
