"""Follows a build for its observer: its job on a cluster, and the progress of workers."""

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from typing import Self

from open_images.building.build_plan import BuildPlan
from open_images.progress import Progress
from runners.launch import Job, JobError, Monitor
from transforms import progress
from transforms.dataset.elements import Source
from transforms.kinds.registry import TABLES
from transforms.redaction import redact
from transforms.releases.documents import to_json
from transforms.storage import files
from transforms.storage.objects import StorageError
from transforms.wording import clean, counted
from transforms.work_folder import WorkFolder

#: The job of a build on a cluster, in its work folder.
JOB = "job.json"
_INTERVAL_SECONDS = 0.5
_JOIN_SECONDS = 1.0


class WorkMonitor(Monitor):
    """Adds up what the workers have counted, while it is open.

    Two phases: reading annotations, in bytes, and what is done with images, in images.

    Args:
        work: the folder of the run.
        sources: what is read.
        log: shows a line.
        show: shows how far it is.
        label: what is done with images.
    """

    def __init__(
        self,
        work: WorkFolder,
        sources: Sequence[Source],
        log: Callable[[str], None],
        show: Callable[[Progress], None],
        label: str,
    ) -> None:
        self._work = work
        self._log = log
        self._show = show
        self._label = label
        self._reading = f"reading {counted(len(sources), 'file')}"
        self._total_bytes = sum(source.size for source in sources)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._stages = ""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(_JOIN_SECONDS)  # it may wait for a terminal that takes nothing

    def submitted(self, job: Job) -> None:
        """Shows a job."""
        self._log(f"{job}: {job.url}")

    def log(self, line: str) -> None:
        """Shows a line, without the secrets of URLs in it."""
        self._log(redact(line))

    def show_stages(self, done: int, total: int, running: str) -> None:
        """Shows how many stages of a job are done beside what the workers have counted."""
        self._stages = f"{done} of {total}" + (f", {clean(running)}" if running else "")

    def last_sign(self) -> object:
        """Returns when a worker gave its last sign of life.

        Raises:
            JobError: The work folder is gone, without which no build can end well.
        """
        try:
            return progress.last_sign(self._work.progress)
        except FileNotFoundError:
            raise JobError(f"the work folder {self._work.path} is gone") from None

    def _poll(self) -> None:
        while not self._stopped.wait(_INTERVAL_SECONDS):
            self._show(self._progress())

    def _progress(self) -> Progress:
        if self._work.progress is None:
            return Progress("running", stages=self._stages)
        counters = progress.total(self._work.progress)
        if not counters.buckets and not counters.images:
            done, total = counters.bytes_read, self._total_bytes
            return Progress(self._reading, done, total, stages=self._stages)
        total = counters.image_rows or None
        return Progress(
            self._label, counters.images, total, "images", counters.failed, stages=self._stages
        )


def tables_of(sources: Sequence[Source]) -> list[Source]:
    """Returns the annotation files among the sources of a build."""
    return [source for source in sources if source.kind in TABLES]


class BuildMonitor(WorkMonitor):
    """Watches a build; arguments as of `WorkMonitor`."""

    def __init__(
        self, config: BuildPlan, log: Callable[[str], None], show: Callable[[Progress], None]
    ) -> None:
        super().__init__(config.work, tables_of(config.examples.sources), log, show, "building")
        self._config = config

    def submitted(self, job: Job) -> None:
        """Records a job in the work folder for as long as the build runs, and shows it."""
        config = self._config
        data = to_json(job._asdict() | {"version": config.version})
        # A build doesn't end for want of a note: what is wrong with the folder shows elsewhere.
        with contextlib.suppress(OSError, StorageError):
            path = os.path.join(config.work.path, JOB)
            files.write_file(path, data, config.work.path, config.examples.object_options)
        super().submitted(job)
