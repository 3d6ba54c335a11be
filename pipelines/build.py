"""Builds a dataset: `python -m pipelines.build --help`."""

from transforms.system import program

_PROGRAM = "python -m pipelines.build"

if __name__ == "__main__":
    program.begin(_PROGRAM, "interrupted: nothing was published")

import json
import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.cli import discretion, options
from pipelines.cli.arguments import fail, print_line, print_result
from runners import launch, lean
from transforms.system import descriptors
from transforms.wording import clean_lines, clean_values

if TYPE_CHECKING:
    from pipelines.cli.report import Ending


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a build.

    Returns:
        The exit code: 0 published, 1 failed, and nothing published unless the error says so, 2
        wrong use, 3 another build is at work.
    """
    logging.basicConfig(level=logging.ERROR)
    # Beam logs every exception of a worker that it also raises here.
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_not_of_a_worker)
    discretion.keep_secrets()
    flags, beam_arguments = options.parse(sys.argv[1:] if arguments is None else arguments)
    if too_few := descriptors.raise_limit():
        print_line(f"{_PROGRAM}: note: {too_few}")
    # OpenCV is only imported where there are pictures, so each worker would do it by itself.
    pictures = [] if flags.images == ["none"] else ["transforms.examples.imaging.opencv"]
    launch.prepare(flags, ["open_images.building.graph", *pictures])
    # These take a while to import: not before the flags are known to be right.
    from pipelines.cli import metrics_file, one_build, report
    from transforms.releases.output import Output
    from transforms.storage.stores import ObjectOptions

    wrong = metrics_file.complaint(flags.metrics_file) if flags.metrics_file else None
    ending = report.Ending(2, 0, wrong) if wrong else one_build.run(flags, beam_arguments)
    if flags.report == "json":
        _print(json.dumps(clean_values(report.document(ending))), ending)
    else:
        _print(clean_lines(ending.text), ending)
    # The figures of the build that is at work will be those of this time.
    if flags.metrics_file and not wrong and ending.code != report.BUSY:
        output = Output(flags.output, ObjectOptions(s3_endpoint_url=flags.s3_endpoint_url))
        try:
            metrics_file.write(flags.metrics_file, ending, output)
        except OSError as error:
            fail(
                _PROGRAM,
                f"--metrics_file {flags.metrics_file} can't be written: {error.strerror}",
                1,
            )
    for cause, examples in ending.causes:
        fail(_PROGRAM, cause, ending.code)
        for example in examples:
            print_line(f"  {example}")
    if ending.error and not ending.causes:
        fail(_PROGRAM, ending.error, ending.code)
    return ending.code


def _print(text: str, ending: "Ending") -> None:
    """Prints a report. Where that can't be, says in a line what became of the build."""
    outcome = ""
    if ending.folder and ending.code == 0:
        outcome = f"{'unchanged:' if ending.unchanged else 'published'} {ending.folder}"
    if text:
        print_result(_PROGRAM, text, outcome)


def _is_not_of_a_worker(record: logging.LogRecord) -> bool:
    """Whether a message isn't one of those that Beam hands on, in 11 lines, from its processes."""
    return record.module != "worker_handlers"


if __name__ == "__main__":
    lean.save_imports()
    lean.keep_one_heap()
    program.run(main)
