"""What a rebuild takes where little has changed, by a build from nothing.

Pictures are JPEGs of 1024 pixels, as in the bucket of Open Images, some thousand of them under the
names of all images (hard links), so that a corpus of a million takes little disk. They are made
smaller and written with all annotations of V7 at published proportions. Some builds upon each
other: from nothing; after a few images had a row edited or their picture replaced, so that most
buckets haven't changed; after 1% of the images had, spread over all buckets; and, elsewhere, from
nothing again, whose bytes must be the same.
"""

import argparse
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pyarrow.csv as csv

from benchmarks.measure import CommandError, Measurement, run
from benchmarks.pixels.photographs import LARGEST, LONGEST, install_photographs, make_picture
from benchmarks.programs import WORKERS
from benchmarks.report import (
    SpaceError,
    add_peers,
    add_places,
    annotation_corpus,
    brief,
    limit_cores,
    machine,
    make_parser,
    mib,
    positive,
    publish,
    require_space,
    say,
    table,
    work_folder,
)
from transforms.system.processes import in_order

TARGET = 0.10
#: Of a picture that was made smaller, by the square of its shorter side: 0.46 were measured.
_BYTES_A_PIXEL = 0.5
#: Of the images of which something changes, every so many get another picture.
_REPLACED = 5
_FEW = 20
_PACKAGES = ("apache-beam", "pyarrow", "numpy", "simplejpeg", "opencv-python-headless")


@dataclass(frozen=True)
class Result:
    """A build: what it took, what it took over, and its shards, path to SHA-256 of the file."""

    title: str
    measured: Measurement
    taken_over: dict[str, int]
    shards: dict[str, str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program.

    Returns:
        The exit code: 0 done, 1 a build failed or made other bytes, 2 wrong use.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    flags = _parser().parse_args(given)
    limit_cores(WORKERS)
    about = machine(_PACKAGES, WORKERS)
    try:
        with work_folder(flags.work) as work:
            # Two versions at a time.
            outputs = 2 * flags.images * _BYTES_A_PIXEL * flags.image_size**2
            require_space(work, [flags.images], more=int(outputs) + flags.pictures * LARGEST)
            with tempfile.TemporaryDirectory(prefix="incremental-", dir=work) as folder:
                results = _measure(work, Path(folder), flags)
    except SpaceError as error:
        print(error, file=sys.stderr)
        return 2
    except (CommandError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    publish(
        flags.results,
        "Rebuilds with pictures",
        "benchmarks.incremental",
        given,
        f"{about}\n\n{_section(results, flags)}",
    )
    *_, changed, again = results
    if changed.shards != again.shards:
        print("the rebuild made other bytes than a build from nothing", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("benchmarks.incremental", __doc__)
    add = parser.add_argument
    add("--images", type=positive, default=100_000, metavar="N", help="default: 100000")
    add("--changed", type=float, default=0.01, metavar="FRACTION", help="default: 0.01")
    add(
        "--pictures",
        type=positive,
        default=2_000,
        metavar="N",
        help="files that the images share; default: 2000",
    )
    add(
        "--image_size",
        type=positive,
        default=256,
        metavar="N",
        help="of the shorter side, in pixels, that pictures are given; default: 256",
    )
    add(
        "--format",
        default="parquet",
        help="as of builds, which need twice the disk for two; default: parquet",
    )
    add_peers(parser, "the photographs are installed, once, that pictures are made from")
    add_places(parser)
    return parser


def _measure(work: Path, folder: Path, flags: argparse.Namespace) -> list[Result]:
    original = annotation_corpus(work, flags.images) / "annotations"
    made = _make_pictures(work, flags.peers.resolve() / "photographs", flags.pictures)
    say("linking pictures")
    images = folder / "images"
    ids = _link_pictures(original, made, images)
    random = Random(0)
    inputs = [original]
    results = [_build("from nothing", inputs[-1], images, folder / "output", flags)]
    for title, count in (
        (f"{_FEW} images changed", _FEW),
        (f"{flags.changed:.2%} of the images changed", round(len(ids) * flags.changed)),
    ):
        say(f"{title}: changing them")
        chosen = random.sample(ids, count)
        replaced = {image_id for _, image_id in chosen[::_REPLACED]}
        inputs.append(folder / f"annotations-{len(inputs)}")
        edited = {image_id for _, image_id in chosen} - replaced
        replaced |= _edit(inputs[-2], inputs[-1], edited)
        for split, image_id in chosen:
            if image_id in replaced:
                path = _picture(images, split, image_id)
                path.unlink()
                os.link(random.choice(made), path)
        results.append(_build(title, inputs[-1], images, folder / "output", flags))
        for version in sorted((folder / "output" / "versions").iterdir())[:-1]:
            shutil.rmtree(version)  # which makes room
    shutil.rmtree(folder / "output")
    results.append(_build("the same from nothing", inputs[-1], images, folder / "whole", flags))
    return results


def _make_pictures(work: Path, photographs: Path, count: int) -> list[Path]:
    """The files of some pictures, which are made where they aren't there yet."""
    folder = work / f"jpegs-{count}"
    if not folder.exists():
        say(f"making {count:,} pictures")
        install_photographs(photographs)
        make = functools.partial(make_picture, photographs)
        with tempfile.TemporaryDirectory(prefix="making-", dir=work) as making:
            made = Path(making) / "jpegs"
            made.mkdir()
            for number, data in enumerate(in_order(make, range(count), WORKERS)):
                (made / f"{number:06}.jpg").write_bytes(data)
            made.rename(folder)
    return sorted(folder.iterdir())


def _link_pictures(annotations: Path, made: Sequence[Path], folder: Path) -> list[tuple[str, str]]:
    """Gives each image one of some pictures; all images, with their splits."""
    found: list[tuple[str, str]] = []
    for path in sorted(annotations.glob("*-images-*.csv")):
        columns = csv.read_csv(
            path,
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(include_columns=["Subset", "ImageID"]),
        )
        found += zip(*(column.to_pylist() for column in columns), strict=True)
    for name in {_picture(folder, *each).parent for each in found}:
        name.mkdir(parents=True)
    for number, each in enumerate(found):
        os.link(made[number % len(made)], _picture(folder, *each))
    return found


def _picture(folder: Path, split: str, image_id: str) -> Path:
    return folder / split / image_id[:2] / f"{image_id}.jpg"


def _edit(before: Path, after: Path, image_ids: set[str]) -> set[str]:
    """Tables of which a row of each of some images is another: of boxes, or machine labels.

    Returns:
        Those that have neither.
    """
    after.mkdir()
    left = set(image_ids)
    changes: dict[str, Callable[[list[str]], list[str]]] = {
        "annotations-bbox": lambda fields: [*fields[:4], "0", *fields[5:]],
        "machine-imagelabels": lambda fields: [*fields[:3], "0.05\n"],
    }
    for path in sorted(before.iterdir()):
        change = next((changes[name] for name in changes if name in path.name), None)
        if change is None:
            os.link(path, after / path.name)
            continue
        with path.open() as rows, (after / path.name).open("w") as file:
            file.writelines(_edited(rows, left, change))
    return left


def _edited(
    rows: Iterator[str], left: set[str], change: Callable[[list[str]], list[str]]
) -> Iterator[str]:
    for row in rows:
        if row[:16] in left:
            left.discard(row[:16])
            row = ",".join(change(row.split(",")))
        yield row


def _build(
    title: str, annotations: Path, images: Path, output: Path, flags: argparse.Namespace
) -> Result:
    say(title)
    os.sync()
    command = [
        *(sys.executable, "-m", "pipelines.build", "--annotations", str(annotations)),
        *("--images", str(images), "--output", str(output), "--format", flags.format),
        *("--resize", "shortest", "--image_size", str(flags.image_size)),
        *("--num_workers", str(WORKERS), "--report", "json"),
    ]
    log = output.parent / "log"
    measured = run(command, log)
    told = json.loads(log.read_text().splitlines()[-1])
    say(f"    {measured.seconds:.1f} s, {measured.cpu_seconds:.1f} s of CPU")
    version = Path(told["folder"])
    return Result(title, measured, told["taken_over"], _shards(version))


def _shards(version: Path) -> dict[str, str]:
    manifest = json.loads((version / "manifest.json").read_text())
    found = {}
    for split in manifest["splits"].values():
        for shard in split["shards"]:
            with (version / shard["path"]).open("rb") as file:
                found[shard["path"]] = hashlib.file_digest(file, "sha256").hexdigest()
            assert found[shard["path"]] == shard["sha256"], shard["path"]
    return found


def _section(results: Sequence[Result], flags: argparse.Namespace) -> str:
    *_, changed, again = results
    rows = [
        (
            result.title,
            brief(result.measured.seconds),
            brief(result.measured.cpu_seconds),
            mib(result.measured.peak_bytes),
            f"{result.taken_over['buckets']:,}",
            f"{result.taken_over['pictures']:,}",
            f"{result.measured.seconds / again.measured.seconds:.3f}",
        )
        for result in results
    ]
    heading = ("build", "seconds", "CPU s", "peak MiB", "buckets", "pictures", "time / last")
    ratio = changed.measured.seconds / again.measured.seconds
    same = "the same bytes" if changed.shards == again.shards else "OTHER BYTES"
    met = "met" if ratio <= TARGET else "missed"
    return "\n\n".join(
        [
            f"{flags.images:,} images of {flags.pictures:,} JPEGs of {LONGEST} pixels, made "
            f"{flags.image_size} ({flags.format}); one run each; whole buckets and pictures as "
            "taken over:",
            table(heading, rows),
            f"{changed.title}, rebuilt / from nothing: {ratio:.3f} of the time (target: at most "
            f"{TARGET:.2f}, {met}); {len(again.shards):,} shards, {same}.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
