"""Measures a build with pictures in each output format, and the writer of the format's library.

Pictures and boxes are those of `benchmarks.pixels`. A build writes them in one format at a time,
with two workers, from the page cache. A peer is a program of two processes that reads the same
files and writes them as its library's documentation does. It runs in the first of `--environments`
that has its library, with versions of its own; without one, it's left out.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.environments import add_environments, find_environment
from benchmarks.measure import CommandError, Measurement
from benchmarks.once import run_once
from benchmarks.pixels.corpus import Corpus, make_corpus
from benchmarks.programs import WORKERS, Program
from benchmarks.report import (
    add_peers,
    add_places,
    limit_cores,
    machine,
    make_parser,
    median,
    mib,
    names_among,
    positive,
    publish,
    say,
    table,
    work_folder,
)
from transforms.formats.registry import FORMATS

_PACKAGES = ("apache-beam", "pyarrow", "numpy")


class Peer(NamedTuple):
    """A program that writes a format by its own library: `format_peers` with this name.

    Attributes:
        title: for the table.
        package: that it imports.
        form: the output format that it's compared with.
    """

    title: str
    package: str
    form: str


PEERS = {
    "shard_writer": Peer("webdataset.ShardWriter", "webdataset", "webdataset"),
    "mds_writer": Peer("streaming.MDSWriter", "streaming", "mds"),
    "fiftyone_coco": Peer("FiftyOne, COCO", "fiftyone", "coco"),
    "fiftyone_yolo": Peer("FiftyOne, YOLO", "fiftyone", "yolo"),
    "datumaro_coco": Peer("Datumaro, COCO", "datumaro", "coco"),
    "datumaro_yolo": Peer("Datumaro, YOLO", "datumaro", "yolo"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program.

    Returns:
        The exit code: 0 done, 1 a program failed, 2 wrong use.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    flags = _parser().parse_args(given)
    limit_cores(WORKERS)
    about = machine(_PACKAGES, WORKERS)
    programs = {form: _build(form) for form in flags.formats} | dict(_find_peers(flags))
    try:
        with work_folder(flags.work) as work:
            say(f"{flags.images:,} pictures are made, unless they are there")
            photographs = flags.peers.resolve() / "photographs"
            corpus = make_corpus(work, photographs, flags.images, WORKERS)
            measured = {
                name: _measure(program, corpus, work, flags.repeats)
                for name, program in programs.items()
            }
            described = corpus.describe()
    except (CommandError, AssertionError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    rows = [
        (programs[name].title, *_figures(runs, flags.images), _ratio(name, measured))
        for name, runs in measured.items()
    ]
    heading = ("", "images/s", "slowest – fastest", "peak memory, MiB", "times its peer's")
    body = f"{about}\n\n{described}; medians of {flags.repeats}.\n\n"
    publish(
        flags.results, "Output formats", "benchmarks.formats", given, body + table(heading, rows)
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("benchmarks.formats", __doc__)
    add = parser.add_argument
    add("--images", type=positive, default=6_000, metavar="N", help="default: 6000")
    add("--repeats", type=positive, default=3, metavar="N", help="default: 3")
    add(
        "--formats",
        type=names_among(FORMATS),
        default=list(FORMATS),
        metavar="NAMES",
        help="with commas between; default: all",
    )
    add_peers(parser, "the photographs are installed, once")
    add_environments(parser, sorted({peer.package for peer in PEERS.values()}))
    add_places(parser)
    return parser


def _build(form: str) -> Program:
    return Program(
        f"`{form}`",
        (
            *(sys.executable, "-m", "pipelines.build", "--format", form),
            *("--annotations", "{annotations}/annotations", "--images", "{annotations}/images"),
            *("--output", "{output}", "--num_workers", str(WORKERS)),
        ),
        examples="",
    )


def _find_peers(flags: argparse.Namespace) -> Iterator[tuple[str, Program]]:
    """Yields the peers of the formats that an environment has."""
    for name, peer in PEERS.items():
        if peer.form not in flags.formats:
            continue
        python = find_environment(flags.environments, [peer.package])
        if python is None:
            say(f"{peer.title}: no environment has {peer.package}")
            continue
        program = Path(__file__).with_name("format_peers.py")
        command = (python, str(program), name, "{annotations}", "{output}")
        yield name, Program(peer.title, command, examples="")


def _measure(program: Program, corpus: Corpus, work: Path, repeats: int) -> list[Measurement]:
    runs = []
    for _ in range(repeats):
        say(f"  {program.title}")
        with run_once(program, corpus.folder, work) as (measured, _):
            runs.append(measured)
    return runs


def _figures(runs: Sequence[Measurement], images: int) -> tuple[str, ...]:
    rates = sorted(images / each.seconds for each in runs)
    middle = median(runs)
    return (
        f"{images / middle.seconds:,.0f}",
        f"{rates[0]:,.0f} – {rates[-1]:,.0f}",
        mib(middle.peak_bytes),
    )


def _ratio(name: str, measured: dict[str, list[Measurement]]) -> str:
    """Returns how many times as fast a format is as its fastest peer, if any was run."""
    peers = [
        median(runs).seconds
        for key, runs in measured.items()
        if key in PEERS and PEERS[key].form == name
    ]
    return f"{min(peers) / median(measured[name]).seconds:.2f}" if peers else ""


if __name__ == "__main__":
    sys.exit(main())
