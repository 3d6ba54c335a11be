"""Beam's job server for Flink: a process of ours, as long as a build."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from runners.flink.installed import JAVA_FLAGS, find_java
from runners.launch import JobError

#: Below those that systems give to connections, which might take one before its server starts.
_PORTS = range(20_000, 32_768)
_ADDRESS = "127.0.0.1"
_START_SECONDS = 90
_STOP_SECONDS = 5
_HEAP = "-Xmx1g"
#: Runs a program that ends with the process that holds the other end of its stdin.
_WITH_PARENT = 'exec 3<&0; (cat <&3; kill -9 0) & exec "$@" </dev/null 3<&-'


class JobServer:
    """A job server, which starts with the context and ends with it.

    Args:
        jar: path of the job server.
        master: `HOST:PORT` of a Flink cluster's REST API, or `[local]` for a Flink inside the job
            server.

    Raises:
        UsageError: There is no Java.
    """

    def __init__(self, jar: str, master: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="job-server-")
        self._log = Path(self._folder.name) / "log"
        (self._port,) = free_ports(1)
        self.endpoint = f"localhost:{self._port}"
        self._command = [
            *(find_java(), *JAVA_FLAGS, _HEAP, f"-Djava.io.tmpdir={self._folder.name}"),
            *("-jar", jar, "--flink-master", master),
            *("--artifacts-dir", f"{self._folder.name}/artifacts"),
            *("--job-host", "localhost", "--job-port", str(self._port)),
            *("--artifact-port", "0", "--expansion-port", "0"),
        ]

    def __enter__(self) -> Self:
        with open(self._log, "wb") as output:
            self._process = subprocess.Popen(
                ["sh", "-c", _WITH_PARENT, "sh", *self._command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that Ctrl-C reaches us alone
            )
        return self

    def wait(self) -> None:
        """Waits until it takes jobs.

        Raises:
            JobError: It didn't start.
        """
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("localhost", self._port)):
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = self._log.read_text(errors="replace").strip().splitlines()
                last = said[-1] if said else "it says nothing"
                raise JobError(f"Beam's job server for Flink didn't start: {last}")
            time.sleep(0.1)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
        self.kill()
        self._folder.cleanup()

    def kill(self) -> None:
        """Ends it at once; may be called again, from any thread."""
        if self._process.returncode is None:  # else the group's id may be another's by now
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()  # at which what is left of the group ends


def free_ports(count: int) -> list[int]:
    """Returns ports of this machine that nobody listens on now, all different."""
    found: list[int] = []
    while len(found) < count:
        port = random.choice(_PORTS)
        with contextlib.suppress(OSError), socket.socket() as attempt:
            attempt.bind((_ADDRESS, port))
            if port not in found:
                found.append(port)
    return found
