"""Checks a published version: `python -m pipelines.verify --help`."""

import argparse
from collections.abc import Sequence
from functools import partial

from open_images.values import natural_or_all
from pipelines.cli import secrets
from pipelines.cli.arguments import Parser, add_num_workers, add_output, add_store, converted
from pipelines.cli.output import exit_code_of, program_name, spelled
from transforms.storage.temporary import program_folder
from transforms.system import program

_PROGRAM = program_name("verify")

_DESCRIPTION = """\
Checks that a published version is whole: that manifest and files agree, every shard's SHA-256,
number of examples, schema and order, that no image is there twice, the CRCs of TFRecords, that
TFRecord and Parquet hold the same, the failures, and that pictures decode. Every byte is read once.
Prints a line for each problem. Pictures are judged as by the build: damage within one, which only
--verify_pixels looks for, is named and is no problem in a version that was built without.
"""

_EXAMPLES = """\
examples:
  # what readers see now
  python -m pipelines.verify oid/dataset

  # another version, with every picture decoded
  python -m pipelines.verify oid/dataset --version 20260101T000000000-0123abcd --sample all

  # in a bucket, by four processes
  python -m pipelines.verify s3://bucket/dataset --num_workers 4

exit codes: 0 whole, 1 problems found or not to be read, 2 wrong use.
"""


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of this program's flags."""
    parser = Parser(program="verify", description=_DESCRIPTION, epilog=_EXAMPLES)
    add_output(parser)
    parser.add_argument("--version", metavar="NAME", help="which to check; default: the latest")
    parser.add_argument(
        "--sample",
        type=converted(natural_or_all),
        default=1000,
        metavar="N",
        help="how many pictures to decode, evenly spread over the version, or 'all'; default: 1000",
    )
    add_num_workers(parser)
    add_store(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Checks a version; returns the exit code."""
    secrets.keep_secrets()
    flags = make_parser().parse_args(arguments)
    return exit_code_of(_PROGRAM, partial(_verify, flags), flags.output)


def _verify(flags: argparse.Namespace) -> int:
    # Arrow takes some tenths of a second to import: not before the flags are known to be right.
    from open_images.verification import check
    from pipelines.cli.progress import ProgressDisplay
    from pipelines.cli.report import verification

    with program_folder(), ProgressDisplay() as display:
        asked = flags.output, flags.version, flags.sample, flags.num_workers, flags.s3_endpoint_url
        found = check(*asked, display)
    print(spelled("\n".join(verification(flags.output, found))))
    return int(not found.is_whole)


if __name__ == "__main__":
    program.begin(_PROGRAM)
    program.run(main)
