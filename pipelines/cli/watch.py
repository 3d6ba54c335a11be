"""Showing how far a build is: a bar on a terminal, a line every few seconds elsewhere."""

import contextlib
import os
import sys
import threading
import time
from typing import Self

from tqdm import tqdm

from open_images.building.build_plan import BuildPlan
from runners.launch import Job, JobError
from transforms import progress
from transforms.kinds.detect import TABLES
from transforms.redaction import redact
from transforms.releases.documents import to_json
from transforms.storage import files
from transforms.storage.objects import StorageError
from transforms.wording import LINE_LENGTH, clean, counted

#: The job of a build on a cluster, in its work folder.
JOB = "job.json"
_BAR_SECONDS = 0.5
_LINE_SECONDS = 10
_JOIN_SECONDS = 1.0


class Watch:
    """While it is open, shows what the workers have counted.

    Two phases: reading annotations, in bytes, and building examples, in images (or, as long as no
    image table tells how many there are, in buckets).
    """

    def __init__(self, config: BuildPlan) -> None:
        self._config = config
        self._total_bytes = sum(s.size for s in config.examples.sources if s.kind in TABLES)
        self._files = sum(s.kind in TABLES for s in config.examples.sources)
        self._terminal = sys.stderr.isatty()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._started = time.monotonic()
        self._building_since: float | None = None
        self._bar: tqdm | None = None
        self._stages = ""
        #: What a runner said of its job.
        self.told: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(_JOIN_SECONDS)  # it may wait for a terminal that takes nothing
        if self._bar is not None:
            self._bar.close()

    def submitted(self, job: Job) -> None:
        """Shows a job, and records it in the work folder for as long as the build runs."""
        self._show_line(f"{job}: {job.url}")
        config = self._config
        data = to_json(job._asdict() | {"version": config.version})
        # A build doesn't end for want of a note: what is wrong with the folder shows elsewhere.
        with contextlib.suppress(OSError, StorageError):
            path = os.path.join(config.work.path, JOB)
            files.write_file(path, data, config.work.path, config.examples.object_options)

    def tell(self, line: str) -> None:
        """Shows a line above the bar, without the secrets of URLs in it."""
        self._show_line(redact(line))

    def _show_line(self, line: str) -> None:
        self.told.append(line)
        tqdm.write(clean(line, LINE_LENGTH), file=sys.stderr)

    def show_stages(self, done: int, total: int, running: str) -> None:
        """Shows how many stages of a job are done beside what the workers have counted."""
        self._stages = f"{done} of {total}" + (f", {clean(running)}" if running else "")

    def last_sign(self) -> object:
        """When a worker gave its last sign of life.

        Raises:
            JobError: The work folder is gone, without which no build can end well.
        """
        try:
            return progress.last_sign(self._config.work.progress)
        except FileNotFoundError:
            raise JobError(f"the work folder {self._config.work} is gone") from None

    def _show(self) -> None:
        interval = _BAR_SECONDS if self._terminal else _LINE_SECONDS
        while not self._stopped.wait(interval):
            counters = progress.total(self._config.work.progress)
            if self._terminal:
                self._draw(counters)
            else:
                print(self._line(counters), file=sys.stderr, flush=True)
        if self._bar is not None:
            self._draw(progress.total(self._config.work.progress))

    def _draw(self, counters: progress.Counters) -> None:
        reading = not counters.buckets and not counters.images
        phase = f"reading {counted(self._files, 'file')}" if reading else "building"
        if self._config.work.progress is None:
            phase = "running"
        if self._bar is None or self._bar.desc != phase:
            if self._bar is not None:
                self._bar.close()
            self._bar = self._open_bar(phase, counters)
        self._bar.n = counters.bytes_read if reading else counters.images
        shown: dict[str, object] = {} if reading else {"failed": counters.failed}
        if self._stages:
            shown["stages"] = self._stages
        self._bar.set_postfix(shown, refresh=False)
        self._bar.refresh()

    def _open_bar(self, phase: str, counters: progress.Counters) -> tqdm:
        if phase == "running":  # nobody knows how far
            return tqdm(desc=phase, bar_format="{desc} {elapsed}{postfix}")
        if phase == "building":
            total = counters.image_rows or None
            return tqdm(desc=phase, total=total, unit=" images", unit_scale=True)
        return tqdm(
            desc=phase, total=self._total_bytes, unit="B", unit_scale=True, unit_divisor=1024
        )

    def _line(self, counters: progress.Counters) -> str:
        return self._counted(counters) + (f"; stages: {self._stages}" if self._stages else "")

    def _counted(self, counters: progress.Counters) -> str:
        now = time.monotonic()
        line = f"{now - self._started:6.0f} s  "
        if self._config.work.progress is None:
            return line + "running"
        if not counters.buckets and not counters.images:
            share = counters.bytes_read / max(self._total_bytes, 1)
            return line + f"read {share:4.0%} of {counted(self._files, 'file')}"
        if self._building_since is None:
            self._building_since = now - _LINE_SECONDS
        rate = counters.images / (now - self._building_since)
        total = counters.image_rows
        images = counted(total or counters.images, "image")
        built = f"{counters.images:,} of {images}" if total else images
        line += f"built {built}, {rate:,.0f}/s, {counters.failed:,} failed"
        if total and rate:
            line += f", {max(total - counters.images, 0) / rate:.0f} s left"
        return line
