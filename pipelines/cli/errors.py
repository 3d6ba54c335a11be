"""What programs say of errors that end them, and their exit codes. Light to import."""

from collections.abc import Callable

from pipelines.cli.output import fail
from transforms.errors import UsageError
from transforms.system import program


def exit_code_of(
    name: str, work: Callable[[], int], place: str = "", interrupted: str = "interrupted"
) -> int:
    """Calls what a program does; where an error or a signal ends it, a line on stderr says so.

    Args:
        name: of the program.
        work: returns the exit code.
        place: what is named of an error of the system that names no file.
        interrupted: the error after a signal.

    Returns:
        The exit code: after an error 2 where the use was wrong, else 1.
    """
    try:
        with program.interruptible(lambda: interrupted):
            return work()
    except KeyboardInterrupt:
        return fail(name, interrupted, 1)
    except BrokenPipeError:
        raise  # whoever reads has seen enough
    except OSError as error:
        where = error.filename or place
        return fail(name, f"{where}{where and ': '}{error.strerror or error}", 1)
    except Exception as error:
        return fail(name, *_explain(error))


def _explain(error: Exception) -> tuple[str, int]:
    """Returns a line about an error, and the exit code; raises an error that nobody expects."""
    # These take a while to import, unless they are imported already.
    from open_images.downloading.client import DownloadError
    from transforms.releases.diff_shard import DamagedShardError
    from transforms.releases.manifest import ManifestError, VersionError
    from transforms.releases.output import LatestError
    from transforms.releases.workspace import OutputError
    from transforms.storage.objects import StorageError
    from transforms.storage.stamps import ChangedError
    from transforms.system.processes import WorkerError

    if isinstance(error, ManifestError | DamagedShardError):
        return f"{error}: see python -m pipelines.verify", 1
    if isinstance(error, LatestError | StorageError | ChangedError | WorkerError | DownloadError):
        return str(error), 1
    if isinstance(error, UsageError | VersionError | OutputError):
        return str(error), 2
    raise error
