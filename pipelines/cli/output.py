"""Output of programs: their names, lines on stderr, results on stdout, and exit codes.

Light to import.
"""

import errno
import sys
from collections.abc import Callable

from transforms.errors import UsageError
from transforms.system import program
from transforms.wording import printable

#: How a program is called by Python, without its name. All texts have it that way.
_MODULE = "python -m pipelines."
_COMMAND = "open-images "
_called: dict[str, bool] = {"as_command": False}


def call_as_command() -> None:
    """Has all that is printed call programs `open-images build`, and the like, from now on."""
    _called["as_command"] = True


def spelled(text: str) -> str:
    """Returns a text that calls programs as the user has called this one.

    >>> spelled("see python -m pipelines.verify")
    'see python -m pipelines.verify'
    """
    return text.replace(_MODULE, _COMMAND) if _called["as_command"] else text


def program_name(command: str) -> str:
    """Returns the name of a program, as the user has called it.

    >>> program_name("build")
    'python -m pipelines.build'
    """
    return spelled(f"{_MODULE}{command}")


def print_line(line: str) -> None:
    """Prints a line to stderr."""
    print(printable(spelled(line)), file=sys.stderr, flush=True)


def print_result(name: str, text: str, done: str) -> None:
    """Prints a result to stdout; where that fails, prints a line to stderr.

    The work is done all the same, so that is no error.

    Args:
        name: of the program.
        text: for stdout.
        done: a few words about the work, for that line; or empty.
    """
    try:
        print(spelled(text), flush=True)
    except OSError as error:
        reason = error.strerror or errno.errorcode.get(error.errno or 0, str(error))
        fate = f"{done}; " if done else ""
        print_line(f"{name}: {fate}the report can't be printed to stdout: {reason}")


def fail(name: str, message: str, code: int) -> int:
    """Prints an error message in a line; returns the exit code."""
    print_line(f"{name}: error: {message}")
    return code


def exit_code_of(
    name: str, work: Callable[[], int], place: str = "", interrupted: str = "interrupted"
) -> int:
    """Runs a program; prints a line on stderr where an error or a signal ends it.

    Args:
        name: of the program.
        work: returns the exit code.
        place: path for the message of an `OSError` that names none.
        interrupted: the message after a signal.

    Returns:
        The exit code: after an error 2 where the use was wrong, else 1.
    """
    try:
        with program.interruptible(lambda: interrupted):
            return work()
    except KeyboardInterrupt:
        return fail(name, interrupted, 1)
    except BrokenPipeError:
        raise  # whoever reads has seen enough
    except OSError as error:
        where = error.filename or place
        return fail(name, f"{where}{where and ': '}{error.strerror or error}", 1)
    except Exception as error:
        return fail(name, *_explain(error))


def _explain(error: Exception) -> tuple[str, int]:
    """Returns a line about an error, and the exit code; raises an error that nobody expects."""
    # These take a while to import, unless they are imported already.
    from open_images.downloading.client import DownloadError
    from transforms.releases.diff import DamagedShardError
    from transforms.releases.manifest import ManifestError, VersionError
    from transforms.releases.output import LatestError
    from transforms.releases.workspace import OutputError
    from transforms.storage.objects import StorageError
    from transforms.storage.stamps import ChangedError
    from transforms.system.processes import WorkerError

    if isinstance(error, ManifestError | DamagedShardError):
        return f"{error}: see python -m pipelines.verify", 1
    if isinstance(error, LatestError | StorageError | ChangedError | WorkerError | DownloadError):
        return str(error), 1
    if isinstance(error, UsageError | VersionError | OutputError):
        return str(error), 2
    raise error
