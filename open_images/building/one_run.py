"""The base of builds, plans, choices of images and evaluations: notes, time, errors in a line."""

import abc
import re
import time
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from open_images.errors import BuildError
from open_images.progress import Observer
from runners import launch
from transforms.errors import UsageError
from transforms.redaction import redact
from transforms.releases import lease
from transforms.storage.objects import StorageError
from transforms.storage.stamps import ChangedError
from transforms.storage.stores import ObjectOptions

_Flags = TypeVar("_Flags", bound=launch.RunnerFlags)
_Result = TypeVar("_Result")

#: What Beam adds to a message.
_STEP = re.compile(r" \[while running '[^']*'\]$")
_REMEDIES = {
    "No space left on device": "the disk is full: free some space, or name another {place}",
    "Too many open files": "raise the limit of files that may be open at once (ulimit -Hn)",
    "Permission denied": "a file can't be opened: mind its permissions",
    "not read back as it was written": "check the disk, or name another {place}",
}


class OneRun(abc.ABC, Generic[_Flags, _Result]):
    """A build, or something else with the flags of one, which runs once.

    Args:
        flags: ours.
        beam_arguments: flags for Beam.
        observer: hears of it while it runs.
    """

    #: The flag of the folder that it works in.
    folder_flag = "--output"
    #: Errors of workers whose message is one line for the user.
    explained: tuple[type[Exception], ...] = (StorageError, ChangedError, lease.LostLeaseError)

    def __init__(self, flags: _Flags, beam_arguments: Sequence[str], observer: Observer) -> None:
        self._flags = flags
        self._beam_arguments = list(beam_arguments)
        self._observer = observer
        self._notes: list[str] = []
        self._started = time.monotonic()
        self._options = ObjectOptions(s3_endpoint_url=flags.s3_endpoint_url)

    def run(self) -> _Result:
        """Returns the result.

        Raises:
            UsageError: A flag or an input is wrong; nothing was done.
            BusyError: Another build is at work on the output; nothing was done.
            BuildError: It failed.
            KeyboardInterrupt: Somebody has interrupted it; see `interrupted`.
        """
        try:
            return self._run()
        except UsageError as error:
            raise UsageError(redact(str(error))) from None
        except (BuildError, lease.BusyError):
            raise
        except Exception as error:
            cause, is_explained = _explain(error, self.folder_flag, self.explained)
            raise self._failed(cause) from (None if is_explained else error)

    def interrupted(self) -> BuildError:
        """Returns the error that tells of an interrupt now."""
        return self._failed("interrupted")

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._started

    @abc.abstractmethod
    def _run(self) -> _Result:
        """Returns the result, or raises any exception."""

    def _failed(self, cause: str) -> BuildError:
        """Returns the error of a run that failed."""
        return self._error(cause)

    def _error(self, message: str, **details: Any) -> BuildError:
        return BuildError(redact(message), seconds=self.seconds, notes=self._notes, **details)

    def _note(self, line: str) -> None:
        """Shows a line and keeps it."""
        self._notes.append(line)
        self._observer.log(line)

    def _log(self, line: str) -> None:
        self._note(redact(line))


def _explain(
    error: Exception, folder_flag: str, explained: tuple[type[Exception], ...]
) -> tuple[str, bool]:
    """Returns the cause of a failed run in a line, and whether that is enough to mend it."""
    text = _STEP.sub("", str(error).strip())
    cause = text.splitlines()[-1] if text else repr(error)
    for words, remedy in _REMEDIES.items():
        if words in text:
            return f"{remedy.format(place=folder_flag)} ({cause})", True
    is_explained = isinstance(error, explained)
    for kind in explained:  # which a worker's traceback names with its module
        is_explained |= f"{kind.__module__}." in text
        cause = re.sub(rf"^{re.escape(kind.__module__)}\.\w+: ", "", cause)
    return cause, is_explained or (isinstance(error, launch.JobError) and text == cause)
