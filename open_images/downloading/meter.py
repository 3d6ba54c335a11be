"""Showing how far a download is: a bar on a terminal, a line every few seconds elsewhere."""

import sys
import threading
import time
from typing import Self

from tqdm import tqdm

from open_images.downloading.plan import human
from transforms.wording import printable

LINE_SECONDS = 10.0


def on_terminal() -> bool:
    """Whether somebody watches."""
    return sys.stderr.isatty()


class Meter:
    """Counts what threads have done; while it is open, shows it."""

    def __init__(self, label: str, total: int, unit: str) -> None:
        """Starts at nothing.

        Args:
            label: what is done.
            total: how much there is to do; it may grow.
            unit: `B`, or what is counted.
        """
        self._label, self._total, self._unit = label, total, unit
        self._done = 0
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._print_lines, daemon=True)
        self._bar: tqdm | None = None

    def __enter__(self) -> Self:
        if on_terminal():
            scaled = {"unit_scale": True, "unit_divisor": 1024 if self._unit == "B" else 1000}
            unit = self._unit if self._unit == "B" else f" {self._unit}"
            self._bar = tqdm(desc=self._label, total=self._total, unit=unit, **scaled)
        else:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        if self._bar is not None:
            self._bar.close()
        else:
            self._thread.join()

    def add(self, done: int) -> None:
        """Counts; less than nothing where work has to be done again."""
        with self._lock:
            self._done += done
            if self._bar is not None:
                self._bar.update(done)

    def expect(self, more: int) -> None:
        """Raises the total by what turns out to be to do."""
        with self._lock:
            self._total += more
            if self._bar is not None:
                self._bar.total = self._total

    def say(self, line: str) -> None:
        """Prints a line without tearing the bar."""
        with self._lock:
            tqdm.write(printable(line), file=sys.stderr)

    def _print_lines(self) -> None:
        while not self._closed.wait(LINE_SECONDS):
            seconds = time.monotonic() - self._started
            rate = self._done / seconds
            line = f"{seconds:6.0f} s  {self._label}: {self._amount(self._done)}"
            line += f" of {self._amount(self._total)}, {self._amount(rate)}/s"
            if rate > 0:
                line += f", {max(self._total - self._done, 0) / rate:.0f} s left"
            self.say(line)

    def _amount(self, number: float) -> str:
        return human(number) if self._unit == "B" else f"{number:,.0f} {self._unit}"
