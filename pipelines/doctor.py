"""Checks in seconds what would fail a build after an hour: `python -m pipelines.doctor --help`."""

import dataclasses
import logging
from collections.abc import Sequence

from open_images.building.flags import DoctorFlags
from pipelines.cli import build_flags, secrets
from pipelines.cli.arguments import Parser
from pipelines.cli.output import exit_code_of, program_name
from transforms.system import program
from transforms.wording import printable

_PROGRAM = program_name("doctor")

_DESCRIPTION = """\
Checks a runner before a build: versions here and on the workers, ports, Java, a Flink cluster,
free space, buckets, and by a tiny job that workers start, see the inputs and share the work
folder. Takes the flags of a build; what isn't given isn't looked at. Prints a line for each thing:
'ok', 'note' of what may be meant, 'skip' where it can't be looked at, or 'fix' with what to do. On
Dataflow no job is run. Inputs are looked at as a build does, but not read through.
"""

_EXAMPLES = """\
examples:
  # this machine
  python -m pipelines.doctor

  # a Flink cluster, with what is to be built there
  python -m pipelines.doctor --runner flink --flink_master jobmanager:8081 \\
      --annotations /shared/oid/annotations --images /shared/oid/images --output /shared/dataset

  # a bucket, from the workers of that cluster
  python -m pipelines.doctor --runner flink --flink_master jobmanager:8081 --exchange engine \\
      --output gs://bucket/dataset

  # Dataflow: flags, credentials, buckets
  python -m pipelines.doctor --runner dataflow --project my-project-1 --region us-central1 \\
      --temp_location gs://bucket/temp --output gs://bucket/dataset

exit codes: 0 all is well, 1 something is to be mended, 2 wrong use.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProgramFlags(DoctorFlags, build_flags.ReportFlags):
    """The flags of the program: a build's command line is a doctor's, too."""


def parse(arguments: Sequence[str] | None) -> tuple[DoctorFlags, list[str]]:
    """Parses the command line of a build, none of whose flags is required, and a few more."""
    parser = Parser(program="doctor", description=_DESCRIPTION, epilog=_EXAMPLES)
    return build_flags.parse_with(parser, ProgramFlags, arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs all checks, and prints their findings; returns the exit code."""
    logging.basicConfig(level=logging.CRITICAL)
    secrets.keep_secrets()
    flags, beam_arguments = parse(arguments)
    # Beam takes a second to import: not before the flags are known to be right.
    from open_images.building.examine import examine

    def work() -> int:
        todo = 0
        for finding in examine(flags, beam_arguments):
            print(f"{finding.mark:4}  {printable(finding.text)}", flush=True)
            todo += finding.mark == "fix"
        print(f"{todo} to mend" if todo else "all is well")
        return int(todo > 0)

    return exit_code_of(_PROGRAM, work)


if __name__ == "__main__":
    program.begin(_PROGRAM)
    program.run(main)
