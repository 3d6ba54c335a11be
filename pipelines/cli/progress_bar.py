"""How far a program is: a bar on a terminal, a line every few seconds elsewhere."""

import sys
import time
from typing import Self, TextIO

from tqdm import tqdm

from transforms.wording import printable

_LINE_SECONDS = 10.0


class ByteBar:
    """Shows progress on stderr while it is open; what is said goes to stdout."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._bar: tqdm | None = None
        self._shown = time.monotonic()

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bar = tqdm(desc=self._label, unit="B", unit_scale=True, unit_divisor=1024)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, done: int, total: int) -> None:
        """Shows that so many bytes are done."""
        if self._bar is not None:
            self._bar.total = total
            self._bar.n = done
            self._bar.refresh()
        elif time.monotonic() - self._shown > _LINE_SECONDS:
            self._shown = time.monotonic()
            print(f"{self._label}: {done / max(total, 1):.0%}", file=sys.stderr, flush=True)

    def print_line(self, line: str, file: TextIO | None = None) -> None:
        """Prints a line without tearing the bar, to stdout or another file."""
        with tqdm.external_write_mode(file or sys.stdout):
            print(printable(line), file=file or sys.stdout, flush=True)

    def note(self, line: str) -> None:
        """Prints a note to stderr."""
        self.print_line(f"note: {line}", sys.stderr)
