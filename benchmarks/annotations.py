"""Compares builds of annotations alone: this project, its peers, and what limits them all.

DuckDB, Polars (streaming), ClickHouse (chdb) and a CoGroupByKey of rows in Beam read the same files
and make the same nested Parquet, zstd at level 1, which is compared value for value but for order.
Each runs in its own process, in turns, on two cores with two workers or threads, once its input is
in the page cache. Elapsed time includes the start of Python; memory is the peak of all processes
of a program together. This project also checks every row, shuffles the images, keeps an image's
rows in published order, verifies what it wrote and publishes it at once.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError
from pathlib import Path

from benchmarks.contents import Contents, read_contents
from benchmarks.measure import CommandError, Measurement
from benchmarks.once import run_once
from benchmarks.programs import LIMITABLE, PROGRAMS, WORKERS, Program, within
from benchmarks.report import (
    SpaceError,
    add_places,
    annotation_corpus,
    brief,
    bytes_below,
    counts,
    elapsed,
    limit_cores,
    machine,
    make_parser,
    median,
    mib,
    names_among,
    positive,
    publish,
    require_space,
    say,
    table,
    work_folder,
)

_DEFAULT = [name for name in PROGRAMS if name != "groupbykey"]
_HEADING = ("", "seconds", "CPU s", "rows/s", "peak MiB", "spill MiB", "output MiB")
_RATIOS = ("time / ours", "memory / ours")


@dataclass
class Result:
    """What a program's runs on one corpus took and gave.

    Attributes:
        runs: one a turn.
        contents: of its examples; None for limits, which make none.
        output_bytes: of its examples.
        failure: in what it failed, if it did; it then takes no more turns.
        difference: from this project's examples, where there is one.
    """

    program: Program
    runs: list[Measurement] = field(default_factory=list)
    contents: Contents | None = None
    output_bytes: int = 0
    failure: str = ""
    difference: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program.

    Returns:
        The exit code: 0 done, whether or not a peer could do it; 1 this project failed or a peer
        gave another result; 2 wrong use.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    flags = _parser().parse_args(given)
    sizes = _programs(flags)
    packages = [name for some in sizes.values() for each in some for name in each.packages]
    limit_cores(WORKERS)
    unequal = False
    try:
        body = [machine(packages, WORKERS)]
        with work_folder(flags.work) as work:
            require_space(work, list(sizes))
            for count in sorted(sizes):
                annotations = annotation_corpus(work, count) / "annotations"
                results = _compare(work, annotations, sizes[count], flags.repeats)
                unequal |= any(result.difference for result in results)
                body.append(_section(count, bytes_below(annotations), results, flags.repeats))
    except SpaceError as error:
        print(error, file=sys.stderr)
        return 2
    except PackageNotFoundError as error:
        print(f"{error.name} is missing: pip install --editable '.[bench,test]'", file=sys.stderr)
        return 2
    except (CommandError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    publish(flags.results, flags.title, "benchmarks.annotations", given, "\n\n".join(body))
    return int(unequal)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("benchmarks.annotations", __doc__)
    add = parser.add_argument
    add(
        "--images",
        type=counts,
        default=[100_000, 1_000_000],
        metavar="N,N",
        help="sizes of the corpora; default: 100000,1000000",
    )
    add(
        "--programs",
        type=names_among(PROGRAMS),
        default=_DEFAULT,
        metavar="NAME,NAME",
        help=f"of {', '.join(PROGRAMS)}; default: all but groupbykey",
    )
    add("--repeats", type=positive, default=1, metavar="N", help="turns, for medians; default: 1")
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
        "--duckdb_disk_limit",
        metavar="SIZE",
        default="",
        help="such as 20GB, of what it spills then; default: 90%% of what is free",
    )
    add("--title", default="Annotations alone", help="of the section; default: Annotations alone")
    add_places(parser)
    return parser


def _programs(flags: argparse.Namespace) -> dict[int, list[Program]]:
    """Which programs take part at which size, this project first."""
    names = sorted({"ours", *flags.programs}, key=list(PROGRAMS).index)
    chosen = [PROGRAMS[name] for name in names]
    if flags.duckdb_memory_limit:
        chosen += [
            within(PROGRAMS[name], flags.duckdb_memory_limit, flags.duckdb_disk_limit)
            for name in LIMITABLE
        ]
    sizes = {count: list(chosen) for count in flags.images}
    if flags.groupbykey_images:
        some = sizes.setdefault(flags.groupbykey_images, [PROGRAMS["ours"]])
        if PROGRAMS["groupbykey"] not in some:
            some.append(PROGRAMS["groupbykey"])
    return sizes


def _compare(
    work: Path, annotations: Path, programs: Sequence[Program], repeats: int
) -> list[Result]:
    """Runs programs in turns on one corpus.

    Raises:
        CommandError: the first of them failed.
    """
    results = [Result(program) for program in programs]
    for number in range(repeats):
        for result in results:
            if result.failure:
                continue
            name = annotations.parent.name
            say(f"{name}: {result.program.title}, run {number + 1} of {repeats}")
            try:
                with run_once(result.program, annotations, work) as (measured, examples):
                    result.runs.append(measured)
                    if examples and not result.contents:
                        say("    reading the result")
                        result.contents = read_contents(examples)
                        result.output_bytes = bytes_below(examples)
            except CommandError as error:
                if result is results[0]:
                    raise
                result.failure = _why(error)
                say(f"    {error}")
    ours = results[0]
    for result in results[1:]:
        if ours.contents and result.contents:
            strictly = result.program.null_lists
            result.difference = ours.contents.difference(result.contents, strictly)
    return results


def _why(error: CommandError) -> str:
    """The line of a program's last words that says most."""
    lines = str(error).strip().splitlines()
    return next((line for line in reversed(lines) if "Error" in line), lines[-1]).strip()


def _section(count: int, input_bytes: int, results: Sequence[Result], repeats: int) -> str:
    """The figures of one corpus, and what was checked."""
    ours = results[0]
    assert ours.contents
    contents, base = ours.contents, median(ours.runs)
    rows, notes = [], []
    for result in results:
        if result.failure:
            notes.append(f"{result.program.title} failed: {result.failure}")
        if result.difference:
            notes.append(f"{result.program.title} **differs from ours**: {result.difference}")
        if not result.runs:
            continue
        middle = median(result.runs)
        made = result.contents is not None
        rows.append(
            (
                result.program.title,
                elapsed(result.runs),
                brief(middle.cpu_seconds),
                f"{contents.rows / middle.seconds:,.0f}" if made else "",
                mib(middle.peak_bytes),
                mib(middle.spill_bytes) if made else "",
                mib(result.output_bytes) if made else "",
                f"{middle.seconds / base.seconds:.2f}",
                f"{middle.peak_bytes / base.peak_bytes:.2f}" if made else "",
            )
        )
    elements = ", ".join(f"{n:,} {name}" for name, n in contents.elements.items())
    runs = "one run each" if repeats == 1 else f"medians of {repeats} runs in turns"
    peers = [result for result in results[1:] if result.contents]
    equal = peers and not any(result.difference for result in peers)
    what = "Compared, equal but for order" if equal else "Written by this project"
    lines = [
        f"**{count:,} images**, {contents.rows:,} rows, {input_bytes / 1e6:,.0f} MB; {runs}:",
        table((*_HEADING, *_RATIOS), rows),
        *notes,
        f"{what}: {contents.images:,} images, {elements}.",
    ]
    return "\n\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
