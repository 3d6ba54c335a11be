"""Builds a dataset: `python -m pipelines.build --help`."""

from pipelines.cli.output import fail, print_line, program_name
from transforms.system import program

_PROGRAM = program_name("build")

if __name__ == "__main__":
    program.begin(_PROGRAM, "interrupted: nothing was published")

from collections.abc import Sequence
from typing import NoReturn

from open_images import building
from pipelines.cli import build_flags, logs, secrets
from pipelines.cli.progress import ProgressDisplay
from runners import lean
from transforms.system import descriptors


def main(arguments: Sequence[str] | None = None, display: ProgressDisplay | None = None) -> int:
    """Runs a build.

    Args:
        arguments: of the command line, without the program's name; None is the process's own.
        display: shows how far the build is; None is one on stderr.

    Returns:
        The exit code: 0 published, 1 failed, and nothing published unless the error says so, 2
        wrong use, 3 another build is at work.
    """
    logs.configure()
    secrets.keep_secrets()
    flags, beam_arguments = build_flags.parse(arguments)
    if too_few := descriptors.raise_limit():
        print_line(f"{_PROGRAM}: note: {too_few}")
    if flags.dry_run:
        from pipelines.cli import forecast

        shown = display or ProgressDisplay()
        return forecast.run(_PROGRAM, flags, beam_arguments, shown, flags.report)
    with display or ProgressDisplay() as shown:
        build = building.start(flags, beam_arguments, shown)
        # These take a while to import: not before the workers are on their way.
        from pipelines.cli import ending as endings
        from pipelines.cli import metrics_file

        wrong = metrics_file.complaint(flags.metrics_file) if flags.metrics_file else None
        ending = endings.Ending(2, error=wrong) if wrong else endings.run(build)
    endings.print_report(_PROGRAM, ending, flags.report)
    # The figures of the build that is at work will be those of this time.
    if flags.metrics_file and not wrong and ending.code != endings.BUSY:
        try:
            metrics_file.write(flags.metrics_file, ending, flags.output, flags.s3_endpoint_url)
        except OSError as error:
            cause = f"--metrics_file {flags.metrics_file} can't be written: {error.strerror}"
            fail(_PROGRAM, cause, 1)
    endings.print_error(_PROGRAM, ending)
    return ending.code


def start() -> NoReturn:
    """Runs the program in a process of its own."""
    lean.begin_imports()
    lean.keep_one_heap()
    program.run(main)


if __name__ == "__main__":
    start()
