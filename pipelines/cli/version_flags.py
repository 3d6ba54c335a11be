"""The command line of `python -m pipelines.versions`: its commands and their flags."""

import argparse

from open_images.values import natural
from pipelines.cli.arguments import Parser, add_num_workers, add_output, add_store, converted
from pipelines.cli.output import program_name

_DESCRIPTION = """\
Lists the versions in the --output of a build, tells what is in one and what changed between two,
lets readers see another, and removes old ones.
"""

_EXAMPLES = """\
examples:
  python -m pipelines.versions oid/dataset list
  python -m pipelines.versions oid/dataset show

  # what the last build changed, image by image
  python -m pipelines.versions oid/dataset diff 20260101T000000000-0123abcd --images

  # readers see the version before again, which is never removed
  python -m pipelines.versions oid/dataset rollback 20260101T000000000-0123abcd
  python -m pipelines.versions oid/dataset pin 20260101T000000000-0123abcd

  # the three newest stay, with the latest and those that are pinned
  python -m pipelines.versions s3://bucket/dataset gc --keep 3 --dry_run

exit codes: 0 done, 1 failed, 2 wrong use.
"""


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of this program's commands and their flags."""
    parser = Parser(program="versions", description=_DESCRIPTION, epilog=_EXAMPLES)
    add_output(parser)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str) -> Parser:
        command = commands.add_parser(name, help=text, description=text)
        command.prog = f"{program_name('versions')} OUTPUT {name}"
        add_store(command)
        return command

    list_ = add("list", "versions with their dates, images, sizes and marks")
    show = add("show", "what a version was built from, and what is in it")
    diff = add("diff", "which images appeared, vanished or changed, by split and source")
    for command in (list_, show, diff):
        how = "how to say it; default: text"
        command.add_argument("--report", choices=("text", "json"), default="text", help=how)
    show.add_argument("version", nargs="?", metavar="VERSION", help="default: the latest")
    diff.add_argument("before", metavar="BEFORE", help="a version")
    diff.add_argument("after", nargs="?", metavar="AFTER", help="another; default: the latest")
    diff.add_argument(
        "--images",
        action="store_true",
        help="a line for each image first: change, split, ImageID, changed columns",
    )
    add_num_workers(diff)
    for name, text in (
        ("rollback", "let readers see a version: `latest` names it from now on"),
        ("pin", "never remove a version"),
        ("unpin", "let a version be removed again"),
    ):
        add(name, text).add_argument("version", metavar="VERSION", help="a version")
    gc = add("gc", "remove old versions, and what dead builds have left")
    gc.add_argument(
        "--keep",
        type=converted(natural),
        required=True,
        metavar="K",
        help="how many of the newest versions to keep, beside the latest and those that are pinned",
    )
    gc.add_argument(
        "--dry_run", action="store_true", help="say what would be removed, and remove nothing"
    )
    gc.add_argument(
        "--work_folder",
        metavar="PATH",
        help="for an OUTPUT in an object store: the --work_folder of its builds, where dead ones "
        "may have left something, too",
    )
    return parser
