"""Runs programs in turns on the same pictures, and tables what they took."""

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from benchmarks.measure import Measurement, run
from benchmarks.pixels.corpus import Corpus
from benchmarks.report import median, mib, read_all, say

Contents = TypeVar("Contents")

_HEADINGS = (
    *("seconds", "CPU s", "images/s", "start-up s", "beyond it/s", "CPU ms each", "peak MiB"),
    "output MiB",
)


@dataclass(frozen=True)
class Program(Generic[Contents]):
    """One that takes part.

    Attributes:
        name: for the table.
        command: makes the command from a corpus and a folder for output, which isn't there yet.
        read: reads the output in full, for the check that all have done the same.
    """

    name: str
    command: Callable[[Corpus, Path], Sequence[str]]
    read: Callable[[Path], Contents]


@dataclass(frozen=True)
class Result(Generic[Contents]):
    """Medians of a program's runs.

    Attributes:
        name: of the program.
        images: of the large corpus.
        few: images of the small one.
        whole: what the large one took.
        startup: what the small one took.
        contents: what was read from the output of the large one.
        output_bytes: its size.
    """

    name: str
    images: int
    few: int
    whole: Measurement
    startup: Measurement
    contents: Contents
    output_bytes: int

    @property
    def rate(self) -> float:
        """Images a second, with start-up."""
        return self.images / self.whole.seconds

    @property
    def rate_beyond(self) -> float:
        """Images a second, without what a run of a few images takes, and without these."""
        seconds = self.whole.seconds - self.startup.seconds
        return (self.images - self.few) / seconds if seconds > 0 else math.nan

    @property
    def cpu_each(self) -> float:
        """Seconds of a core for an image, likewise; other load on the machine hardly matters."""
        seconds = self.whole.cpu_seconds - self.startup.cpu_seconds
        return seconds / (self.images - self.few)

    def row(self) -> str:
        """Its line in the table."""
        cells = (
            f"{self.whole.seconds:.1f}",
            f"{self.whole.cpu_seconds:.1f}",
            f"{self.rate:,.0f}",
            f"{self.startup.seconds:.1f}",
            f"{self.rate_beyond:,.0f}",
            f"{self.cpu_each * 1000:.2f}",
            mib(self.whole.peak_bytes),
            mib(self.output_bytes),
        )
        return f"  {self.name:30}" + "".join(f"{cell:>12}" for cell in cells)


def run_in_turns(
    programs: Sequence[Program[Contents]], large: Corpus, small: Corpus, work: Path, repeats: int
) -> list[Result[Contents]]:
    """Runs each program on both corpora, one program after the other, and that several times.

    Raises:
        CommandError: one failed.
    """
    runs: dict[str, list[tuple[Measurement, Measurement]]] = {one.name: [] for one in programs}
    contents: dict[str, tuple[Contents, int]] = {}
    for number in range(repeats):
        for program in programs:
            say(f"{program.name}, run {number + 1} of {repeats}")
            with tempfile.TemporaryDirectory(prefix="output-", dir=work) as folder:
                output = Path(folder) / "large"
                read_all(large.images)
                read_all(large.tar.parent)
                os.sync()  # what was written before shall not cost time now
                log = Path(folder) / "log"
                whole = run(program.command(large, output), log)
                startup = run(program.command(small, Path(folder) / "small"), log)
                say(f"    {whole.seconds:.1f} s, and {startup.seconds:.1f} s for a few images")
                runs[program.name].append((whole, startup))
                if program.name not in contents:
                    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
                    contents[program.name] = program.read(output), size
    return [
        Result(
            name,
            len(large.pictures),
            len(small.pictures),
            median([whole for whole, _ in measured]),
            median([startup for _, startup in measured]),
            *contents[name],
        )
        for name, measured in runs.items()
    ]


def table(title: str, results: Sequence[Result]) -> str:
    """All results, with a heading."""
    heading = f"  {'':30}" + "".join(f"{word:>12}" for word in _HEADINGS)
    return "\n".join(("", title, heading, *(result.row() for result in results)))
