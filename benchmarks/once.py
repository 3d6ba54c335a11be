"""Runs a program once on a corpus of annotations, and hands over what it made."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.measure import Limits, Measurement, Watch, run
from benchmarks.programs import Program
from benchmarks.report import mib, read_all, say

_MEMORY_SHARE = 0.8
_SPARE_DISK_BYTES = 2 << 30
_MOST_SECONDS = 3_600


@contextlib.contextmanager
def run_once(
    program: Program, annotations: Path, work: Path
) -> Iterator[tuple[Measurement, Path | None]]:
    """Runs a program with its input in the page cache, as far as that fits.

    A program that takes over 80% of the machine's memory, nearly all of its disk, or an hour is
    ended.

    Args:
        program: what to run.
        annotations: its input.
        work: a folder; what the program makes in it is removed at the end.

    Yields:
        What it took, and the folder with its examples, if it makes any.

    Raises:
        CommandError: it failed.
        LimitError: it was ended.
    """
    with tempfile.TemporaryDirectory(prefix="output-", dir=work) as folder:
        output = Path(folder) / "dataset"
        read_all(annotations)
        os.sync()  # what was written before shall not cost time now
        command = [word.format(annotations=annotations, output=output) for word in program.command]
        limits = Limits(
            memory_bytes=int(_MEMORY_SHARE * psutil.virtual_memory().total),
            disk_bytes=shutil.disk_usage(work).free - _SPARE_DISK_BYTES,
            seconds=_MOST_SECONDS,
        )
        measured = run(command, Path(folder) / "log", Watch(output, program.spill), limits)
        say(f"    {measured.seconds:.1f} s, {mib(measured.peak_bytes)} MiB")
        yield measured, next(output.glob(program.examples)) if program.examples else None
