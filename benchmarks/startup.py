"""What starting takes: this project's commands, and how much of it is Beam's.

Each runs in its own process, in turns, once everything has been run before and is in the page
cache.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import CommandError, Measurement, run
from benchmarks.report import (
    add_places,
    brief,
    elapsed,
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

_WORKERS = 2
_FEW, _DEMO = 20, 200
_PYTHON = (sys.executable, "-m")
_HEADING = ("", "seconds", "CPU s", "peak MiB")

#: The least that Beam's runner can do, with workers as a build has them.
_PIPELINE = """
import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
if __name__ == "__main__":
    options = PipelineOptions(
        [], direct_num_workers=2, direct_running_mode="multi_processing"
    )
    runner = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
    with beam.Pipeline(runner, options) as pipeline:
        pipeline | beam.Create(range(20)) | beam.Reshuffle() | beam.Map(print)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program.

    Returns:
        The exit code: 0 done, 1 a command failed.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    flags = _parser().parse_args(given)
    limit_cores(_WORKERS)
    about = machine(("apache-beam", "pyarrow", "numpy"), _WORKERS)
    try:
        with work_folder(flags.work) as work:
            runs = _measure(work, flags.repeats)
    except (CommandError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    rows = []
    for title, some in runs.items():
        middle = median(some)
        rows.append((title, elapsed(some), brief(middle.cpu_seconds), mib(middle.peak_bytes)))
    body = f"{about}\n\nMedians of {flags.repeats} runs in turns:\n\n{table(_HEADING, rows)}"
    publish(flags.results, "Start-up", "benchmarks.startup", given, body)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("benchmarks.startup", __doc__)
    parser.add_argument(
        "--repeats", type=positive, default=5, metavar="N", help="turns; default: 5"
    )
    add_places(parser)
    return parser


def _measure(work: Path, repeats: int) -> dict[str, list[Measurement]]:
    """Runs all commands in turns; the first turn doesn't count."""
    with tempfile.TemporaryDirectory(prefix="startup-", dir=work) as folder:
        corpora = {count: _corpus(Path(folder), count) for count in (_FEW, _DEMO)}
        script = Path(folder, "pipeline.py")
        script.write_text(_PIPELINE)

        def build(count: int, *more: str) -> tuple[str, ...]:
            corpus = corpora[count]
            return (
                *(*_PYTHON, "pipelines.build", "--annotations", f"{corpus}/annotations"),
                *("--output", "{output}", "--num_workers", str(_WORKERS), *more),
            )

        pixels = [f"--{name}={corpora[_DEMO]}/{name}" for name in ("images", "masks")]
        commands = {
            "`python -c 'import apache_beam'`": (sys.executable, "-c", "import apache_beam"),
            "the smallest pipeline of Beam's runner, 2 workers": (sys.executable, str(script)),
            "`pipelines.build --help`": (*_PYTHON, "pipelines.build", "--help"),
            f"a build of {_FEW} images' annotations": build(_FEW, "--images=none"),
            f"the demo's build, {_DEMO} pictures": build(_DEMO, *pixels),
        }
        runs: dict[str, list[Measurement]] = {title: [] for title in commands}
        for number in range(repeats + 1):
            for title, command in commands.items():
                with tempfile.TemporaryDirectory(prefix="output-", dir=folder) as output:
                    words = [word.replace("{output}", f"{output}/dataset") for word in command]
                    measured = run(words, Path(output, "log"))
                say(f"{title}, run {number} of {repeats}: {measured.seconds:.2f} s")
                if number:
                    runs[title].append(measured)
        return runs


def _corpus(folder: Path, count: int) -> Path:
    """A corpus with drawn pictures."""
    corpus = folder / f"corpus-{count}"
    command = (*_PYTHON, "pipelines.synthesize", "--output", str(corpus))
    subprocess.run([*command, "--images", str(count)], check=True, stdout=sys.stderr)
    return corpus


if __name__ == "__main__":
    sys.exit(main())
