"""A server that forks workers: each is there at once, with all that it needs imported.

A Python that imports Beam and all steps takes two seconds. The server begins while the driver does
the same; it is a process of its own, since a driver with threads can't be forked. Light to import,
so that it can be started first.

The server and its workers are one process group: what a terminal sends reaches the driver alone,
and one SIGKILL ends them all. Orders come by a pipe: at its end, which is the driver's at the
latest, the server ends the group. By another pipe it reports which worker has ended.
"""

import contextlib
import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NoReturn

from runners.same_python import import_path, module_command
from transforms.system.program import Cleanup

#: Begins the message about a worker that has ended by itself.
ENDED = "a worker process ended"
_PRELOADED = "runners.preload"
_READ_BYTES = 1 << 16


class ForkServer:
    """A server that is a child of this process.

    Args:
        modules: what workers will need imported, beside Beam.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            module_command("runners.fork_server", _PRELOADED, *modules),
            env=os.environ | import_path(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        self._lock = threading.Lock()
        self._on_ends: dict[str, Callable[[str], None]] = {}
        self._cause = ""
        self._has_ended = False
        threading.Thread(target=self._read_ends, daemon=True).start()

    @property
    def failure(self) -> str:
        """The error of a worker, after which the server has ended; empty if there is none."""
        return self._cause

    def fork(
        self, worker_id: str, environment: Mapping[str, str], on_end: Callable[[str], None]
    ) -> None:
        """Starts a worker.

        Args:
            worker_id: another for each worker of this process.
            environment: of the worker's process.
            on_end: called once, in some thread, when the worker has ended, with what went wrong; an
                empty text where nothing did.
        """
        with self._lock:
            has_ended = self._has_ended
            if not has_ended:
                self._on_ends[worker_id] = on_end
        if has_ended:
            on_end(self._cause)
            return
        order = json.dumps({"worker_id": worker_id, "environment": dict(environment)})
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended, which `_read_ends` reports
            self._process.stdin.write(order.encode() + b"\n")
            self._process.stdin.flush()

    def kill(self, cause: str) -> None:
        """Kills the server and all workers; `cause` is the error to report."""
        with self._lock:
            self._cause = self._cause or cause
            if self._process.returncode is None:  # else the group's id may be another's by now
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def _read_ends(self) -> None:
        """Reports the end of each worker; once the server ends, that of all workers left."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            worker_id, code = line.decode().split()
            with self._lock:
                on_end = self._on_ends.pop(worker_id)
            on_end("" if code == "0" else f"{ENDED} with code {code}: is memory short?")
        self.kill(f"{ENDED} with all others: is memory short?")
        with self._lock:
            self._process.wait()
            self._has_ended = True
            left, self._on_ends = self._on_ends, {}
        for on_end in left.values():
            on_end(self._cause)


_server: ForkServer | None = None


def start(modules: Sequence[str]) -> ForkServer:
    """Returns this process's server, started unless it runs.

    Args:
        modules: what workers will need imported, beside Beam.
    """
    global _server
    if _server is None or _server.failure:
        _server = ForkServer(modules)
        Cleanup(partial(_server.kill, "the program ends"))
    return _server


def _serve(modules: Sequence[str]) -> NoReturn:
    """Imports modules, and forks workers until there are no more orders."""
    for module in modules:
        importlib.import_module(module)
    wakeup, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    orders = b""
    workers: dict[int, str] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        selector.register(wakeup, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if wakeup in ready:
                os.read(wakeup, _READ_BYTES)
                _report_ends(workers)
            if sys.stdin.fileno() in ready:
                read = os.read(sys.stdin.fileno(), _READ_BYTES)
                if not read:
                    os.killpg(0, signal.SIGKILL)
                *lines, orders = (orders + read).split(b"\n")
                for line in lines:
                    order = json.loads(line)
                    workers[_fork(order["environment"])] = order["worker_id"]


def _report_ends(workers: dict[int, str]) -> None:
    """Writes a line for each worker that has ended."""
    while workers:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        code = os.waitstatus_to_exitcode(status)
        os.write(sys.stdout.fileno(), f"{workers.pop(pid)} {code}\n".encode())


def _fork(environment: Mapping[str, str]) -> int:
    """Forks a worker; returns its process id."""
    server = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # The server alone reads orders and reports ends; and Beam prints the traceback of every
        # error that it also sends to the runner.
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        os.environ.clear()
        os.environ |= environment
        tempfile.tempdir = None
        from runners import lean, worker

        lean.end_imports()
        worker.serve(server)
    finally:
        os._exit(1)


if __name__ == "__main__":
    _serve(sys.argv[1:])
