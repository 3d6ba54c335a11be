"""Compares builds of annotations alone: this project, DuckDB, and a CoGroupByKey of rows in Beam.

All three read the same files and must give the same Parquet, value for value; each runs in its own
process, with two workers or threads, once its input is in the page cache. Elapsed time includes
the start of Python; memory is the peak of all processes of a program together. This project also
checks every row, shuffles the images and keeps an image's rows in published order.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contents import Contents, read_contents
from benchmarks.measure import CommandError, Measurement, run
from benchmarks.report import (
    annotation_corpus,
    machine,
    make_parser,
    median,
    mib,
    positive,
    read_all,
    say,
    work_folder,
)

_WORKERS = 2
_PACKAGES = ("apache-beam", "pyarrow", "numpy", "duckdb")
_PYTHON = (sys.executable, "-m")


@dataclass(frozen=True)
class Program:
    """One that takes part.

    Attributes:
        name: for the table.
        command: with `{annotations}` and `{output}` for the folders that it reads and makes.
        examples: a glob of the folder, below its output, that holds the examples.
    """

    name: str
    command: tuple[str, ...]
    examples: str = "parquet"


_FOLDERS = ("{annotations}", "{output}")
OURS = Program(
    "this project",
    (
        *(*_PYTHON, "pipelines.build", "--annotations", "{annotations}", "--output", "{output}"),
        *("--images", "none", "--format", "parquet", "--num_workers", str(_WORKERS)),
    ),
    examples="versions/*/parquet",
)
DUCKDB = Program("DuckDB", (*_PYTHON, "benchmarks.duckdb_join", *_FOLDERS))
GROUPBYKEY = Program("CoGroupByKey of rows", (*_PYTHON, "benchmarks.groupbykey", *_FOLDERS))


def _within(limit: str) -> Program:
    """DuckDB with a memory limit."""
    return Program(f"DuckDB within {limit}", (*DUCKDB.command, "--memory_limit", limit))


class UnequalWorkError(Exception):
    """Two programs gave different results."""


@dataclass(frozen=True)
class Result:
    """Medians of a program's runs on one corpus."""

    program: Program
    contents: Contents
    median: Measurement
    output_bytes: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program.

    Returns:
        The exit code: 0 done, 1 a program failed or gave another result than the others.
    """
    flags = _parser().parse_args(arguments)
    limited = [_within(flags.duckdb_memory_limit)] if flags.duckdb_memory_limit else []
    sizes = {count: [OURS, DUCKDB, *limited] for count in flags.images}
    if flags.groupbykey_images:
        sizes.setdefault(flags.groupbykey_images, [OURS, DUCKDB]).append(GROUPBYKEY)
    print(machine(_PACKAGES, _WORKERS), flush=True)
    try:
        with work_folder(flags.work) as work:
            for count in sorted(sizes):
                results = _compare(work, count, sizes[count], flags.repeats)
                print(_table(count, results, flags.repeats), flush=True)
    except (CommandError, UnequalWorkError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("benchmarks.annotations", __doc__)
    add = parser.add_argument
    add(
        "--images",
        type=_counts,
        default=[100_000, 1_000_000],
        metavar="N,N",
        help="sizes of the corpora; default: 100000,1000000",
    )
    add("--repeats", type=positive, default=1, metavar="N", help="runs, for medians; default: 1")
    add(
        "--groupbykey_images",
        type=int,
        default=20_000,
        metavar="N",
        help="size at which the CoGroupByKey takes part, at 20 to 40 thousand rows a second and "
        "with all of them in memory; 0: not at all. Default: 20000",
    )
    add(
        "--duckdb_memory_limit",
        metavar="SIZE",
        help="such as 1GB; runs DuckDB a second time, spilling to disk beyond that. Default: not",
    )
    add(
        "--work",
        type=Path,
        metavar="DIR",
        help="keeps the corpora here, or takes those of an earlier run; 3 GB a million images. "
        "Default: a temporary folder",
    )
    return parser


def _counts(text: str) -> list[int]:
    return [positive(count) for count in text.split(",")]


def _compare(work: Path, count: int, programs: Sequence[Program], repeats: int) -> list[Result]:
    """Runs programs in turns on one corpus.

    Raises:
        CommandError: one failed.
        UnequalWorkError: one gave another result than the first.
    """
    annotations = annotation_corpus(work, count) / "annotations"
    runs: dict[Program, list[Measurement]] = {program: [] for program in programs}
    contents: dict[Program, Contents] = {}
    sizes: dict[Program, int] = {}
    for number in range(repeats):
        for program in programs:
            say(f"{count:,} images: {program.name}, run {number + 1} of {repeats}")
            with tempfile.TemporaryDirectory(prefix="output-", dir=work) as folder:
                output = Path(folder) / "dataset"
                read_all(annotations)
                os.sync()  # what was written before shall not cost time now
                command = [
                    word.format(annotations=annotations, output=output) for word in program.command
                ]
                measured = run(command, Path(folder) / "log")
                say(f"    {measured.seconds:.1f} s, {mib(measured.peak_bytes)} MiB")
                runs[program].append(measured)
                if program not in contents:
                    say("    reading the result")
                    (examples,) = output.glob(program.examples)
                    contents[program] = read_contents(examples)
                    sizes[program] = _bytes_below(examples)
        for program in programs[1:]:
            difference = contents[programs[0]].difference(contents[program])
            if difference:
                raise UnequalWorkError(
                    f"{programs[0].name} and {program.name} differ: {difference}"
                )
    return [
        Result(program, contents[program], median(runs[program]), sizes[program])
        for program in programs
    ]


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _table(count: int, results: Sequence[Result], repeats: int) -> str:
    """The figures of one corpus, the ratios, and what was checked."""
    contents = results[0].contents
    runs = "one run each" if repeats == 1 else f"medians of {repeats} runs"
    heading = ("", "seconds", "CPU s", "rows/s", "images/s", "peak MiB", "output MiB")
    lines = [
        "",
        f"{count:,} images, {contents.rows:,} rows; {runs}",
        f"  {heading[0]:22}" + "".join(f"{word:>12}" for word in heading[1:]),
    ]
    for result in results:
        seconds = result.median.seconds
        cells = (
            f"{seconds:.1f}",
            f"{result.median.cpu_seconds:.1f}",
            f"{contents.rows / seconds:,.0f}",
            f"{contents.images / seconds:,.0f}",
            mib(result.median.peak_bytes),
            mib(result.output_bytes),
        )
        lines.append(f"  {result.program.name:22}" + "".join(f"{cell:>12}" for cell in cells))
    ours = results[0]
    for other in results[1:]:
        time = other.median.seconds / ours.median.seconds
        memory = ours.median.peak_bytes / other.median.peak_bytes
        lines.append(
            f"  time {other.program.name} / {ours.program.name}: {time:.2f}; "
            f"memory {ours.program.name} / {other.program.name}: {memory:.2f}"
        )
    elements = ", ".join(f"{n:,} {name}" for name, n in contents.elements.items())
    lines.append(f"  equal, value for value but for order: {contents.images:,} images, {elements}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
