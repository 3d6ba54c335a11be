"""Lists, compares and removes versions: `python -m pipelines.versions --help`."""

import argparse
import contextlib
from collections.abc import Sequence
from functools import partial

from pipelines.cli import secrets
from pipelines.cli.output import exit_code_of, print_line, program_name
from pipelines.cli.version_flags import make_parser
from transforms.system import program

_PROGRAM = program_name("versions")
_INTERRUPTED = "interrupted: run it again to go on"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Returns:
        The exit code: 0 done, 1 failed, 2 wrong use.
    """
    secrets.keep_secrets()
    flags = make_parser().parse_args(arguments)
    return exit_code_of(_PROGRAM, partial(_run, flags), flags.output, _INTERRUPTED)


def _run(flags: argparse.Namespace) -> int:
    # Arrow takes some tenths of a second to import: not before the flags are known to be right.
    from pipelines.cli import version_commands
    from transforms.releases.output import Output
    from transforms.storage.stores import ObjectOptions

    output = Output(flags.output, ObjectOptions(s3_endpoint_url=flags.s3_endpoint_url))
    with contextlib.suppress(BrokenPipeError):  # whoever reads has seen enough
        version_commands.COMMANDS[flags.command](output, flags)
        if problem := version_commands.read_latest(output)[1]:
            print_line(f"note: {problem}")
    return 0


if __name__ == "__main__":
    program.begin(_PROGRAM)
    program.run(main)
