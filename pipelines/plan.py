"""Counts what a build would make: `python -m pipelines.plan --help`."""

import dataclasses
from collections.abc import Sequence
from typing import NoReturn

from open_images.building.flags import PlanFlags
from pipelines.cli import build_flags, logs, secrets
from pipelines.cli.arguments import Parser
from pipelines.cli.output import print_line, program_name
from pipelines.cli.progress import ProgressDisplay
from runners import lean
from transforms.system import descriptors, program

_PROGRAM = program_name("plan")

_DESCRIPTION = """\
Counts what a build with the same flags would make, before anything is fetched or published: images
by split, annotations, images and annotations a class, and bytes of pictures. Says roughly what disk
and time it would take. Annotations are read and joined as in a build, with what is on the way in a
temporary folder, or --work_folder; pictures and masks aren't read.
"""

_EXAMPLES = """\
examples:
  # all that is there, pictures from the published addresses
  python -m pipelines.plan --annotations oid/annotations --images original

  # cats and dogs with their boxes, 500 of each
  python -m pipelines.plan --annotations oid/annotations --images original \\
      --classes Cat,Dog --label_types boxes --max_per_class 500

  # for a program
  python -m pipelines.plan --annotations oid/annotations --images none --report json

exit codes: 0 planned; 1 failed, or there would be no images; 2 wrong use.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProgramFlags(PlanFlags, build_flags.ReportFlags):
    """The flags of the program: a build's command line is a plan's, too."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes a plan and prints it; returns the exit code."""
    logs.configure()
    secrets.keep_secrets()
    parser = Parser(program="plan", description=_DESCRIPTION, epilog=_EXAMPLES)
    flags, beam_arguments = build_flags.parse_with(parser, ProgramFlags, arguments)
    if too_few := descriptors.raise_limit():
        print_line(f"{_PROGRAM}: note: {too_few}")
    from pipelines.cli import forecast  # which imports Arrow

    return forecast.run(_PROGRAM, flags, beam_arguments, ProgressDisplay(), flags.report)


def start() -> NoReturn:
    """Runs the program in a process of its own."""
    lean.begin_imports()
    lean.keep_one_heap()
    program.run(main)


if __name__ == "__main__":
    program.begin(_PROGRAM)
    start()
