"""Checks a published version: `python -m pipelines.verify --help`."""

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial

from open_images.progress import Progress
from open_images.values import natural
from pipelines.cli import secrets
from pipelines.cli.arguments import Parser, add_num_workers, add_store, converted
from pipelines.cli.output import fail, program_name, spelled
from transforms.errors import UsageError
from transforms.storage.temporary import program_folder
from transforms.system import program
from transforms.wording import printable

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


def _sample(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdecimal():
        raise UsageError(f"{text!r} is neither a number nor 'all'")
    return natural(text)


def make_parser() -> argparse.ArgumentParser:
    """The parser of this program's flags."""
    parser = Parser(
        program="verify",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "output", metavar="OUTPUT", help="the --output of a build, here or s3://… or gs://…"
    )
    parser.add_argument("--version", metavar="NAME", help="which to check; default: the latest")
    parser.add_argument(
        "--sample",
        type=converted(_sample),
        default=1000,
        metavar="N",
        help="how many pictures to decode, evenly spread over the version, or 'all'; default: 1000",
    )
    add_num_workers(parser)
    add_store(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Checks a version.

    Returns:
        The exit code: 0 whole, 1 problems found or not to be read, 2 wrong use.
    """
    secrets.keep_secrets()
    flags = make_parser().parse_args(arguments)
    # Arrow takes some tenths of a second to import: not before the flags are known to be right.
    from pipelines.cli import report
    from pipelines.cli.progress import ProgressDisplay
    from transforms.releases.manifest import VersionError
    from transforms.releases.output import LatestError, Output
    from transforms.releases.verify import verify
    from transforms.storage.objects import StorageError
    from transforms.storage.stores import ObjectOptions
    from transforms.system.processes import WorkerError

    started = time.monotonic()
    output = Output(flags.output, ObjectOptions(s3_endpoint_url=flags.s3_endpoint_url))
    try:
        with program.interruptible(), program_folder():
            name = output.choose(flags.version)
            with ProgressDisplay() as display:
                account = verify(
                    output,
                    name,
                    flags.sample,
                    flags.num_workers,
                    partial(display.print_line, file=sys.stdout),
                    lambda line: display.print_line(f"note: {line}"),
                    lambda done, total: display.show(Progress(f"checking {name}", done, total)),
                )
    except LatestError as error:
        return fail(_PROGRAM, str(error), 1)
    except VersionError as error:
        return fail(_PROGRAM, str(error), 2)
    except (StorageError, WorkerError) as error:
        return fail(_PROGRAM, str(error), 1)
    except OSError as error:
        return fail(_PROGRAM, f"{error.filename or flags.output}: {error.strerror or error}", 1)
    except KeyboardInterrupt:
        return fail(_PROGRAM, "interrupted", 1)
    seconds = time.monotonic() - started
    lines = report.verification(printable(flags.output), name, account, seconds)
    print(spelled("\n".join(lines)))
    return 1 if account.problems else 0


if __name__ == "__main__":
    program.begin(_PROGRAM)
    program.run(main)
