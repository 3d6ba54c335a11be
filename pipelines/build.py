"""Builds a dataset: `python -m pipelines.build --help`."""

from pipelines.cli.output import fail, print_line, print_result, program_name
from transforms.system import program

_PROGRAM = program_name("build")

if __name__ == "__main__":
    program.begin(_PROGRAM, "interrupted: nothing was published")

import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from open_images import building
from open_images.errors import BuildError
from open_images.progress import BuildObserver, Progress
from pipelines.cli import build_flags, secrets
from pipelines.cli.progress import ProgressDisplay
from runners import lean
from runners.temporary import temporary_folder
from transforms.errors import UsageError
from transforms.system import descriptors
from transforms.wording import clean_lines, clean_values

if TYPE_CHECKING:
    from open_images.building.one_build import Build
    from pipelines.cli.report import Ending


def main(arguments: Sequence[str] | None = None, display: ProgressDisplay | None = None) -> int:
    """Runs a build.

    Args:
        arguments: of the command line, without the program's name; None is the process's own.
        display: shows how far the build is; None is one on stderr.

    Returns:
        The exit code: 0 published, 1 failed, and nothing published unless the error says so, 2
        wrong use, 3 another build is at work.
    """
    logging.basicConfig(level=logging.ERROR)
    # Beam logs every exception of a worker that it also raises here.
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_not_of_a_worker)
    secrets.keep_secrets()
    flags, beam_arguments = build_flags.parse(sys.argv[1:] if arguments is None else arguments)
    if too_few := descriptors.raise_limit():
        print_line(f"{_PROGRAM}: note: {too_few}")
    with display or ProgressDisplay() as shown:
        build = building.start(flags, beam_arguments, _Observer(shown))
        # These take a while to import: not before the workers are on their way.
        from pipelines.cli import metrics_file, report

        wrong = metrics_file.complaint(flags.metrics_file) if flags.metrics_file else None
        ending = report.Ending(2, error=wrong) if wrong else _run(build)
    if flags.report == "json":
        _print(json.dumps(clean_values(report.document(ending))), ending)
    else:
        _print(clean_lines(ending.text), ending)
    # The figures of the build that is at work will be those of this time.
    if flags.metrics_file and not wrong and ending.code != report.BUSY:
        try:
            metrics_file.write(flags.metrics_file, ending, flags.output, flags.s3_endpoint_url)
        except OSError as error:
            cause = f"--metrics_file {flags.metrics_file} can't be written: {error.strerror}"
            fail(_PROGRAM, cause, 1)
    for cause, examples in ending.causes:
        fail(_PROGRAM, cause, ending.code)
        for example in examples:
            print_line(f"  {example}")
    if ending.error and not ending.causes:
        fail(_PROGRAM, ending.error, ending.code)
    return ending.code


def _run(build: "Build") -> "Ending":
    """Runs a build; returns how it ended, whatever goes wrong."""
    from pipelines.cli import report
    from transforms.releases.lease import BusyError

    try:
        with program.interruptible(lambda: str(build.interrupted())):
            return report.ending_of_result(build.run())
    except BusyError as error:
        return report.Ending(report.BUSY, build.seconds, str(error))
    except UsageError as error:
        return report.Ending(2, build.seconds, str(error))
    except KeyboardInterrupt:
        return report.ending_of_error(build.interrupted())
    except BuildError as error:
        # What a worker raises for a signal may have become another exception on its way.
        if program.is_interrupted():
            return report.ending_of_error(build.interrupted())
        if error.__cause__:
            logging.error("the build failed", exc_info=error.__cause__)
        return report.ending_of_error(error)


class _Observer(BuildObserver):
    """Shows a build on a terminal, and ends it as a signal would."""

    def __init__(self, display: ProgressDisplay) -> None:
        self._display = display

    def say(self, line: str) -> None:
        self._display.print_line(line)

    def show(self, progress: Progress) -> None:
        self._display.show(progress)

    def lose_lease(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def running(self) -> contextlib.AbstractContextManager[object]:
        return temporary_folder()


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


def start() -> NoReturn:
    """Runs the program in a process of its own."""
    lean.begin_imports()
    lean.keep_one_heap()
    program.run(main)


if __name__ == "__main__":
    start()
