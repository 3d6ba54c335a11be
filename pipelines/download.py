"""Downloads the published files of Open Images, and pictures by a list."""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from downloading import catalogue, flags, run
from downloading.client import DownloadError


def main(arguments: Sequence[str] | None = None, files: Path = catalogue.PUBLISHED) -> int:
    """Runs the program.

    Args:
        arguments: of the command line, without the program's name.
        files: the catalogue.

    Returns:
        The exit code: 0 all is there, 1 failed, 2 wrong use.
    """
    logging.basicConfig(level=logging.ERROR)  # else Beam warns of what isn't installed
    entries = catalogue.read(files)
    parsed = flags.parse(arguments, entries)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        failures = run.run(parsed, entries)
    except flags.UsageError as error:
        return _fail(str(error), 2)
    except KeyboardInterrupt:
        return _fail("interrupted: run the same command again to go on", 1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", 1)
    except DownloadError as error:
        return _fail(str(error), 1)
    for failure in failures:
        _fail(failure, 1)
    return int(bool(failures))


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _fail(message: str, code: int) -> int:
    print(f"python -m pipelines.download: error: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # At once: threads that an interrupt has left behind may wait for a server for minutes.
    os._exit(code)
