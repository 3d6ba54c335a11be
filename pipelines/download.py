"""Downloads the published files of Open Images, and pictures by a list."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from open_images.downloading import catalogue, run
from open_images.downloading.client import RETRY, DownloadError
from open_images.downloading.flags import DownloadFlags
from pipelines.cli import secrets
from pipelines.cli.arguments import Parser, add_flags, read_flags
from pipelines.cli.output import fail, program_name
from pipelines.cli.progress import DisplayObserver, ProgressDisplay
from transforms.errors import UsageError
from transforms.storage.retry import Retry
from transforms.storage.stamps import ChangedError
from transforms.system import program

_PROGRAM = program_name("download")
_EXAMPLES = """\
examples:
  # what the validation split of V7 consists of, and how large it is
  python -m pipelines.download --splits validation --output oid --list

  # its boxes, masks with their PNGs, and the tables and names that belong to them
  python -m pipelines.download --splits validation --output oid \\
      --kinds images,boxes,masks,mask_pngs,classes,hierarchy

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


def parse(arguments: Sequence[str]) -> DownloadFlags:
    """Parses a command line.

    Raises:
        SystemExit: with code 2 and one line on stderr where the use is wrong.
    """
    parser = Parser(
        program="download",
        description="Downloads the published files of Open Images, or pictures by a list.",
        epilog=_EXAMPLES,
    )
    add_flags(parser, DownloadFlags)
    return read_flags(parser, DownloadFlags, parser.parse_args(arguments))


def main(
    arguments: Sequence[str] | None = None,
    files: Path = catalogue.PUBLISHED,
    display: ProgressDisplay | None = None,
    retry: Retry = RETRY,
) -> int:
    """Runs the program.

    Args:
        arguments: of the command line, without the program's name.
        files: the catalogue.
        display: shows how far the download is; None is one on stderr.
        retry: how often a server is asked for a file again.

    Returns:
        The exit code: 0 all is there, 1 failed, 2 wrong use.
    """
    logging.basicConfig(level=logging.ERROR)  # else Beam warns of what isn't installed
    secrets.keep_secrets()
    flags = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        with program.interruptible(lambda: _INTERRUPTED), display or ProgressDisplay() as shown:
            failures = run.run(flags, catalogue.read(files), DisplayObserver(shown), retry)
    except UsageError as error:
        return fail(_PROGRAM, str(error), 2)
    except KeyboardInterrupt:
        return fail(_PROGRAM, _INTERRUPTED, 1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return fail(_PROGRAM, f"{where}{error.strerror or error}", 1)
    except (ChangedError, DownloadError) as error:
        return fail(_PROGRAM, str(error), 1)
    for failure in failures:
        fail(_PROGRAM, failure, 1)
    return int(bool(failures))


if __name__ == "__main__":
    program.begin(_PROGRAM)
    program.run(main)
