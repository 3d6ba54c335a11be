"""Downloads the published files of Open Images, pictures by a list, and what a selection needs."""

import logging
from collections.abc import Sequence
from pathlib import Path

from open_images.downloading import catalogue, run
from open_images.downloading.client import RETRY
from open_images.downloading.flags import DownloadFlags
from pipelines.cli import secrets
from pipelines.cli.arguments import Parser, add_flags, read_flags
from pipelines.cli.output import exit_code_of, fail, program_name
from pipelines.cli.progress import ProgressDisplay
from transforms.storage.retry import Retry
from transforms.system import program

_PROGRAM = program_name("download")
_EXAMPLES = """\
examples:
  # what the validation split of V7 consists of, and how large it is
  python -m pipelines.download --splits validation --output oid --list

  # its boxes, masks with their PNGs, and the tables and names that belong to them
  python -m pipelines.download --splits validation --output oid \\
      --kinds images,boxes,masks,mask_pngs,classes,hierarchy

  # what a build of 100 images of cats needs: annotation files, pictures, and PNGs out of their zips
  python -m pipelines.download --classes Cat --label_types boxes,masks --max_images 100 \\
      --splits validation --output oid

  # pictures by a list such as validation/0001eeaf4aed83f9, a line each
  python -m pipelines.download --image_list ids.txt --output oid --num_connections 32

  # the originals by the addresses that were published, and what is gone from a tar
  python -m pipelines.download --image_list ids.txt --output oid --images original \\
      --images train_0.tar.gz --annotations oid/annotations

  # and then
  python -m pipelines.build --annotations oid/annotations --images oid/images --masks oid/masks \\
      --output oid/dataset

What breaks off is resumed by running the same command again. Files that are there with the right
size, and pictures that are there with their start and end, are skipped; --verify finds other
damage, too. Pictures are written as they are stored, with their EXIF orientation. The environment's
http_proxy, https_proxy and no_proxy are heeded; for pictures with --allow_private_hosts alone,
since a proxy resolves names unchecked.
exit codes: 0 all is there, 1 failed, 2 wrong use.
"""

_INTERRUPTED = "interrupted: run the same command again to go on"


def parse(arguments: Sequence[str] | None) -> DownloadFlags:
    """Parses a command line; wrong use ends the program with a line on stderr and code 2."""
    description = (
        "Downloads the published files of Open Images, pictures by a list, or what a selection of "
        "images needs."
    )
    parser = Parser(program="download", description=description, epilog=_EXAMPLES)
    add_flags(parser, DownloadFlags)
    return read_flags(parser, DownloadFlags, parser.parse_args(arguments))


def main(
    arguments: Sequence[str] | None = None,
    files: Path = catalogue.PUBLISHED,
    display: ProgressDisplay | None = None,
    retry: Retry = RETRY,
) -> int:
    """Runs the program, whose catalogue, display and retries may be others; returns its code."""
    logging.basicConfig(level=logging.ERROR)  # else Beam warns of what isn't installed
    secrets.keep_secrets()
    flags = parse(arguments)

    def work() -> int:
        with display or ProgressDisplay() as shown:
            failures = run.run(flags, catalogue.read(files), shown, retry)
        return max((fail(_PROGRAM, failure, 1) for failure in failures), default=0)

    return exit_code_of(_PROGRAM, work, interrupted=_INTERRUPTED)


if __name__ == "__main__":
    program.begin(_PROGRAM)
    program.run(main)
