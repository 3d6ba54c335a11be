"""What the benchmarks' command lines and tables share."""

import argparse
import contextlib
import os
import platform
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.measure import Measurement

NARRATIVE_BYTES = 3_000
#: Spill and output together, by the size of the input: 1.17 at a million images.
_MORE_SPACE = 1.2
_PLACES = ("--work", "--results", "--peers", "--environments")


class SpaceError(Exception):
    """The disk hasn't enough room; the message is one line with the remedy."""


def positive(text: str) -> int:
    """An argument's value.

    Raises:
        argparse.ArgumentTypeError: it's not at least 1.
    """
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def counts(text: str) -> list[int]:
    """Numbers with commas between them, each at least 1."""
    return [positive(count) for count in text.split(",")]


def names_among(known: Collection[str]) -> Callable[[str], list[str]]:
    """Returns a parser of names with commas between them, each one that is known.

    It raises `argparse.ArgumentTypeError` for another.
    """

    def parse(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return names

    return parse


def make_parser(program: str, description: str | None) -> argparse.ArgumentParser:
    """A benchmark's parser, whose help is its module's docstring as it stands."""
    return argparse.ArgumentParser(
        prog=f"python -m {program}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_peers(parser: argparse.ArgumentParser, installed: str) -> None:
    """Adds `--peers`, a folder.

    Args:
        parser: of the benchmark.
        installed: a clause on what is installed there.
    """
    parser.add_argument(
        "--peers",
        type=Path,
        default=Path(".venv/peers"),
        metavar="DIR",
        help=f"where {installed}. Default: .venv/peers",
    )


def add_places(parser: argparse.ArgumentParser) -> None:
    """Adds `--work`, for `work_folder`, and `--results`, for `publish`."""
    parser.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="keeps the corpora here, or takes those of an earlier run; 2.4 GB a million images. "
        "Default: a temporary folder",
    )
    parser.add_argument(
        "--results",
        type=Path,
        metavar="FILE",
        help="a file such as benchmarks/RESULTS.md, in which the section of this benchmark is "
        "replaced. Default: the figures are printed only",
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


def require_space(
    work: Path, sizes: Sequence[int], narrative_bytes: int = NARRATIVE_BYTES, more: int = 0
) -> None:
    """Makes sure that there's room for corpora and for what comes of the largest.

    Args:
        work: the folder of the corpora.
        sizes: images of each corpus.
        narrative_bytes: size of a narrative's line.
        more: bytes that are needed besides.

    Raises:
        SpaceError: there's not.
    """
    an_image = 2_190 + 0.07 * narrative_bytes  # measured
    missing = [count for count in sizes if not _corpus(work, count, narrative_bytes).exists()]
    count = max(sizes)
    needed = sum(missing) * an_image + count * an_image * _MORE_SPACE + more
    free = shutil.disk_usage(work).free
    if free < needed:
        raise SpaceError(
            f"{count:,} images need {needed / 1e9:.0f} GB and {free / 1e9:.0f} are free in {work}: "
            "name a folder on another disk by --work, or fewer images"
        )


def _corpus(work: Path, count: int, narrative_bytes: int) -> Path:
    special = "" if narrative_bytes == NARRATIVE_BYTES else f"-{narrative_bytes}"
    return work / f"corpus-{count}{special}"


def annotation_corpus(work: Path, count: int, narrative_bytes: int = NARRATIVE_BYTES) -> Path:
    """The folder of a corpus without pictures, which is made where it's not there yet."""
    folder = _corpus(work, count, narrative_bytes)
    if not folder.exists():
        say(f"{count:,} images: making the corpus")
        with tempfile.TemporaryDirectory(prefix="making-", dir=work) as making:
            made = Path(making) / "corpus"
            command = (sys.executable, "-m", "pipelines.synthesize", "--output", str(made))
            size = ("--images", str(count), "--narrative_bytes", str(narrative_bytes))
            subprocess.run([*command, *size, "--pixels", "none"], check=True, stdout=sys.stderr)
            made.rename(folder)
    return folder


def read_all(folder: Path) -> None:
    """Brings all files below a folder into the page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.read(1 << 20):
                    pass


def bytes_below(folder: Path) -> int:
    """The size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def median(runs: Sequence[Measurement]) -> Measurement:
    """The median of each figure by itself."""
    return Measurement(
        statistics.median(run.seconds for run in runs),
        statistics.median(run.cpu_seconds for run in runs),
        int(statistics.median(run.peak_bytes for run in runs)),
        int(statistics.median(run.disk_bytes for run in runs)),
        int(statistics.median(run.spill_bytes for run in runs)),
    )


def limit_cores(count: int) -> None:
    """Keeps this process, and all that it starts, to some cores, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def machine(packages: Iterable[str], workers: int) -> str:
    """What the figures depend on."""
    versions = ", ".join(f"{name} {version(name)}" for name in dict.fromkeys(packages))
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB of memory, "
        f"{platform.system()} {platform.release()}.\n"
        f"Python {platform.python_version()}, {versions}.\n"
        f"{workers} workers or threads each; load average before: {os.getloadavg()[0]:.1f}"
    )


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, padded to be read as it stands; numbers, in all but the first column."""
    cells = [heading, *rows]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]
        for row in (heading, rule, *cells[1:])
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def judged(what: str, value: float, target: float, unit: str = "") -> str:
    """A figure beside its target."""
    verdict = "met" if value >= target else "NOT met"
    return f"  {what}: {value:.2f}{unit} (target {target:g}{unit}: {verdict})"


def publish(
    results: Path | None, title: str, module: str, arguments: Sequence[str], body: str
) -> None:
    """Prints a section of figures, and puts it into a file in place of the one of that title.

    Args:
        results: the file; without one the section is printed only.
        title: of the section.
        module: the program's.
        arguments: its own; those that name this machine's places are left out.
        body: machine, tables and notes, in Markdown.
    """
    command = shlex.join(["python", "-m", module, *_portable(arguments)])
    section = f"## {title}\n\n```\n{command}\n```\n\n{_wrapped(body.strip())}\n"
    print(section, flush=True)
    if results is None:
        return
    before = results.read_text(encoding="utf-8") if results.exists() else ""
    parts = re.split(r"^(?=## )", before, flags=re.MULTILINE)
    names = [part.partition("\n")[0] for part in parts]
    if f"## {title}" in names:
        parts[names.index(f"## {title}")] = section
    else:
        parts.append(section)
    text = "\n".join(f"{part.strip()}\n" for part in parts if part.strip())
    results.write_text(text, encoding="utf-8")


def _wrapped(body: str) -> str:
    """Wraps the lines of Markdown at 100 columns, except in tables and code."""
    lines, in_code = [], False
    for line in body.splitlines():
        in_code ^= line.startswith("```")
        is_prose = not in_code and not line.startswith("|")
        lines += textwrap.wrap(line, 100) if is_prose and len(line) > 100 else [line]
    return "\n".join(lines)


def _portable(arguments: Sequence[str]) -> Iterator[str]:
    words = iter(arguments)
    for word in words:
        if word in _PLACES:
            next(words, None)
        elif word.partition("=")[0] not in _PLACES:
            yield word


def brief(number: float) -> str:
    """A number to three digits or more."""
    return f"{number:,.1f}" if number >= 10 else f"{number:.2f}"


def elapsed(runs: Sequence[Measurement]) -> str:
    """The median of seconds, and from where to where they go where there are several."""
    seconds = [run.seconds for run in runs]
    spread = f" ({brief(min(seconds))} – {brief(max(seconds))})" if len(runs) > 1 else ""
    return f"{brief(statistics.median(seconds))}{spread}"


def mib(count: float) -> str:
    """A number of bytes in MiB."""
    return f"{count / 2**20:,.0f}"


def say(message: str) -> None:
    """Tells of progress."""
    print(message, file=sys.stderr, flush=True)
