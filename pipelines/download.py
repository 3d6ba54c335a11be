"""Downloads the published files of Open Images, and pictures by a list."""

import logging
from collections.abc import Sequence
from pathlib import Path

from open_images.downloading import catalogue, run
from open_images.downloading.client import DownloadError
from pipelines.cli import discretion
from pipelines.cli import download_flags as flags
from pipelines.cli.arguments import fail
from transforms.errors import UsageError
from transforms.storage.stamps import ChangedError
from transforms.system import program

_PROGRAM = "python -m pipelines.download"
_INTERRUPTED = "interrupted: run the same command again to go on"


def main(arguments: Sequence[str] | None = None, files: Path = catalogue.PUBLISHED) -> int:
    """Runs the program.

    Args:
        arguments: of the command line, without the program's name.
        files: the catalogue.

    Returns:
        The exit code: 0 all is there, 1 failed, 2 wrong use.
    """
    logging.basicConfig(level=logging.ERROR)  # else Beam warns of what isn't installed
    discretion.keep_secrets()
    entries = catalogue.read(files)
    parsed = flags.parse(arguments, entries)
    try:
        with program.interruptible(lambda: _INTERRUPTED):
            failures = run.run(parsed, entries)
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
