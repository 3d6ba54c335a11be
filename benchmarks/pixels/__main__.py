"""Compares builds with pictures: this project, img2dataset, TFDS's writer, and bare loops.

All get the same pictures and boxes, and what they write is compared: the sizes of small pictures,
the very bytes of stored ones, and all boxes. Each runs in its own processes, as many for all, in
turns. Start-up is what a build of 20 pictures takes; figures are given with it and beyond it.
"""

import argparse
import contextlib
import io
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import CommandError
from benchmarks.pixels.corpus import make_corpus
from benchmarks.pixels.gunzip import compare_gunzip
from benchmarks.pixels.http import compare_http
from benchmarks.pixels.likeness import compare_likeness
from benchmarks.pixels.tfrecord import compare_tfrecord
from benchmarks.report import add_peers, machine, make_parser, positive, publish, say, work_folder

_WORKERS = 2
_FEW = 20
_PACKAGES = (
    *("apache-beam", "pyarrow", "simplejpeg", "opencv-python-headless", "pycurl", "isal"),
    *("tensorflow-datasets",),
)
_PARTS = ("http", "likeness", "tfrecord", "gunzip")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program.

    Returns:
        The exit code: 0 done, whether or not targets were met; 1 a program failed or gave another
        result than the others.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    flags = _parser().parse_args(arguments)
    header = machine(_PACKAGES, _WORKERS)
    peers: Path = flags.peers.resolve()
    figures = io.StringIO()
    try:
        with work_folder(flags.work) as work, contextlib.redirect_stdout(figures):
            say(f"{flags.images:,} pictures are made, unless they are there")
            photographs = peers / "photographs"
            large = make_corpus(work, photographs, flags.images, _WORKERS)
            small = make_corpus(work, photographs, _FEW, _WORKERS)
            print(f"{large.describe()}; medians of {flags.repeats}")
            if "http" in flags.parts:
                compare_http(large, small, work, peers, _WORKERS, flags.repeats)
            if "likeness" in flags.parts:
                compare_likeness(photographs)
            if "tfrecord" in flags.parts:
                compare_tfrecord(large, small, work, _WORKERS, flags.repeats)
            if "gunzip" in flags.parts:
                compare_gunzip(large, small, work, flags.repeats)
    except (CommandError, AssertionError, subprocess.CalledProcessError) as error:
        print(figures.getvalue(), error, sep="\n", file=sys.stderr)
        return 1
    body = f"{header}\n\n```\n{figures.getvalue().strip()}\n```"
    publish(flags.results, "Pictures", "benchmarks.pixels", arguments, body)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("benchmarks.pixels", __doc__)
    add = parser.add_argument
    add("--images", type=positive, default=6000, metavar="N", help="pictures; default: 6000")
    add("--repeats", type=positive, default=3, metavar="N", help="runs, for medians; default: 3")
    add(
        "--parts",
        type=_parts,
        default=_PARTS,
        metavar="NAMES",
        help=f"of {','.join(_PARTS)}; default: all",
    )
    add(
        "--work",
        type=Path,
        metavar="DIR",
        help="keeps the pictures here, or takes those of an earlier run; 0.5 MB a picture. "
        "Default: a temporary folder",
    )
    add(
        "--results",
        type=Path,
        metavar="FILE",
        help="a file in which the section of this benchmark is replaced, such as "
        "benchmarks/RESULTS.md. Default: the figures are printed only",
    )
    add_peers(parser, "img2dataset and the photographs are installed, once")
    return parser


def _parts(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(_PARTS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: none of the parts")
    return names


if __name__ == "__main__":
    sys.exit(main())
