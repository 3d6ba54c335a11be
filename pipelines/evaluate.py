"""Measures predictions by the protocols of Open Images: `python -m pipelines.evaluate --help`."""

import dataclasses
from collections.abc import Sequence
from typing import NoReturn

from open_images.building.flags import running_flag
from open_images.evaluating.flags import EvaluateFlags
from pipelines.cli import build_flags, logs, secrets
from pipelines.cli.arguments import Parser
from pipelines.cli.output import print_line, program_name
from pipelines.cli.progress import ProgressDisplay
from runners import lean
from transforms.system import descriptors, program

_PROGRAM = program_name("evaluate")

_DESCRIPTION = """\
Measures detections by the metrics of Open Images, as the reference does (the evaluators of
TensorFlow's Object Detection API): average precision by class and its mean, with what became of
each detection and of each box of the ground truth.
"""

_EXAMPLES = """\
examples:
  # the Challenge's metric: published files, and detections as the Challenge takes them
  python -m pipelines.evaluate \\
      --ground_truth oid/validation-annotations-bbox.csv \\
      --ground_truth oid/validation-annotations-human-imagelabels-boxable.csv \\
      --ground_truth oid/validation-images-with-rotation.csv \\
      --predictions detections.csv --output report

  # a version that a build has published, by several protocols and thresholds
  python -m pipelines.evaluate --ground_truth oid/dataset --splits validation \\
      --predictions detections.csv --protocol oid_v2,challenge,mmdet --iou 0.5,0.75 \\
      --output report

  # why two tools differ: what each rule changes
  python -m pipelines.evaluate --ground_truth oid/dataset --splits validation \\
      --predictions detections.csv --protocol oid_v2,mmdet --explain --output explained

flags that are not listed here go to Apache Beam; an unknown flag is an error.
exit codes: 0 evaluated; 1 failed, or too much can't be evaluated; 2 wrong use.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProgramFlags(EvaluateFlags):
    """The flags of the program."""

    report: str = running_flag(
        ("text", "json"), "text", help="what to print at the end. Default: text"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluates, and prints the result; returns the exit code."""
    logs.configure()
    secrets.keep_secrets()
    parser = Parser(program="evaluate", description=_DESCRIPTION, epilog=_EXAMPLES)
    flags, beam_arguments = build_flags.parse_with(parser, ProgramFlags, arguments)
    if too_few := descriptors.raise_limit():
        print_line(f"{_PROGRAM}: note: {too_few}")
    from pipelines.cli import evaluation  # which imports Arrow

    return evaluation.run(_PROGRAM, flags, beam_arguments, ProgressDisplay(), flags.report)


def start() -> NoReturn:
    """Runs the program in a process of its own."""
    lean.begin_imports()
    lean.keep_one_heap()
    program.run(main)


if __name__ == "__main__":
    program.begin(_PROGRAM)
    start()
