"""How builds of annotations alone grow: with the images, and with the workers.

Each size is built with two workers, some also with one; builds of one size must publish the same
bytes. What a build of a thousand images takes is the start-up, and time a row is given beyond it.
Memory is the peak of all processes together; spill is the peak of what lies between reading and
joining, disk that of all that a build has written and not yet removed, the output included.
The published corpus has 9,178,275 images, which take 22 GB, and as much again to build.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import CommandError, Measurement
from benchmarks.once import run_once
from benchmarks.programs import PROGRAMS, WORKERS, build
from benchmarks.report import (
    NARRATIVE_BYTES,
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
    positive,
    publish,
    require_space,
    say,
    table,
    work_folder,
)
from transforms.kinds.registry import TABLES

_START_UP_IMAGES = 1_000
#: Builds of fewer images take seconds, of which what else the machine does is a part: so each is
#: run several times, where others are run once.
_SHORT_IMAGES, _SHORT_RUNS = 1_000_000, 5
_HEADING = (
    *("images", "rows", "workers", "seconds", "CPU s", "start-up s", "µs/row"),
    *("to the first", "peak MiB", "input MB", "spill MB", "disk MB"),
    "output MB",
)


@dataclass(frozen=True)
class Size:
    """One size of corpus, built with one number of workers.

    Attributes:
        rows: of images and annotations that were published.
        runs: what the builds took.
        input_bytes: of the annotation files.
        output_bytes: of the shards.
        shards: path to SHA-256.
    """

    images: int
    workers: int
    rows: int
    runs: list[Measurement]
    input_bytes: int
    output_bytes: int
    shards: dict[str, str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program.

    Returns:
        The exit code: 0 done, 1 a build failed or made other bytes, 2 wrong use.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    flags = _parser().parse_args(given)
    flags.images = sorted({*flags.images, *flags.one_worker_images})
    limit_cores(WORKERS)
    about = machine(PROGRAMS["ours"].packages, WORKERS)
    try:
        with work_folder(flags.work) as work:
            require_space(work, flags.images, flags.narrative_bytes)
            sizes = _measure(work, flags)
    except SpaceError as error:
        print(error, file=sys.stderr)
        return 2
    except (CommandError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    for images in flags.one_worker_images:
        if sizes[images, 1].shards != sizes[images, WORKERS].shards:
            print(f"{images:,} images: one worker made other bytes than two", file=sys.stderr)
            return 1
    body = f"{about}\n\n{_section(sizes, flags)}"
    publish(flags.results, flags.title, "benchmarks.scaling", given, body)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("benchmarks.scaling", __doc__)
    add = parser.add_argument
    add(
        "--images",
        type=_sizes,
        default=[100_000, 1_000_000],
        metavar="N,N",
        help="sizes of the corpora; default: 100000,1000000",
    )
    add(
        "--one_worker_images",
        type=_sizes,
        default=[],
        metavar="N,N",
        help="those to build with one worker too; default: none",
    )
    add(
        "--narrative_bytes",
        type=positive,
        default=NARRATIVE_BYTES,
        metavar="N",
        help=f"size of a narrative's line; published: 33000. Default: {NARRATIVE_BYTES}",
    )
    add("--title", default="Growth", help="of the section; default: Growth")
    add(
        "--repeats",
        type=positive,
        default=1,
        metavar="N",
        help="turns, for medians; default: 1. Builds of less "
        "than a million images are run five times in each",
    )
    add_places(parser)
    return parser


def _sizes(text: str) -> list[int]:
    sizes = counts(text)
    if min(sizes) <= _START_UP_IMAGES:
        raise argparse.ArgumentTypeError(f"{_START_UP_IMAGES:,} images are the start-up; give more")
    return sizes


def _measure(work: Path, flags: argparse.Namespace) -> dict[tuple[int, int], Size]:
    """Builds each size, in turns; start-up with each number of workers comes first."""
    pairs = [(_START_UP_IMAGES, 1)] if flags.one_worker_images else []
    pairs.append((_START_UP_IMAGES, WORKERS))
    for images in flags.images:
        pairs += [(images, 1)] if images in flags.one_worker_images else []
        pairs.append((images, WORKERS))
    sizes: dict[tuple[int, int], Size] = {}
    for number in range(flags.repeats):
        for images, workers in _several_times(pairs):
            corpus = annotation_corpus(work, images, flags.narrative_bytes)
            annotations = corpus / "annotations"
            say(f"{images:,} images, {workers} workers, run {number + 1} of {flags.repeats}")
            with run_once(build(workers), annotations, work) as (measured, examples):
                if (images, workers) in sizes:
                    sizes[images, workers].runs.append(measured)
                elif examples:
                    rows, shards = _published(examples.parent / "manifest.json")
                    sizes[images, workers] = Size(
                        images=images,
                        workers=workers,
                        rows=rows,
                        runs=[measured],
                        input_bytes=bytes_below(annotations),
                        output_bytes=bytes_below(examples),
                        shards=shards,
                    )
    return sizes


def _several_times(pairs: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Sizes and workers in turns, short builds before long ones."""
    short = [pair for pair in pairs if pair[0] < _SHORT_IMAGES]
    yield from short * _SHORT_RUNS
    yield from (pair for pair in pairs if pair not in short)


def _published(manifest: Path) -> tuple[int, dict[str, str]]:
    """Rows of all tables, and path to SHA-256 of all shards."""
    version = json.loads(manifest.read_text())
    rows = sum(source["rows"] for source in version["sources"] if source["kind"] in TABLES)
    shards = [shard for split in version["splits"].values() for shard in split["shards"]]
    return rows, {shard["path"]: shard["sha256"] for shard in shards}


def _section(sizes: Mapping[tuple[int, int], Size], flags: argparse.Namespace) -> str:
    """The figures, and how one worker compares with two."""
    start_ups = {
        workers: median(size.runs).seconds
        for (images, workers), size in sizes.items()
        if images == _START_UP_IMAGES
    }
    grown = [size for size in sizes.values() if size.images != _START_UP_IMAGES]
    beyond = {
        (size.images, size.workers): median(size.runs).seconds - start_ups[size.workers]
        for size in grown
    }
    rows, first = [], {}
    for size in grown:
        middle = median(size.runs)
        each = beyond[size.images, size.workers] / size.rows
        rows.append(
            (
                *(f"{size.images:,}", f"{size.rows:,}", str(size.workers)),
                *(elapsed(size.runs), brief(middle.cpu_seconds), brief(start_ups[size.workers])),
                *(f"{each * 1e6:.3f}", f"{each / first.setdefault(size.workers, each):.2f}"),
                mib(middle.peak_bytes),
                *(
                    f"{count / 1e6:,.0f}"
                    for count in (
                        size.input_bytes,
                        middle.spill_bytes,
                        middle.disk_bytes,
                        size.output_bytes,
                    )
                ),
            )
        )
    long = "one run" if flags.repeats == 1 else f"{flags.repeats} runs"
    lines = [
        f"Medians of {flags.repeats * _SHORT_RUNS} runs below {_SHORT_IMAGES:,} images, of {long} "
        f"above; start-up: {_START_UP_IMAGES:,} images; µs/row are beyond it:",
        table(_HEADING, rows),
    ]
    for images in flags.one_worker_images:
        one, two = (median(sizes[images, workers].runs).seconds for workers in (1, WORKERS))
        lines.append(
            f"{images:,} images, time of one worker / two workers: {one / two:.2f} in all, "
            f"{beyond[images, 1] / beyond[images, WORKERS]:.2f} beyond start-up; the same bytes."
        )
    return "\n\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
