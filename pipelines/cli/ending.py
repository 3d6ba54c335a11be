"""How a build ended, as its program reports it: exit code, texts, and a document for machines."""

import dataclasses
import json
import logging
import os
from collections.abc import Sequence
from typing import Any

from open_images.building.one_build import Build, BuildResult
from open_images.errors import BuildError
from pipelines.cli import report
from pipelines.cli.output import fail, print_line, print_result
from transforms.errors import UsageError
from transforms.releases.lease import BusyError
from transforms.releases.outcome import Outcome
from transforms.system import program
from transforms.wording import clean_lines, clean_values

#: The exit code of a build that left the output to another one, which is at work.
BUSY = 3


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a build ended.

    Attributes:
        code: its exit code.
        seconds: it took.
        error: what went wrong, in a line.
        text: what is printed for people.
        outcome: what became of its images; None where it didn't come to that.
        folder: of the version that it published, or that was there already.
        unchanged: whether that version was there before.
        causes: what went wrong once more, each cause with lines of examples, where there are some.
        notes: lines that were shown meanwhile.
    """

    code: int
    seconds: float = 0.0
    error: str | None = None
    text: str = ""
    outcome: Outcome | None = None
    folder: str | None = None
    unchanged: bool = False
    causes: Sequence[tuple[str, Sequence[str]]] = ()
    notes: Sequence[str] = ()


def _of_result(result: BuildResult) -> Ending:
    """Returns how a build ended that has published, or had nothing to do."""
    unchanged = result.is_unchanged
    text = report.unchanged(str(result.folder)) if unchanged else _text(result)
    return Ending(
        *(0, result.seconds, None, text, result.outcome, result.folder, unchanged),
        notes=result.notes,
    )


def _of_error(error: BuildError) -> Ending:
    """Returns how a build ended that failed."""
    text = _text(error) if error.outcome else ""
    return Ending(
        *(1, error.seconds, str(error), text, error.outcome, error.folder),
        causes=error.causes,
        notes=error.notes,
    )


def _text(ended: BuildResult | BuildError) -> str:
    lines = list(ended.notes)
    if ended.outcome and ended.plan:
        lines.append(report.render(ended.outcome, ended.plan, ended.seconds))
    return "\n".join(lines)


def document(ending: Ending) -> dict[str, Any]:
    """Returns the document of `--report json`; null where the build failed before."""
    if ending.folder and ending.code == 0:
        word = "unchanged" if ending.unchanged else "published"
    else:
        word = {0: "not_run", 1: "failed", 2: "wrong_use", BUSY: "busy"}[ending.code]
    return {
        "outcome": word,
        "exit_code": ending.code,
        "error": ending.error,
        "seconds": round(ending.seconds, 3),
        "version": os.path.basename(ending.folder) if ending.folder else None,
        "folder": ending.folder,
        "notes": list(ending.notes),
        **report.describe_outcome(ending.outcome),
    }


def run(build: Build) -> Ending:
    """Runs a build; returns how it ended, whatever goes wrong."""
    try:
        with program.interruptible(lambda: str(build.interrupted())):
            return _of_result(build.run())
    except BusyError as error:
        return Ending(BUSY, build.seconds, str(error))
    except UsageError as error:
        return Ending(2, build.seconds, str(error))
    except KeyboardInterrupt:
        return _of_error(build.interrupted())
    except BuildError as error:
        # What a worker raises for a signal may have become another exception on its way.
        if program.is_interrupted():
            return _of_error(build.interrupted())
        if error.__cause__:
            logging.error("the build failed", exc_info=error.__cause__)
        return _of_error(error)


def print_report(program_name: str, ending: Ending, form: str) -> None:
    """Prints a report, `text` or `json`; where stdout can't be written, a line on stderr."""
    if form == "json":
        text = json.dumps(clean_values(document(ending)))
    else:
        text = clean_lines(ending.text)
    outcome = ""
    if ending.folder and ending.code == 0:
        outcome = f"{'unchanged:' if ending.unchanged else 'published'} {ending.folder}"
    if text:
        print_result(program_name, text, outcome)


def print_error(program_name: str, ending: Ending) -> None:
    """Prints what went wrong: each cause with lines of examples, where there are some."""
    for cause, examples in ending.causes:
        fail(program_name, cause, ending.code)
        for example in examples:
            print_line(f"  {example}")
    if ending.error and not ending.causes:
        fail(program_name, ending.error, ending.code)
