"""The command line of a build; imports nothing heavy: `--help` is instant."""

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from typing import TypeVar

from open_images.building.flags import BuildFlags, running_flag
from open_images.values import path, switch
from pipelines.cli.arguments import Parser, add_flags, read_flags, unknown_flag
from pipelines.cli.output import program_name
from runners import launch
from runners.flink import options as flink
from transforms.errors import UsageError

_DESCRIPTION = """\
Builds a training dataset from Open Images: joins every annotation of an image, adds the picture and
its masks, and writes shuffled shards that tf.data, TFDS, Hugging Face datasets, PyTorch and DuckDB
load.
"""

_EXAMPLES = """\
examples:
  # everything: a folder of published files, pictures in a folder, masks in zips
  python -m pipelines.build --annotations oid/annotations --images oid/images \\
      --masks 'oid/masks/*.zip' --output oid/dataset

  # annotations alone, as Parquet for DuckDB or Polars
  python -m pipelines.build --annotations oid/annotations --images none \\
      --format parquet --output ann

  # pictures upright, their shorter side 256 pixels
  python -m pipelines.build --annotations oid/annotations --images oid/images \\
      --resize shortest --image_size 256 --apply_rotation --output small

  # the validation split, pictures from a tar, with an instance map a picture
  python -m pipelines.build --annotations oid/annotations --images validation.tar \\
      --masks oid/masks --mask_maps instance --splits validation --output val

  # images that show a vehicle of any kind, 100 of each class, without boxes of groups
  python -m pipelines.build --annotations oid/annotations --images oid/images \\
      --classes Vehicle+ --max_per_class 100 --where 'boxes.is_group_of != 1' --output vehicles

  # what the first would make, and what it would take
  python -m pipelines.build --annotations oid/annotations --images oid/images \\
      --masks 'oid/masks/*.zip' --output oid/dataset --dry_run

flags that are not listed here go to Apache Beam; an unknown flag is an error.
exit codes: 0 published, or unchanged since the latest version; 1 failed, and
nothing published unless the error says so; 2 wrong use; 3 another build is at work on the same
output, and nothing was done.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportFlags:
    """The flags of a dry run and of reports."""

    dry_run: bool = running_flag(
        switch,
        False,
        help="build nothing: count images, annotations, classes and bytes of pictures, and "
        "estimate disk and time, as the program plan does; nothing is fetched or published",
    )

    report: str = running_flag(
        ("text", "json"),
        "text",
        help="what to print at the end: tables, or one line of JSON, however it ended. Default: "
        "text",
    )
    metrics_file: str | None = running_flag(
        path,
        None,
        metavar="PATH",
        help="where to leave figures of this build and the published version for Prometheus, such "
        "as a .prom file in the folder of node_exporter's textfile collector",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProgramFlags(BuildFlags, ReportFlags):
    """The flags of the program: those of a build, and how it reports."""


_Flags = TypeVar("_Flags", bound=launch.RunnerFlags)


def parse(arguments: Sequence[str] | None) -> tuple[ProgramFlags, list[str]]:
    """Parses the command line of a build: see `parse_with`."""
    parser = Parser(program="build", description=_DESCRIPTION, epilog=_EXAMPLES)
    return parse_with(parser, ProgramFlags, arguments)


def parse_with(
    parser: Parser, kind: type[_Flags], arguments: Sequence[str] | None
) -> tuple[_Flags, list[str]]:
    """Parses the command line of a program that takes the flags of a build, or more.

    Args:
        parser: of the program, without its flags.
        kind: a dataclass of flags.
        arguments: of the command line; None for that of this process.

    Returns:
        Our flags, and those for Beam, checked by its own parsers.

    Raises:
        SystemExit: with code 2 and one line on stderr where the use is wrong.
    """
    add_flags(parser, kind)
    words, of_beam = _split_dry_run(sys.argv[1:] if arguments is None else arguments)
    given, others = parser.parse_known_args(words)
    flags = read_flags(parser, kind, given)
    if of_beam and flags.runner != "dataflow":
        parser.error(
            f"argument --dry_run: it takes no value: drop {of_beam[0].partition('=')[2]!r}"
        )
    others += of_beam
    if others:
        beam = _beam_parser(flags.runner)
        unknown = beam.parse_known_args(others)[1]
        if unknown and not unknown[0].startswith("-"):
            parser.error(_explain_stray(unknown[0], parser.given))
        if unknown:
            known = [f"--{name}" for name in vars(beam.parse_known_args([])[0])]
            parser.error(unknown_flag(unknown[0], [*known, *parser.flags()]))
    try:
        launch.refuse_too_many(flags, others)
    except UsageError as error:
        parser.error(str(error))
    return flags, others


def _split_dry_run(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns a command line without Beam's `--dry_run VALUE`, and this; ours has no value.

    >>> _split_dry_run(["--dry_run", "--images", "none", "--dry_run=True"])
    (['--dry_run', '--images', 'none'], ['--dry_run=True'])
    """
    ours, of_beam = [], []
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word.startswith("--dry_run="):
            of_beam.append(word)
        elif word == "--dry_run" and words and not words[0].startswith("-"):
            of_beam.append(f"{word}={words.pop(0)}")
        else:
            ours.append(word)
    return ours, of_beam


def _explain_stray(word: str, arguments: Sequence[str]) -> str:
    """Returns the error message for stray words, which values with spaces and globs leave."""
    before = list(arguments[: list(arguments).index(word)])
    last = next((given for given in reversed(before) if given.startswith("--")), "")
    flag, _, value = last.partition("=")
    if flag not in ("--annotations", "--images", "--masks"):
        drop = f"{word!r} belongs to no flag: drop it"
        if flag in ("--where", "--where_images"):
            return f"{drop}, or put the condition in quotes: {flag} 'boxes.is_group_of != 1'"
        if flag and (value or before[-1] != last):
            return (
                f"{drop}, put its flag before it, or if it belongs to {flag}, write commas without "
                "spaces, and a text with spaces in quotes"
            )
        return f"{drop}, or put its flag before it"
    first = value or before[-1]
    folder, suffix = os.path.dirname(word), os.path.splitext(word)[1]
    alike = os.path.splitext(first)[1] == suffix and os.path.dirname(first) == folder
    glob = os.path.join(folder, f"*{suffix}") if alike else "oid/masks/*.zip"
    return (
        f"{word!r} belongs to no flag: quote the glob, so that the shell leaves it as it is: "
        f"{flag} '{glob}'; or repeat {flag} before each path"
    )


def _beam_parser(runner: str) -> argparse.ArgumentParser:
    """Returns a parser of the flags that Beam knows."""
    from apache_beam.options.pipeline_options import PipelineOptions

    parsers: list[argparse.ArgumentParser] = []
    PipelineOptions([]).get_all_options(add_extra_args_fn=parsers.append)
    (parser,) = parsers
    parser.prog, parser.usage = program_name("build"), argparse.SUPPRESS
    known = vars(parser.parse_known_args([])[0])
    if runner == "flink":
        for name in flink.WITH_VALUE - known.keys():
            parser.add_argument(f"--{name}")
        for name in flink.SWITCHES - known.keys():
            parser.add_argument(f"--{name}", action="store_true")
    return parser
