"""How fast each format goes into a training loop, by its own loader, on two cores.

Pictures and boxes are those of `benchmarks.pixels`. One build writes them in all formats; then
each loader reads the split, in a process of its own, in turns, from the page cache: see
`benchmarks/loading_loops.py`. The first one is what people have today, a folder of JPEGs with a
COCO JSON. A loader runs in the first of `--environments` that has its library, with versions of its
own; without one, it's left out. Rates are those of the
second epoch.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.environments import add_environments, find_environment
from benchmarks.loading_loops import BATCH, LOOPS, SIZE
from benchmarks.measure import CommandError, run
from benchmarks.pixels.corpus import SPLIT, Corpus, make_corpus
from benchmarks.programs import WORKERS
from benchmarks.report import (
    add_peers,
    add_places,
    brief,
    limit_cores,
    machine,
    make_parser,
    mib,
    names_among,
    positive,
    publish,
    read_all,
    say,
    table,
    work_folder,
)

_BASELINE = "files"
_HEADING = (
    *("", "examples/s", "slowest – fastest", "MB/s", "times the folder"),
    *("seconds to the first batch", "peak MiB"),
)


class Loader(NamedTuple):
    """A loop of `loading_loops`.

    Attributes:
        title: for the table.
        form: the output format that it reads.
    """

    title: str
    form: str


LOADERS = {
    "files": Loader("folder and COCO JSON, torchvision", "coco"),
    "datasets": Loader("`parquet`, `datasets`", "parquet"),
    "datasets_stream": Loader("`parquet`, `datasets`, streaming", "parquet"),
    "webdataset": Loader("`webdataset`, WebDataset", "webdataset"),
    "mds": Loader("`mds`, MosaicML Streaming", "mds"),
    "ray": Loader("`parquet`, Ray Data", "parquet"),
    "tf_data": Loader("`tfrecord`, tf.data", "tfrecord"),
    "tfds": Loader("`tfrecord`, TFDS", "tfrecord"),
}


class OtherExamplesError(Exception):
    """A loader gave other examples than there are."""


class Runs(NamedTuple):
    """The measurements of the runs of a loader.

    Attributes:
        results: what its loop wrote.
        peaks: the most memory of all its processes, in bytes.
    """

    results: list[dict[str, Any]]
    peaks: list[int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program.

    Returns:
        The exit code: 0 done, 1 a loader failed or gave other examples, 2 wrong use.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    flags = _parser().parse_args(given)
    limit_cores(WORKERS)
    about = machine(("apache-beam",), WORKERS)
    pythons = {name: find_environment(flags.environments, LOOPS[name][1]) for name in flags.loaders}
    chosen = {name: python for name, python in pythons.items() if python}
    try:
        with work_folder(flags.work) as work:
            say(f"{flags.images:,} pictures are made, unless they are there")
            photographs = flags.peers.resolve() / "photographs"
            corpus = make_corpus(work, photographs, flags.images, WORKERS)
            with tempfile.TemporaryDirectory(prefix="loading-", dir=work) as folder:
                version = _build(corpus, {LOADERS[name].form for name in chosen}, Path(folder))
                runs = _measure(chosen, version, Path(folder), flags.repeats)
            size = statistics.mean(path.stat().st_size for path in corpus.pictures)
            described = corpus.describe()
    except (CommandError, OtherExamplesError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    body = (
        f"{about}\n\n{described}, made {SIZE}×{SIZE}, in batches of {BATCH}, shuffled; "
        f"medians of {flags.repeats}.\n\n{table(_HEADING, _rows(runs, size))}\n\n"
        f"{_versions(runs)}\n{_left_out(name for name in pythons if name not in chosen)}"
    )
    publish(flags.results, "Loading", "benchmarks.loading", given, body)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("benchmarks.loading", __doc__)
    add = parser.add_argument
    add("--images", type=positive, default=6_000, metavar="N", help="default: 6000")
    add("--repeats", type=positive, default=3, metavar="N", help="default: 3")
    add(
        "--loaders",
        type=names_among(LOADERS),
        default=list(LOADERS),
        metavar="NAMES",
        help=f"of {', '.join(LOADERS)}, with commas between; default: all",
    )
    add_peers(parser, "the photographs are installed, once")
    add_environments(parser, sorted({each for _, needed in LOOPS.values() for each in needed}))
    add_places(parser)
    return parser


def _build(corpus: Corpus, formats: set[str], folder: Path) -> Path:
    """Builds some formats; the folder of the version."""
    output = folder / "dataset"
    say(f"a build of {', '.join(sorted(formats))}")
    run(
        (
            *(sys.executable, "-m", "pipelines.build", "--format", ",".join(sorted(formats))),
            *("--annotations", str(corpus.annotations), "--images", str(corpus.images)),
            *("--output", str(output), "--num_workers", str(WORKERS)),
        ),
        folder / "build.log",
    )
    return output / "versions" / (output / "latest").read_text().strip()


def _measure(pythons: dict[str, str], version: Path, folder: Path, repeats: int) -> dict[str, Runs]:
    """Runs each loader on the split, one after the other, and that several times.

    Raises:
        CommandError: one failed.
        OtherExamplesError: one gave another number of examples or boxes than the others.
    """
    runs = {name: Runs([], []) for name in pythons}
    program = str(Path(__file__).with_name("loading_loops.py"))
    for number in range(repeats):
        for name, python in pythons.items():
            say(f"{LOADERS[name].title}, run {number + 1} of {repeats}")
            read_all(version / LOADERS[name].form)
            with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=folder) as own:
                result = Path(own) / "result.json"
                command = (python, program, name, str(version), SPLIT, str(result))
                measured = run(command, folder / f"{name}.log")
                runs[name].results.append(json.loads(result.read_text()))
            runs[name].peaks.append(measured.peak_bytes)
            say(f"    {_rate(runs[name].results[-1]):,.0f} examples/s")
    expected = json.loads((version / "manifest.json").read_text())["splits"][SPLIT]["num_examples"]
    boxes = {result["boxes"] for each in runs.values() for result in each.results}
    for name, each in runs.items():
        for result in each.results:
            if result["examples"] != expected or len(boxes) > 1:
                raise OtherExamplesError(
                    f"{name} gave {result['examples']:,} of {expected:,} examples, with "
                    f"{result['boxes']:,} boxes; the loaders have {sorted(boxes)}"
                )
    return runs


def _rate(result: dict[str, Any]) -> float:
    return result["examples"] / result["seconds"]


def _rows(runs: dict[str, Runs], size: float) -> list[tuple[str, ...]]:
    rates = {name: sorted(map(_rate, each.results)) for name, each in runs.items()}
    medians = {name: statistics.median(each) for name, each in rates.items()}
    rows: list[tuple[str, ...]] = []
    for name, rate in medians.items():
        first = statistics.median(each["startup"] for each in runs[name].results)
        rows.append(
            (
                LOADERS[name].title,
                f"{rate:,.0f}",
                f"{rates[name][0]:,.0f} – {rates[name][-1]:,.0f}",
                f"{rate * size / 1e6:,.1f}",
                f"{rate / medians[_BASELINE]:.2f}" if _BASELINE in medians else "",
                brief(first),
                mib(statistics.median(runs[name].peaks)),
            )
        )
    return rows


def _versions(runs: dict[str, Runs]) -> str:
    found = {each for one in runs.values() for each in one.results[0]["versions"].items()}
    return ", ".join(f"{name} {version}" for name, version in sorted(found)) + "."


def _left_out(names: Any) -> str:
    lines = [
        f"Left out: {LOADERS[name].title}, as no environment has {' and '.join(LOOPS[name][1])}."
        for name in names
    ]
    return "\n".join(["", *lines])


if __name__ == "__main__":
    sys.exit(main())
