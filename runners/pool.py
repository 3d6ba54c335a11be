"""A worker pool for a runner on this machine: its workers are processes of this very Python.

Beam's own pool starts whatever `python` comes first in PATH. Its LOOPBACK workers are threads of
the driver, which print the traceback of each error to the terminal and can't be ended.

`python -m runners.pool --port 50000` is a pool of its own, beside a task manager in a pod. Anyone
who reaches a pool can run programs, so it listens on loopback alone.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from runners import worker
from runners.same_python import import_path, module_command

_START_SECONDS = 30
_END_SECONDS = 10
_CHECK_SECONDS = 5


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """Starts workers for a runner that is told its `address`; ends them all when it is closed.

    Args:
        on_death: called with the exit code of a worker that ended by itself, which a runner might
            wait for in vain.
        port: to listen at; 0 for any that is free.

    Raises:
        OSError: The port is in use.
    """

    def __init__(self, on_death: Callable[[int], None], port: int = 0) -> None:
        self._on_death = on_death
        self._processes: dict[str, subprocess.Popen] = {}
        self._killed: set[subprocess.Popen] = set()
        # Two pools at one port would each get some of the requests.
        self._server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(self, self._server)
        try:
            bound = self._server.add_insecure_port(f"localhost:{port}")
        except RuntimeError:
            raise OSError(f"port {port} is in use") from None
        self.address = f"localhost:{bound}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None)
        for process in [self._processes.pop(name) for name in list(self._processes)]:
            self._kill(process)
            process.wait()

    def StartWorker(  # noqa: N802
        self, request: beam_fn_api_pb2.StartWorkerRequest, _: object
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        """Asks the runner for the pipeline's options, and starts a worker with them."""
        info = worker.provision(
            request.provision_endpoint.url, request.worker_id, timeout=_START_SECONDS
        )
        environment = worker.environment(
            request.worker_id,
            request.control_endpoint,
            request.logging_endpoint,
            info.pipeline_options,
        )
        process = subprocess.Popen(
            module_command("runners.worker", str(os.getpid())),
            env=os.environ | environment | import_path(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._processes[request.worker_id] = process
        threading.Thread(
            target=self._wait_for, args=(request.worker_id, process), daemon=True
        ).start()
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(  # noqa: N802
        self, request: beam_fn_api_pb2.StopWorkerRequest, _: object
    ) -> beam_fn_api_pb2.StopWorkerResponse:
        """Gives a worker that a runner no longer needs some time to end by itself."""
        process = self._processes.pop(request.worker_id, None)
        if process is not None:
            threading.Thread(target=self._end, args=(process,), daemon=True).start()
        return beam_fn_api_pb2.StopWorkerResponse()

    def _wait_for(self, worker_id: str, process: subprocess.Popen) -> None:
        code = process.wait()
        told_to_end = self._processes.pop(worker_id, None) is None
        # A runner may miss a worker, and tell it to end, before its end is noticed here.
        by_signal = code < 0 and process not in self._killed
        if code != 0 and (by_signal or not told_to_end):
            self._on_death(code)

    def _end(self, process: subprocess.Popen) -> None:
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill(process)

    def _kill(self, process: subprocess.Popen) -> None:
        self._killed.add(process)
        process.kill()


def answers(address: str) -> bool:
    """Returns whether a pool listens at an address."""
    with grpc.insecure_channel(address) as channel:
        try:
            grpc.channel_ready_future(channel).result(_CHECK_SECONDS)
        except grpc.FutureTimeoutError:
            return False
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a pool until it is told to end."""
    parser = argparse.ArgumentParser(prog="python -m runners.pool", allow_abbrev=False)
    parser.add_argument("--port", type=int, required=True, help="to listen at, on loopback")
    parser.add_argument("--check", action="store_true", help="tell by exit code whether one does")
    flags = parser.parse_args(arguments)
    if flags.check:
        return 0 if answers(f"localhost:{flags.port}") else 1
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        with WorkerPool(
            lambda code: print(f"a worker ended with code {code}", flush=True), flags.port
        ) as pool:
            print(f"workers are started by {pool.address}", flush=True)
            ended.wait()
    except OSError as error:
        print(f"python -m runners.pool: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
