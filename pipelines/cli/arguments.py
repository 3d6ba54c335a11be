"""What the command lines of all programs share: parsers, and flags made of dataclasses."""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn, TypeVar

from open_images import values
from pipelines.cli.output import fail, program_name, spelled
from transforms.errors import UsageError

# Help of our width, examples as they stand.
_Formatter = partial(argparse.RawDescriptionHelpFormatter, max_help_position=32, width=100)
_REQUIRED = "the following arguments are required: "
_Flags = TypeVar("_Flags")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with help of our width, and flags in full.

    For an unknown flag or value it suggests the most similar one.

    Args:
        program: the name of the command.
        description: what it does.
        epilog: examples, with programs as `python -m pipelines.…`.
        options: for `ArgumentParser`.

    Attributes:
        given: the command line that was parsed.
    """

    def __init__(
        self, program: str = "", description: str = "", epilog: str = "", **options: Any
    ) -> None:
        if program:
            options["prog"] = program_name(program)
        super().__init__(
            description=spelled(description),
            epilog=spelled(epilog),
            formatter_class=_Formatter,
            allow_abbrev=False,
            **options,
        )
        self.given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses what it knows; the rest is left over."""
        self.given = sys.argv[1:] if args is None else args
        return super().parse_known_args(args, namespace)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses a command line, all of it."""
        flags, others = self.parse_known_args(args, namespace)
        if others:
            hint = values.did_you_mean(others[0].partition("=")[0], self.flags())
            self.error(f"unrecognized arguments: {' '.join(others)}{hint}")
        return flags

    def flags(self) -> list[str]:
        """Returns all flags, those of its commands too."""
        found = [name for action in self._actions for name in action.option_strings]
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                found += [flag for each in action.choices.values() for flag in each.flags()]
        return found

    def error(self, message: str) -> NoReturn:
        """Ends the program, without the usage of all flags that argparse would print first."""
        if message.startswith(_REQUIRED):
            # One of them may be there, not quite by its name.
            flags, lacking = self.flags(), message.removeprefix(_REQUIRED).split(", ")
            for word in self.given:
                flag = word.partition("=")[0]
                if flag.startswith("-") and flag not in flags and values.most_alike(flag, lacking):
                    message = unknown_flag(word, lacking)
                    break
        hint = "" if message.endswith("?") else ": see --help"
        sys.exit(fail(self.prog, f"{message}{hint}", 2))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None:
            return
        try:
            values.one_of(list(action.choices))(value)
        except UsageError as error:
            raise argparse.ArgumentError(action, str(error)) from None


def unknown_flag(word: str, flags: Sequence[str]) -> str:
    """Returns the error message for an unknown flag.

    Args:
        word: as it was given, perhaps with a value.
        flags: the flags that there are.
    """
    flag = word.partition("=")[0]
    return f"unknown flag {flag}{values.did_you_mean(flag, flags)}"


def converted(convert: values.Converter) -> Callable[[str], Any]:
    """Returns a converter as `type` of an argument, whose errors argparse shows."""

    def parse(text: str) -> Any:
        try:
            return convert(text)
        except UsageError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def add_flags(parser: argparse.ArgumentParser, kind: type) -> None:
    """Adds the fields of a dataclass of flags, under their headings; see `values.flag`.

    A flag that isn't given gets no attribute: its default is the dataclass's.
    """
    groups: dict[str, argparse._ActionsContainer] = {"": parser}
    for field in dataclasses.fields(kind):
        about = field.metadata
        heading = about["group"]
        if heading not in groups:
            groups[heading] = parser.add_argument_group(heading)
        options: dict[str, Any] = {"default": argparse.SUPPRESS, **about["options"]}
        if about["convert"] is values.switch:
            options["action"] = "store_true"
        else:
            options["required"] = field.default is dataclasses.MISSING
        several = about["convert"] in (values.paths, values.repeated)
        if several or isinstance(about["convert"], values.Choices):
            options["action"] = "append"
        groups[heading].add_argument(f"--{field.name}", **options)


def read_flags(parser: Parser, kind: type[_Flags], given: argparse.Namespace) -> _Flags:
    """Returns the flags that `add_flags` has added, checked.

    Raises:
        SystemExit: A value is wrong; a line says so.
    """
    try:
        return kind(**vars(given))
    except UsageError as error:
        parser.error(str(error))


def add_output(parser: argparse.ArgumentParser) -> None:
    """Adds the place that versions are published in."""
    parser.add_argument(
        "output", metavar="OUTPUT", help="the --output of a build, here or s3://… or gs://…"
    )


def add_store(parser: argparse._ActionsContainer) -> None:
    """Adds the flag for stores like S3."""
    parser.add_argument(
        "--s3_endpoint_url",
        type=converted(values.url),
        metavar="URL",
        help="of a store like S3, for s3://",
    )


def add_num_workers(parser: argparse.ArgumentParser) -> None:
    """Adds the number of processes."""
    parser.add_argument(
        "--num_workers",
        type=converted(values.processes),
        default=values.cores(),
        metavar="N",
        help="processes; default: the cores",
    )
