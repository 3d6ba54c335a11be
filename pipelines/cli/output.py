"""How programs speak: their names, lines on stderr, and results on stdout."""

import errno
import sys

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


def print_result(program: str, text: str, done: str) -> None:
    """Prints what a program says of what it has done; where that can't be, a line says so instead.

    It is done still, so it isn't an error.

    Args:
        program: its name.
        text: for stdout.
        done: what is done, in a few words for that line; empty if nothing is.
    """
    try:
        print(spelled(text), flush=True)
    except OSError as error:
        reason = error.strerror or errno.errorcode.get(error.errno or 0, str(error))
        fate = f"{done}; " if done else ""
        print_line(f"{program}: {fate}the report can't be printed to stdout: {reason}")


def fail(program: str, message: str, code: int) -> int:
    """Prints in a line what went wrong; returns the exit code."""
    print_line(f"{program}: error: {message}")
    return code
