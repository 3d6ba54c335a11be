"""Progress of a program: a bar on a terminal, a line every few seconds elsewhere."""

import sys
import threading
import time
from typing import Self, TextIO

from tqdm import tqdm

from open_images.progress import Observer, Progress
from pipelines.cli.output import spelled
from transforms.wording import LINE_LENGTH, bytes_of, clean, printable

_LINE_SECONDS = 10.0
_REFRESH_SECONDS = 0.1
_JOIN_SECONDS = 1.0


class ProgressDisplay(Observer):
    """Shows progress on stderr while it is open, and lines without tearing its bar.

    Args:
        is_terminal: whether somebody watches; None asks stderr.
        line_seconds: between two lines, where nobody does.
    """

    def __init__(
        self, is_terminal: bool | None = None, line_seconds: float = _LINE_SECONDS
    ) -> None:
        self._is_terminal = sys.stderr.isatty() if is_terminal is None else is_terminal
        self._line_seconds = line_seconds
        self._lock = threading.RLock()
        self._progress: Progress | None = None
        self._bar: tqdm | None = None
        self._started = self._label_since = self._refreshed = time.monotonic()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._print_lines, daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)  # it may wait for a pipe that takes nothing
        if self._bar is not None:
            self._bar.close()

    def show(self, progress: Progress) -> None:
        """Shows how far it is now."""
        with self._lock:
            if self._progress is None or self._progress.label != progress.label:
                self._label_since = time.monotonic()
                if self._is_terminal:
                    self._open_bar(progress)
                elif self._progress is None:
                    self._started = self._label_since
                    self._thread.start()
            self._progress = progress
            if self._bar is not None:
                self._bar.total, self._bar.n = progress.total, progress.done
                self._bar.set_postfix(_details(progress), refresh=False)
                # Not where that was just done and there is more to come.
                now = time.monotonic()
                if now - self._refreshed > _REFRESH_SECONDS or progress.done == progress.total:
                    self._refreshed = now
                    self._bar.refresh()

    def log(self, line: str) -> None:
        """Prints a line to stderr, and URLs in full."""
        self._print(clean(spelled(line), LINE_LENGTH), sys.stderr)

    def report(self, line: str) -> None:
        """Prints a line to stdout."""
        self._print(printable(spelled(line)), sys.stdout)

    def _print(self, text: str, file: TextIO) -> None:
        with self._lock, tqdm.external_write_mode(file):
            print(text, file=file, flush=True)

    def _open_bar(self, progress: Progress) -> None:
        if self._bar is not None:
            self._bar.close()
        if not progress.done and progress.total is None:  # nobody can tell how far
            self._bar = tqdm(desc=progress.label, bar_format="{desc} {elapsed}{postfix}")
            return
        is_bytes = progress.unit == "B"
        self._bar = tqdm(
            desc=progress.label,
            total=progress.total,
            unit="B" if is_bytes else f" {progress.unit}",
            unit_scale=True,
            unit_divisor=1024 if is_bytes else 1000,
        )

    def _print_lines(self) -> None:
        while not self._closed.wait(self._line_seconds):
            with self._lock:
                assert self._progress is not None
                line = self._line(self._progress)
            self._print(printable(spelled(line)), sys.stderr)

    def _line(self, progress: Progress) -> str:
        """Returns a line such as ` 20 s  building: 1,000 of 5,000 images, 50/s, 80 s left`."""
        now = time.monotonic()
        line = f"{now - self._started:6.0f} s  {progress.label}"
        if progress.done or progress.total is not None:
            rate = progress.done / max(now - self._label_since, 1e-3)
            line += f": {_amount(progress.done, progress.unit)}"
            if progress.total is not None:
                line += f" of {_amount(progress.total, progress.unit)}"
            line += f", {_amount(rate, progress.unit)}/s"
            if progress.total is not None and rate > 0:
                line += f", {max(progress.total - progress.done, 0) / rate:.0f} s left"
        return "; ".join([line, *(f"{name}: {text}" for name, text in _details(progress).items())])


def _amount(number: float, unit: str) -> str:
    return bytes_of(number) if unit == "B" else f"{number:,.0f} {unit}"


def _details(progress: Progress) -> dict[str, object]:
    details: dict[str, object] = {}
    if progress.failed is not None:
        details["failed"] = f"{progress.failed:,}"
    if progress.stages:
        details["stages"] = progress.stages
    return details
