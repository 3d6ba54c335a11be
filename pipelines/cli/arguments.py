"""What the command lines of several programs share: how they speak, and kinds of value."""

import argparse
import difflib
import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

from runners import launch
from transforms.storage.endpoints import is_endpoint
from transforms.wording import printable

#: The split that some of the published files, and many people, call by another name.
SPLIT_NAMES = MappingProxyType({"val": "validation"})

#: How alike two names are, of 1, where one may have been meant by the other.
_LIKENESS = 0.7
#: How many letters two names begin with where no other name does.
_START = 3
#: Of a number that Python reads at once, and of no disk's size.
_MOST_DIGITS, _MOST_BYTES = 1000, 1 << 60
_DAY_SECONDS = 86400
_REQUIRED = "the following arguments are required: "


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help of our width, examples as they stand."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=100)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with help of our width, and flags in full.

    For flags and values that are none it names one that is much like them.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=Formatter, allow_abbrev=False, **options)
        self._given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses what it knows; the rest is left over."""
        self._given = sys.argv[1:] if args is None else args
        return super().parse_known_args(args, namespace)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses a command line, all of it."""
        flags, others = self.parse_known_args(args, namespace)
        if others:
            hint = did_you_mean(others[0].partition("=")[0], self.flags())
            self.error(f"unrecognized arguments: {' '.join(others)}{hint}")
        return flags

    def flags(self) -> list[str]:
        """All flags, those of its commands too."""
        found = [name for action in self._actions for name in action.option_strings]
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                found += [flag for each in action.choices.values() for flag in each.flags()]
        return found

    def error(self, message: str) -> NoReturn:
        """Ends the program, without the usage of all flags that argparse would print first."""
        if message.startswith(_REQUIRED):
            # One of them may be there, not quite by its name.
            known, lacking = self.flags(), message.removeprefix(_REQUIRED).split(", ")
            for word in self._given:
                flag = word.partition("=")[0]
                if flag.startswith("-") and flag not in known and _alike(flag, lacking):
                    message = unknown_flag(word, lacking)
                    break
        hint = "" if message.endswith("?") else ": see --help"
        sys.exit(fail(self.prog, f"{message}{hint}", 2))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            allowed = list(action.choices)
            text = f"invalid choice: {value!r} (choose from {', '.join(allowed)})"
            raise argparse.ArgumentError(action, text + did_you_mean(value, allowed))


def unknown_flag(word: str, known: Sequence[str]) -> str:
    """Returns the error message for an unknown flag.

    Args:
        word: as it was given, perhaps with a value.
        known: the flags that there are.
    """
    flag = word.partition("=")[0]
    return f"unknown flag {flag}{did_you_mean(flag, known)}"


def none_of(word: str, allowed: Sequence[str]) -> str:
    """Returns the error message for a value that isn't allowed."""
    return f"{word!r} is none of {', '.join(allowed)}{did_you_mean(word, allowed)}"


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """The end of a line about a name that is none of these: which may be meant, if any may."""
    found = _alike(word, known)
    return f": did you mean {found}?" if found else ""


def _alike(word: str, known: Sequence[str]) -> str | None:
    """The one of `known` that is most like a word, if any is."""
    plain = {_plain(each): each for each in known}
    close = difflib.get_close_matches(_plain(word), plain, n=1, cutoff=_LIKENESS)
    begun = [name for name in plain if name[:_START] == _plain(word)[:_START]]
    if not close and len(begun) == 1:
        close = begun
    return plain[close[0]] if close else None


def _plain(word: str) -> str:
    return word.lower().lstrip("-").replace("-", "_")


def print_line(line: str) -> None:
    """Prints a line to stderr."""
    print(printable(line), file=sys.stderr, flush=True)


def print_result(program: str, text: str, done: str) -> None:
    """Prints what a program says of what it has done; where that can't be, a line says so instead.

    It is done still, so it isn't an error.

    Args:
        program: how it is called.
        text: for stdout.
        done: what is done, in a few words for that line; empty if nothing is.
    """
    try:
        print(text, flush=True)
    except OSError as error:
        reason = error.strerror or errno.errorcode.get(error.errno or 0, str(error))
        fate = f"{done}; " if done else ""
        print_line(f"{program}: {fate}the report can't be printed to stdout: {reason}")


def fail(program: str, message: str, code: int) -> int:
    """Says in a line what went wrong; the exit code."""
    print_line(f"{program}: error: {message}")
    return code


def add_store(parser: argparse._ActionsContainer) -> None:
    """Adds the flag for stores like S3."""
    parser.add_argument(
        "--s3_endpoint_url", type=url, metavar="URL", help="of a store like S3, for s3://"
    )


def add_num_workers(parser: argparse.ArgumentParser) -> None:
    """Adds the number of processes."""
    parser.add_argument(
        "--num_workers",
        type=processes,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes; default: the cores",
    )


def choices(
    allowed: Sequence[str], short: Mapping[str, str] = MappingProxyType({})
) -> Callable[[str], tuple[str, ...]]:
    """Parses some of `allowed`, comma separated, each once; `short` has other names for some."""

    def parse(text: str) -> tuple[str, ...]:
        given = [name.strip() for name in text.split(",") if name.strip()]
        names = tuple(dict.fromkeys(short.get(name, name) for name in given))
        wrong = [name for name in names if name not in allowed]
        if wrong or not names:
            raise argparse.ArgumentTypeError(none_of(wrong[0] if wrong else text, allowed))
        return names

    return parse


def count(text: str) -> int:
    """A number from 1."""
    if not text.isdecimal() or natural(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def natural(text: str) -> int:
    """A number from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    if len(text) > _MOST_DIGITS:
        raise argparse.ArgumentTypeError(f"a number of {len(text):,} digits is too large")
    return int(text)


def seconds(text: str) -> float:
    """A time from above 0 to a day."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value <= _DAY_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return value


def processes(text: str) -> int:
    """A number of processes that this machine can bear."""
    value = count(text)
    if value > launch.MOST_PROCESSES:
        raise argparse.ArgumentTypeError(launch.too_many(value, launch.MOST_PROCESSES))
    return value


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a fraction between 0 and 1")
    return value


def url(text: str) -> str:
    """An address of a server that is asked by HTTP."""
    if not is_endpoint(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no URL that starts with http:// or https://")
    return text


def size(text: str) -> int:
    """A number of bytes such as 268435456, 256MiB or 64k."""
    units = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
    number = text.lower().removesuffix("b").removesuffix("i")
    unit = number[-1:] if number[-1:] in ("k", "m", "g") else ""
    try:
        value = int(float(number.removesuffix(unit)) * units[unit])
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: try 256MiB") from None
    except OverflowError:
        value = _MOST_BYTES + 1
    if value > _MOST_BYTES:
        raise argparse.ArgumentTypeError("a size of more than an exbibyte is too large")
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be positive")
    return value
