"""What the benchmarks' command lines and tables share."""

import argparse
import contextlib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.measure import Measurement


def positive(text: str) -> int:
    """An argument's value.

    Raises:
        argparse.ArgumentTypeError: it's not at least 1.
    """
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def make_parser(program: str, description: str | None) -> argparse.ArgumentParser:
    """A benchmark's parser, whose help is its module's docstring as it stands."""
    return argparse.ArgumentParser(
        prog=f"python -m {program}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


@contextlib.contextmanager
def work_folder(given: Path | None) -> Iterator[Path]:
    """The folder given, which stays, or else a temporary one."""
    if given is None:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            yield Path(folder)
    else:
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()


def annotation_corpus(work: Path, count: int) -> Path:
    """The folder of a corpus without pictures, which is made where it's not there yet."""
    folder = work / f"corpus-{count}"
    if not folder.exists():
        say(f"{count:,} images: making the corpus")
        with tempfile.TemporaryDirectory(prefix="making-", dir=work) as making:
            made = Path(making) / "corpus"
            command = (sys.executable, "-m", "pipelines.synthesize", "--output", str(made))
            subprocess.run(
                [*command, "--images", str(count), "--pixels", "none"],
                check=True,
                stdout=sys.stderr,
            )
            made.rename(folder)
    return folder


def read_all(folder: Path) -> None:
    """Brings all files below a folder into the page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.read(1 << 20):
                    pass


def median(runs: Sequence[Measurement]) -> Measurement:
    """The median of each figure by itself."""
    return Measurement(
        statistics.median(run.seconds for run in runs),
        statistics.median(run.cpu_seconds for run in runs),
        int(statistics.median(run.peak_bytes for run in runs)),
    )


def machine(packages: Sequence[str], workers: int) -> str:
    """What the figures depend on."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB of memory, "
        f"{platform.system()} {platform.release()}\n"
        f"Python {platform.python_version()}, {versions}\n"
        f"{workers} workers or threads each; load average before: {os.getloadavg()[0]:.1f}"
    )


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def mib(count: float) -> str:
    """A number of bytes in MiB."""
    return f"{count / 2**20:,.0f}"


def say(message: str) -> None:
    """Tells of progress."""
    print(message, file=sys.stderr, flush=True)
