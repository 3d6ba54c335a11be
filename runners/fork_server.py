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
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from runners import lean, worker
from runners.same_python import import_path, module_command
from transforms.system.program import Cleanup

#: Begins the message about a worker that has ended by itself.
ENDED = "a worker process ended"
#: What each worker needs, whatever the pipeline; the latter for its first channel.
_PRELOADED = ("apache_beam.runners.worker.sdk_worker_main", "grpc.experimental")


class ForkServer:
    """A server that is a child of this process.

    Args:
        modules: what workers will need imported, beside Beam.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            module_command("runners.fork_server", *modules),
            env=os.environ | import_path(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        self._lock = threading.Lock()
        self._on_ends: dict[str, Callable[[str], None]] = {}
        #: The error of a worker, after which the server has ended; empty if there is none.
        self.failure = ""
        self._has_ended = False
        threading.Thread(target=self._read_ends, daemon=True).start()

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
            on_end(self.failure)
            return
        order = json.dumps({"worker_id": worker_id, "environment": dict(environment)})
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended, which `_read_ends` reports
            self._process.stdin.write(order.encode() + b"\n")
            self._process.stdin.flush()

    def kill(self, cause: str) -> None:
        """Kills the server and all workers; `cause` is the error to report."""
        with self._lock:
            self.failure = self.failure or cause
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
            on_end(self.failure)


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


def _serve(modules: Sequence[str]) -> None:
    """Imports modules, forks workers, and reports their ends, until there are no more orders."""
    lean.begin_imports()
    lean.keep_one_heap()
    # Without a handler Beam warns on stderr of what isn't installed.
    logging.getLogger().addHandler(logging.NullHandler())
    for module in (*_PRELOADED, *modules):
        importlib.import_module(module)
    workers: dict[int, str] = {}

    def report_ends(*_: object) -> None:
        for pid in list(workers):
            with contextlib.suppress(ChildProcessError):  # a signal has come in between
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    code = os.waitstatus_to_exitcode(status)
                    os.write(sys.stdout.fileno(), f"{workers.pop(pid)} {code}\n".encode())

    signal.signal(signal.SIGCHLD, report_ends)  # it interrupts reading, which then goes on
    for line in sys.stdin.buffer:
        order = json.loads(line)
        workers[_fork(order["environment"])] = order["worker_id"]
        report_ends()  # of one that has ended before it was in the table
    os.killpg(0, signal.SIGKILL)


def _fork(environment: Mapping[str, str]) -> int:
    """Forks a worker; returns its process id."""
    server = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # The server alone reads orders and reports ends; and Beam prints the traceback of every
        # error that it also sends to the runner.
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        os.environ.clear()
        os.environ |= environment
        tempfile.tempdir = None
        lean.end_imports()
        worker.serve(server)
    finally:
        os._exit(1)


if __name__ == "__main__":
    _serve(sys.argv[1:])
