"""What building every night costs: all of it, nothing new, after a kill, and looking at versions.

Annotations alone. The build that is killed loses all of its processes by -9 when 80% of the time
have passed that the whole one took; what is then built equals it byte by byte.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import CommandError, Measurement, run
from benchmarks.report import (
    add_places,
    annotation_corpus,
    brief,
    limit_cores,
    machine,
    make_parser,
    mib,
    positive,
    publish,
    read_all,
    say,
    table,
    work_folder,
)

_WORKERS = 2
_KILLED_AT = 0.8
_UNCHANGED_SECONDS = 5.0
_RESUMED_SHARE = 0.35
#: Every so many boxes one is left out of the version that others are compared with.
_LEFT_OUT = 1000
_PYTHON = (sys.executable, "-m")
_HEADING = ("", "seconds", "of a full build", "limit", "CPU s", "peak MiB")


class OtherBytesError(Exception):
    """A build that went on made other bytes than one in one go."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program.

    Returns:
        The exit code: 0 done, 1 a command failed, made other bytes or took longer than its limit.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    flags = _parser().parse_args(given)
    limit_cores(_WORKERS)
    about = machine(("apache-beam", "pyarrow", "numpy"), _WORKERS)
    try:
        with work_folder(flags.work) as work:
            corpus = annotation_corpus(work, flags.images)
            with tempfile.TemporaryDirectory(prefix="rebuilds-", dir=work) as folder:
                runs = _measure(corpus, Path(folder), flags.format)
    except (CommandError, OtherBytesError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    full = runs["a full build"].seconds
    limits = {
        "the same again: unchanged": _UNCHANGED_SECONDS,
        f"killed at {_KILLED_AT:.0%}, resumed": _RESUMED_SHARE * full,
    }
    rows = [
        (
            *(title, brief(its.seconds), f"{its.seconds / full:.0%}"),
            f"{brief(limits[title])} s" if title in limits else "",
            *(brief(its.cpu_seconds), mib(its.peak_bytes)),
        )
        for title, its in runs.items()
    ]
    body = f"{about}\n\n{flags.images:,} images, {flags.format}; one run each:\n\n"
    publish(flags.results, "Rebuilds", "benchmarks.rebuilds", given, body + table(_HEADING, rows))
    late = [title for title, limit in limits.items() if runs[title].seconds > limit]
    for title in late:
        print(f"{title}: took longer than its limit", file=sys.stderr)
    return 1 if late else 0


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("benchmarks.rebuilds", __doc__)
    parser.add_argument(
        "--images", type=positive, default=1_000_000, metavar="N", help="default: 1000000"
    )
    parser.add_argument(
        "--format",
        default="tfrecord,parquet",
        metavar="NAMES",
        help="as of a build; default: tfrecord,parquet",
    )
    add_places(parser)
    return parser


def _measure(corpus: Path, folder: Path, formats: str) -> dict[str, Measurement]:
    whole, killed = folder / "whole", folder / "killed"
    changed = _change(corpus / "annotations", folder / "changed")
    runs: dict[str, Measurement] = {}

    def build(annotations: Path, output: Path) -> tuple[str, ...]:
        return (
            *(*_PYTHON, "pipelines.build", "--annotations", str(annotations), "--images", "none"),
            *("--format", formats, "--num_workers", str(_WORKERS), "--output", str(output)),
        )

    def measure(title: str, *command: str) -> None:
        say(title)
        os.sync()  # what was written before shall not cost time now
        runs[title] = run(command, folder / "log")
        say(f"    {runs[title].seconds:.1f} s")

    read_all(corpus / "annotations")
    measure("a full build", *build(corpus / "annotations", whole))
    before = (whole / "latest").read_text().strip()
    measure("the same again: unchanged", *build(corpus / "annotations", whole))
    if (whole / "latest").read_text().strip() != before:
        raise OtherBytesError("what was unchanged was built again")
    _kill(build(corpus / "annotations", killed), _KILLED_AT * runs["a full build"].seconds)
    measure(
        f"killed at {_KILLED_AT:.0%}, resumed",
        *build(corpus / "annotations", killed),
    )
    if _shards(killed) != _shards(whole):
        raise OtherBytesError("the build that went on made other bytes")
    measure("another version, of changed boxes", *build(changed, whole))
    workers = ("--num_workers", str(_WORKERS))
    measure("verify", *_PYTHON, "pipelines.verify", str(whole), *workers)
    measure("diff", *_PYTHON, "pipelines.versions", str(whole), "diff", before, *workers)
    measure("gc", *_PYTHON, "pipelines.versions", str(whole), "gc", "--keep", "1")
    return runs


def _change(annotations: Path, folder: Path) -> Path:
    """The same annotations, but some boxes."""
    folder.mkdir()
    for path in annotations.iterdir():
        os.link(path, folder / path.name)
    for path in folder.glob("*bbox*.csv"):
        lines = path.read_bytes().splitlines(keepends=True)
        path.unlink()
        kept = (line for number, line in enumerate(lines) if (number + 1) % _LEFT_OUT)
        path.write_bytes(b"".join(kept))
    return folder


def _kill(command: Sequence[str], seconds: float) -> None:
    """Runs a command for so long, and ends all of its processes by -9."""
    say(f"killed after {seconds:.1f} s")
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(1)  # until the system has taken them apart
    else:
        raise CommandError("the build was over before it could be killed")


def _shards(output: Path) -> dict[str, str]:
    """Path to SHA-256 of the latest version's shards."""
    version = output / "versions" / (output / "latest").read_text().strip()
    splits = json.loads((version / "manifest.json").read_text())["splits"].values()
    return {shard["path"]: shard["sha256"] for split in splits for shard in split["shards"]}


if __name__ == "__main__":
    sys.exit(main())
