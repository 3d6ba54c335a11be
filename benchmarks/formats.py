"""What each output format takes, with pictures, and what its own library's writer takes.

Pictures are JPEGs of some 150 kB, a few under the names of all images (hard links), with eight
boxes and a verified label each. A build writes them in one format at a time, with two workers, from
the page cache. A peer is a program of two processes that reads the same files and writes them as
its library's documentation does. It runs in the first environment of `--peers` that has its
library, with versions of its own; without one, it's left out.
"""

import argparse
import csv
import functools
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import simplejpeg

from benchmarks.measure import CommandError, Measurement
from benchmarks.once import run_once
from benchmarks.programs import WORKERS, Program
from benchmarks.report import (
    add_places,
    limit_cores,
    machine,
    make_parser,
    median,
    mib,
    positive,
    publish,
    say,
    table,
    work_folder,
)
from transforms.formats.registry import FORMATS
from transforms.system.processes import in_order

_BOXES = 8
_CLASSES = 600
_PICTURES = 200
_PICTURE_BYTES = 150_000
_SIDES = 768, 1024
_BOX_COLUMNS = (
    *("ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax"),
    *("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside"),
)
_LABEL_COLUMNS = "ImageID", "Source", "LabelName", "Confidence"
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
            corpus = _corpus(work, flags.images)
            measured = {
                name: _measure(program, corpus, work, flags.repeats)
                for name, program in programs.items()
            }
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    rows = [
        (programs[name].title, *_figures(runs, flags.images), _ratio(name, measured))
        for name, runs in measured.items()
    ]
    heading = ("", "images/s", "slowest – fastest", "peak memory, MiB", "times its peer's")
    body = f"{about}\n\n{flags.images:,} images, medians of {flags.repeats}.\n\n"
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
        type=_formats,
        default=list(FORMATS),
        metavar="NAMES",
        help="with commas between; default: all",
    )
    add(
        "--peers",
        type=lambda text: text.split(","),
        default=[],
        metavar="PYTHONS",
        help="interpreters of environments, with commas between, that have some of "
        f"{', '.join(sorted({peer.package for peer in PEERS.values()}))}; default: no peers",
    )
    add_places(parser)
    return parser


def _formats(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in FORMATS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(FORMATS)}")
    return names


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
        if not flags.peers or peer.form not in flags.formats:
            continue
        python = next((each for each in flags.peers if _has(each, peer.package)), None)
        if python is None:
            say(f"{peer.title}: no environment of --peers has {peer.package}")
            continue
        program = Path(__file__).with_name("format_peers.py")
        command = (python, str(program), name, "{annotations}", "{output}")
        yield name, Program(peer.title, command, examples="")


def _has(python: str, package: str) -> bool:
    code = f"import importlib.util, sys; sys.exit(not importlib.util.find_spec({package!r}))"
    return not subprocess.run([python, "-c", code], check=False).returncode


def _measure(program: Program, corpus: Path, work: Path, repeats: int) -> list[Measurement]:
    runs = []
    for _ in range(repeats):
        say(f"  {program.title}")
        with run_once(program, corpus, work) as (measured, _):
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
        median(measured[key]).seconds
        for key in PEERS
        if key in measured and PEERS[key].form == name
    ]
    if name not in FORMATS or not peers:
        return ""
    return f"{min(peers) / median(measured[name]).seconds:.2f}"


# The corpus.


def _corpus(work: Path, images: int) -> Path:
    """The folder of a corpus, which is made where it's not there yet."""
    folder = work / f"formats-{images}"
    if not folder.exists():
        say(f"{images:,} images: making the corpus")
        with tempfile.TemporaryDirectory(prefix="making-", dir=work) as making:
            made = Path(making) / "corpus"
            ids = [f"{number * 0x9E3779B97F4A7C15 % (1 << 64):016x}" for number in range(images)]
            _write_annotations(made / "annotations", ids)
            _write_pictures(made / "images" / "train", ids)
            made.rename(folder)
    return folder


def _write_annotations(folder: Path, ids: Sequence[str]) -> None:
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    mids = [f"/m/{number:05x}" for number in range(_CLASSES)]
    boxes, labels = [], []
    for image_id in ids:
        corners = np.sort(random.random((_BOXES, 2, 2)), axis=2).round(6).tolist()
        chosen = random.integers(_CLASSES, size=_BOXES).tolist()
        flags = random.integers(2, size=(_BOXES, 5)).tolist()
        for number, (x, y), values in zip(chosen, corners, flags, strict=True):
            boxes.append([image_id, "xclick", mids[number], 1, *x, *y, *values])
        labels.append([image_id, "verification", mids[chosen[0]], 1])
    for name, heading, rows in (
        ("train-annotations-bbox.csv", _BOX_COLUMNS, boxes),
        ("train-annotations-human-imagelabels.csv", _LABEL_COLUMNS, labels),
        ("class-descriptions-boxable.csv", None, [(mid, f"Class {mid[3:]}") for mid in mids]),
    ):
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows(rows if heading is None else [heading, *rows])


def _write_pictures(folder: Path, ids: Sequence[str]) -> None:
    folder.mkdir(parents=True)
    made = min(_PICTURES, len(ids))
    paths = [folder / f"{image_id}.jpg" for image_id in ids]
    for path, data in zip(paths, in_order(_make_picture, range(made), WORKERS), strict=False):
        path.write_bytes(data)
    for path, original in zip(paths[made:], itertools.cycle(paths[:made]), strict=False):
        os.link(original, path)


def _make_picture(number: int) -> bytes:
    """Returns a JPEG of about `_PICTURE_BYTES`: clouds, and as much noise as that takes."""
    random = np.random.default_rng(number)
    height, width = _SIDES
    clouds = np.kron(random.random((height // 128, width // 128, 3)), np.ones((128, 128, 1)))
    noise = random.standard_normal((height, width, 1))
    encode = functools.partial(simplejpeg.encode_jpeg, quality=85)
    strengths = np.linspace(1, 40, 79)
    pictures = (np.clip(40 + 170 * clouds + s * noise, 0, 255).astype(np.uint8) for s in strengths)
    return next(data for data in map(encode, pictures) if len(data) >= _PICTURE_BYTES)


if __name__ == "__main__":
    sys.exit(main())
