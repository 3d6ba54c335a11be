"""A build, or a plan of one, in a process of its own, so that the caller's stays as it is.

Beam takes memory and a temporary folder, configures logging, and in a notebook imports modules that
need certain releases of pandas. A process of its own can also handle signals, and keep freed memory
for later.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, TypeVar

from open_images.errors import BuildError
from open_images.progress import Observer
from runners.launch import RunnerFlags
from runners.same_python import import_path, module_command

if TYPE_CHECKING:
    from open_images.building.one_run import OneRun

_Flags = TypeVar("_Flags", bound=RunnerFlags)
_Result = TypeVar("_Result")

#: Time that an interrupted build gets to end in order.
_PATIENCE_SECONDS = 20.0


def run_in_process(
    start: Callable[[_Flags, Sequence[str], Observer], "OneRun[_Flags, _Result]"],
    flags: _Flags,
    beam_arguments: Sequence[str],
    observer: Observer,
    fate: str = "; whether anything was published can't be told",
    *,
    kind: type[_Flags],
) -> _Result:
    """Runs a build in a new process, and waits for it.

    Args:
        start: a function of a module, which returns what is to be run.
        flags: of the build.
        beam_arguments: flags for Beam.
        observer: hears of it, in this thread.
        fate: the end of the message where the process ends without an answer.
        kind: of the flags that are handed over.

    Raises:
        UsageError, BusyError, BuildError: as `OneRun.run` raises them.
        KeyboardInterrupt: Somebody has interrupted it; the build has ended by then.
    """
    names = [field.name for field in dataclasses.fields(kind)]  # pyrefly: ignore
    own = kind(**{name: getattr(flags, name) for name in names})
    task = start, own, list(beam_arguments)
    ours, theirs = multiprocessing.Pipe()
    with ours:
        with theirs:
            process = subprocess.Popen(
                module_command("open_images.building.child", str(theirs.fileno())),
                env=os.environ | import_path(),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                process_group=0,  # what a terminal sends reaches this process alone
            )
        with _ended_with(process):
            with contextlib.suppress(OSError):  # it has ended, which `_receive` tells
                ours.send(task)
            while True:
                what, content = _receive(ours, process, fate)
                if what == "log":
                    observer.log(content)
                elif what == "show":
                    observer.show(content)
                elif what == "result":
                    return content
                else:
                    error, trace = content
                    raise error from (RuntimeError(trace) if trace else None)


def _receive(connection: Connection, process: subprocess.Popen, fate: str) -> Any:
    """Waits for the next message of a build.

    Raises:
        BuildError: Its process has ended without an answer.
    """
    try:
        return connection.recv()
    except (EOFError, OSError):
        cause = f"the build's process ended with code {process.wait()}: is memory short?"
        raise BuildError(f"{cause}{fate}") from None


@contextlib.contextmanager
def _ended_with(process: subprocess.Popen) -> Iterator[None]:
    """Ends a build's process in order when the context exits."""
    try:
        yield
    except BaseException:  # an interrupt, or an observer's error; else the build has ended
        process.send_signal(signal.SIGINT)
        raise
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_SECONDS)
        process.kill()
        process.wait()
