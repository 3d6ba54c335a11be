"""Showing how far a build is: a bar on a terminal, a line every few seconds elsewhere."""

import sys
import threading
import time
from typing import Self

from tqdm import tqdm

from transforms import progress
from transforms.config import BuildConfig
from transforms.formats.detect import TABLES

_BAR_SECONDS = 0.5
_LINE_SECONDS = 10


class Watch:
    """While it is open, shows what the workers have counted.

    Two phases: reading annotations, in bytes, and building examples, in images (or, as long as no
    image table tells how many there are, in buckets).
    """

    def __init__(self, config: BuildConfig) -> None:
        self._config = config
        self._total_bytes = sum(s.size for s in config.sources if s.kind in TABLES)
        self._files = sum(s.kind in TABLES for s in config.sources)
        self._terminal = sys.stderr.isatty()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._started = time.monotonic()
        self._building_since: float | None = None
        self._bar: tqdm | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        if self._bar is not None:
            self._bar.close()

    def _show(self) -> None:
        interval = _BAR_SECONDS if self._terminal else _LINE_SECONDS
        while not self._stopped.wait(interval):
            counters = progress.total(self._config.progress_folder)
            if self._terminal:
                self._draw(counters)
            else:
                print(self._line(counters), file=sys.stderr, flush=True)
        if self._bar is not None:
            self._draw(progress.total(self._config.progress_folder))

    def _draw(self, counters: progress.Counters) -> None:
        reading = not counters.buckets and not counters.images
        phase = f"reading {self._files} files" if reading else "building"
        if self._bar is None or self._bar.desc != phase:
            if self._bar is not None:
                self._bar.close()
            self._bar = self._reading_bar(phase) if reading else self._building_bar(phase, counters)
        self._bar.n = counters.bytes_read if reading else counters.images
        if not reading:
            self._bar.set_postfix(failed=counters.failed, refresh=False)
        self._bar.refresh()

    def _reading_bar(self, phase: str) -> tqdm:
        return tqdm(
            desc=phase, total=self._total_bytes, unit="B", unit_scale=True, unit_divisor=1024
        )

    def _building_bar(self, phase: str, counters: progress.Counters) -> tqdm:
        return tqdm(desc=phase, total=counters.image_rows or None, unit=" images", unit_scale=True)

    def _line(self, counters: progress.Counters) -> str:
        now = time.monotonic()
        line = f"{now - self._started:6.0f} s  "
        if not counters.buckets and not counters.images:
            share = counters.bytes_read / max(self._total_bytes, 1)
            return line + f"read {share:4.0%} of {self._files} files"
        if self._building_since is None:
            self._building_since = now - _LINE_SECONDS
        rate = counters.images / (now - self._building_since)
        total = counters.image_rows
        of = f" of {total:,}" if total else ""
        line += f"built {counters.images:,}{of} images, {rate:,.0f}/s, {counters.failed:,} failed"
        if total and rate:
            line += f", {max(total - counters.images, 0) / rate:.0f} s left"
        return line
