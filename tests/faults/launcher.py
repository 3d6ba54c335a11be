"""Builds in processes of their own, into which a fault is put at a place.

A process is forked from a server that has imported all that a build needs. It replaces the function
of a place by one that does the fault first, or afterwards, and then runs the program. With one
worker all steps run in it.
"""

import builtins
import contextlib
import ctypes
import datetime
import functools
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, NamedTuple

from open_images.building import plan
from pipelines import build
from pipelines.cli.progress import ProgressDisplay
from runners import direct  # noqa: F401
from transforms.releases import heartbeat, lease
from transforms.storage import conditional  # noqa: F401

_CONTEXT = multiprocessing.get_context("forkserver")
_PATIENCE = 30.0
_BALLAST_BYTES = 1 << 16
#: To write and read whatever the permissions say.
_OVERRIDES = 1 << 1 | 1 << 2
_CAPABILITIES_VERSION = 0x20080522
#: What a slow disk adds to each of the calls below.
_SLOW_SECONDS = 0.03


class Place(NamedTuple):
    """A moment of a build.

    Attributes:
        function: a public function or method, wherever it is imported.
        of: what one of its arguments must end with, or hold.
        after: whether the function is done first.
    """

    function: Callable
    of: str = ""
    after: bool = False


class Fault(NamedTuple):
    """What happens at a place, the first time that a build comes there.

    Attributes:
        action: of `ACTIONS`.
        place: where; None for the very beginning.
        path: a file or folder that it concerns.
    """

    action: str
    place: Place | None
    path: str = ""


def _fill(disk: str) -> None:
    """Fills a disk to its last byte."""
    with open(Path(disk, "ballast"), "wb", buffering=0) as file, contextlib.suppress(OSError):
        size = _BALLAST_BYTES
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2


def _deny(output: str) -> None:
    """Takes the right to write from all folders below an output, as their owner may."""
    for folder, _, _ in os.walk(output):
        os.chmod(folder, 0o555)


def _slow(_: str) -> None:
    def slowed(function: Callable) -> Callable:
        def slow(*arguments: Any, **options: Any) -> Any:
            time.sleep(_SLOW_SECONDS)
            return function(*arguments, **options)

        return slow

    for module, name in ((builtins, "open"), *((os, n) for n in ("fsync", "rename", "replace"))):
        setattr(module, name, slowed(getattr(module, name)))


def _set_clock(seconds: str) -> None:
    """Sets this process's clock, by so many seconds."""
    own, own_ns = time.time, time.time_ns
    time.time = lambda: own() + float(seconds)
    time.time_ns = lambda: own_ns() + int(seconds) * 10**9

    class Shifted(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return super().now(tz) + datetime.timedelta(seconds=float(seconds))

    plan.datetime = _Datetime(Shifted)


class _Datetime(NamedTuple):
    """Stands for the module."""

    datetime: type[datetime.datetime]
    UTC: datetime.timezone = datetime.UTC


def _fail(_: str) -> None:
    raise RuntimeError("injected")


def _wait(path: str) -> None:
    """Tells that it is here, and waits until it may go on."""
    Path(f"{path}.reached").touch()
    while not os.path.exists(path):
        time.sleep(0.01)


ACTIONS: dict[str, Callable[[str], object]] = {
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda _: os.kill(os.getpid(), signal.SIGSTOP),
    "exception": _fail,
    "disk full": _fill,
    "permission lost": _deny,
    "slow disk": _slow,
    "clock": _set_clock,
    "wait": _wait,
    "touch": lambda path: Path(path).touch(),
}


def _put(fault: Fault) -> None:
    """Has a fault happen at its place, once."""
    act = functools.partial(ACTIONS[fault.action], fault.path)
    if fault.place is None:
        act()
        return
    function, of, pending = fault.place.function, fault.place.of, [act]

    @functools.wraps(function)
    def faulty(*arguments: Any, **options: Any) -> Any:
        is_here = any(isinstance(each, str) and of in each for each in arguments) or not of
        if is_here and pending and not fault.place.after:
            pending.pop()()
        result = function(*arguments, **options)
        if is_here and pending:
            pending.pop()()
        return result

    for owner in _owners(function):
        for name in [name for name, value in vars(owner).items() if value is function]:
            setattr(owner, name, faulty)


def _owners(function: Callable) -> Iterator[Any]:
    """Yields the modules that know a function, or the class of a method."""
    *parents, _ = function.__qualname__.split(".")
    yield functools.reduce(getattr, parents, sys.modules[function.__module__])
    yield from [*sys.modules.values()]


def _bind_by_permissions() -> None:
    """Gives up root's right to do as it likes with files; threads to come won't have it either."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0)
    # Effective, permitted and inheritable ones, lower 32 bits and then the upper.
    sets = (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.capget(header, sets) == 0
    for place in range(3):
        sets[place] &= ~_OVERRIDES
    assert libc.capset(header, sets) == 0


def _work(
    environment: dict[str, str],
    fault: Fault,
    arguments: list[str],
    log: str,
    quick: bool,
    bound: bool,
) -> None:
    os.environ.clear()
    os.environ |= environment
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT, 0o666), 2)
    os.dup2(2, 1)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    if bound:
        _bind_by_permissions()
    if quick:  # to find out that it isn't the holder any more
        lease.RENEWAL_SECONDS = heartbeat.RENEWAL_SECONDS = 0.2
    _put(fault)
    code = build.main(arguments, ProgressDisplay(line_seconds=3600))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class Launched:
    """A build with a fault, that runs."""

    def __init__(
        self,
        fault: Fault,
        arguments: list[str],
        log: Path,
        quick: bool = False,
        bound: bool = False,
    ) -> None:
        log.touch()
        log.chmod(0o666)
        self._log = log
        self._process = _CONTEXT.Process(
            target=_work,
            args=(dict(os.environ), fault, arguments, str(log), quick, bound),
            daemon=True,
        )
        self._process.start()
        _launched.append(self)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def said(self) -> str:
        return self._log.read_text()

    def wait(self) -> int:
        """Waits for its end; the exit code, or less than 0 for a signal."""
        self._process.join(_PATIENCE)
        assert self._process.exitcode is not None, f"it doesn't end: {self.said}"
        return self._process.exitcode

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Waits until something is the case."""
        deadline = time.monotonic() + _PATIENCE
        while not condition():
            assert self._process.is_alive(), self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.01)

    def is_stopped(self) -> bool:
        state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "T"

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def end(self) -> None:
        """Ends it by -9, if it runs."""
        self._process.kill()
        self._process.join()


_launched: list[Launched] = []


def end_all() -> None:
    """Ends all that run."""
    while _launched:
        _launched.pop().end()


@contextlib.contextmanager
def server() -> Iterator[None]:
    """Has processes forked from a server of this module's, in place of any that runs."""
    forkserver._forkserver._stop()
    _CONTEXT.set_forkserver_preload(["tests.faults.launcher"])
    forkserver.ensure_running()
    try:
        yield
    finally:
        forkserver._forkserver._stop()
        _CONTEXT.set_forkserver_preload([])
