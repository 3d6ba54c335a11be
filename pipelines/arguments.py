"""What the command lines of several programs share: how they speak, and kinds of value."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help of our width, examples as they stand."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=100)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with help of our width, and flags in full."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=Formatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Ends the program, without the usage of all flags that argparse would print first."""
        self.exit(2, f"{self.prog}: error: {message}: see --help\n")


def interrupt(*_: object) -> NoReturn:
    """Ends a program that is told to end by a signal as Ctrl-C does."""
    raise KeyboardInterrupt


def fail(program: str, message: str, code: int) -> int:
    """Says in a line what went wrong; the exit code."""
    print(f"{program}: error: {message}", file=sys.stderr)
    return code


def add_store(parser: argparse._ActionsContainer) -> None:
    """Adds the flag for stores like S3."""
    parser.add_argument("--s3_endpoint_url", metavar="URL", help="of a store like S3, for s3://")


def add_num_workers(parser: argparse.ArgumentParser) -> None:
    """Adds the number of processes."""
    parser.add_argument(
        "--num_workers",
        type=count,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes; default: the cores",
    )


def choices(allowed: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Parses some of `allowed`, comma separated, each once."""

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
        wrong = [name for name in names if name not in allowed]
        if wrong or not names:
            word = wrong[0] if wrong else text
            raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(allowed)}")
        return names

    return parse


def count(text: str) -> int:
    """A number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a fraction between 0 and 1")
    return value


def size(text: str) -> int:
    """A number of bytes such as 268435456, 256MiB or 64k."""
    units = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
    number = text.lower().removesuffix("b").removesuffix("i")
    unit = number[-1:] if number[-1:] in ("k", "m", "g") else ""
    try:
        value = int(float(number.removesuffix(unit)) * units[unit])
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: try 256MiB") from None
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be positive")
    return value
