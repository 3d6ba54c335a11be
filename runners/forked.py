"""Beam's environment of workers that are forked by the server of `runners/fork_server.py`."""

import multiprocessing.process
import os
import signal
import threading
from collections.abc import Mapping
from multiprocessing import connection
from typing import Any, Self

from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability.fn_api_runner.worker_handlers import (
    GrpcWorkerHandler,
    WorkerHandler,
)
from apache_beam.transforms.environments import Environment, python_sdk_capabilities

from runners import fork_server, lean, sharing, shortcuts, worker

#: How the error begins of a worker that has ended by itself.
ENDED = "a worker process ended"
_POLL_SECONDS = 0.1
_URN = "open_images:env:forked:v1"
#: Starting a process also reads how others ended. Of two threads that read it at the same time, one
#: would find nothing there and take it for an exit code of 255.
_reading_ends = threading.Lock()


@Environment.register_urn(_URN, None)
class ForkedEnvironment(Environment):
    """Workers that are forked on this machine."""

    @classmethod
    def default(cls) -> Self:
        """With what this Beam can do."""
        return cls(capabilities=python_sdk_capabilities())

    def to_runner_api_parameter(self, context: Any) -> tuple[str, None]:
        """The environment as Beam passes it on; it has no parameters."""
        return _URN, None

    @staticmethod
    def from_runner_api_parameter(
        _: None, capabilities: Any, artifacts: Any, resource_hints: Any, __: Any
    ) -> "ForkedEnvironment":
        """The environment that was passed on."""
        return ForkedEnvironment(capabilities, artifacts, resource_hints)


@WorkerHandler.register_environment(_URN, None)
class ForkedWorkerHandler(GrpcWorkerHandler):
    """Starts a worker for Beam's FnApiRunner, and waits for its end."""

    def __init__(self, _: None, state: Any, provision_info: Any, grpc_server: Any) -> None:
        super().__init__(state, provision_info, grpc_server)

    def start_worker(self) -> None:
        # The server may have been started for an earlier build, with another environment.
        environment = dict(os.environ) | worker.environment(
            self.worker_id,
            self.control_api_service_descriptor(),
            self.logging_api_service_descriptor(),
            self.provision_info.provision_info.pipeline_options,
        )
        process = fork_server.CONTEXT.Process(target=_work, args=(environment,), daemon=True)
        with _reading_ends:
            process.start()
        self._stopped = threading.Event()
        self._watching = threading.Thread(target=self._watch, args=(process,), daemon=True)
        self._watching.start()

    def stop_worker(self) -> None:
        self._stopped.set()
        self._watching.join()

    def _watch(self, process: multiprocessing.process.BaseProcess) -> None:
        """Waits for the worker's end; if it failed, Beam would wait for its answers for ever."""
        control: Any = self.control_conn
        connection.wait([process.sentinel])
        with _reading_ends:
            process.join()
        if process.exitcode:
            answer = beam_fn_api_pb2.InstructionResponse(
                error=f"{ENDED} with code {process.exitcode}: is memory short?"
            )
            while not self._stopped.wait(_POLL_SECONDS):  # Beam may still ask it for more
                for future in [*control._futures_by_id.values()]:
                    future.set(answer)


def _work(environment: Mapping[str, str]) -> None:
    """Runs a worker in a new process until the runner has no more for it to do."""
    # An interrupt reaches all processes of a terminal; the driver is who ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Beam prints the traceback of every error that it also tells the runner.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.environ.clear()
    os.environ |= environment
    lean.collect_again()
    with shortcuts.taken(), sharing.taken():
        worker.serve(_end_with_driver)


def _end_with_driver() -> None:
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    os._exit(1)
