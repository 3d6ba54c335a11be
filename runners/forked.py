"""Beam's environment of workers that are forked by the server of `runners/fork_server.py`.

Beam's FnApiRunner waits for ever for a worker that has died, and for all others once one has
failed. Here the first failure of any worker fails and ends all of them.
"""

import os
import threading
from collections.abc import Callable
from typing import Any, Self

from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability.fn_api_runner.worker_handlers import (
    ControlConnection,
    ControlFuture,
    GrpcWorkerHandler,
    WorkerHandler,
)
from apache_beam.transforms.environments import Environment, python_sdk_capabilities

from runners import fork_server, worker

_URN = "open_images:env:forked:v1"
#: How long a worker may take to end when there is no more for it to do.
_END_SECONDS = 10
_ENDLESS = f"{fork_server.ENDED} only by force"


@Environment.register_urn(_URN, None)
class ForkedEnvironment(Environment):
    """Workers that are forked on this machine."""

    @classmethod
    def default(cls) -> Self:
        """Returns an environment with the capabilities of this Beam."""
        return cls(capabilities=python_sdk_capabilities())

    def to_runner_api_parameter(self, context: Any) -> tuple[str, None]:
        """Returns the URN of the environment, which has no parameters."""
        return _URN, None

    @staticmethod
    def from_runner_api_parameter(
        _: None, capabilities: Any, artifacts: Any, resource_hints: Any, __: Any
    ) -> "ForkedEnvironment":
        """Returns the environment that Beam describes."""
        return ForkedEnvironment(capabilities, artifacts, resource_hints)


@WorkerHandler.register_environment(_URN, None)
class ForkedWorkerHandler(GrpcWorkerHandler):
    """Starts a worker for Beam's FnApiRunner, and ends it."""

    def __init__(self, _: None, state: Any, provision_info: Any, grpc_server: Any) -> None:
        super().__init__(state, provision_info, grpc_server)
        self._server = fork_server.start([])
        self._control = _Control(self.control_conn, self._server.kill)
        self.control_conn: Any = self._control
        self._ended = threading.Event()
        self._ended.set()

    def start_worker(self) -> None:
        """Forks a worker."""
        # The server may have been started for an earlier build, with another environment.
        environment = dict(os.environ) | worker.environment(
            self.worker_id,
            self.control_api_service_descriptor(),
            self.logging_api_service_descriptor(),
            self.provision_info.provision_info.pipeline_options,
        )
        self._ended.clear()
        self._server.fork(self.worker_id, environment, self._on_end)

    def stop_worker(self) -> None:
        """Waits until the worker ends, whose connection is closed by now."""
        if not self._ended.wait(_END_SECONDS):
            self._server.kill(_ENDLESS)
        self._ended.wait()

    def _on_end(self, cause: str) -> None:
        self._control.fail(cause or f"{fork_server.ENDED} too early")
        self._ended.set()


class _Control:
    """A connection of Beam's, by which a worker gets instructions, that can fail.

    Args:
        connection: of the worker.
        on_error: called with what went wrong, to end all workers.
    """

    def __init__(self, connection: ControlConnection, on_error: Callable[[str], None]) -> None:
        self._connection = connection
        self._on_error = on_error
        self._lock = threading.Lock()
        self._pending: list[ControlFuture] = []
        self._cause = ""

    def push(self, request: beam_fn_api_pb2.InstructionRequest) -> "_Answer | ControlFuture":
        """Sends an instruction; returns a promise of its answer."""
        with self._lock:
            if self._cause:
                return ControlFuture(request.instruction_id, _failure(self._cause))
            future: Any = self._connection.push(request)
            self._pending = [each for each in self._pending if not each.is_done()]
            self._pending.append(future)
        return _Answer(future, self._on_error)

    def fail(self, cause: str) -> None:
        """Answers all instructions, pending and later ones, by an error."""
        with self._lock:
            self._cause = cause
            pending, self._pending = self._pending, []
        for future in pending:
            if not future.is_done():
                future.set(_failure(cause))

    def close(self) -> None:
        """Tells the worker that there are no more instructions, and waits until it knows."""
        timer = threading.Timer(_END_SECONDS, self._on_error, [_ENDLESS])
        timer.daemon = True
        timer.start()
        self._connection.close()
        timer.cancel()


class _Answer:
    """A promise of a worker's answer, which calls `on_error` with the error in it."""

    def __init__(self, future: ControlFuture, on_error: Callable[[str], None]) -> None:
        self._future = future
        self._on_error = on_error

    def is_done(self) -> bool:
        """Whether it has answered."""
        return self._future.is_done()

    def get(self, timeout: float | None = None) -> beam_fn_api_pb2.InstructionResponse:
        """Waits for the answer."""
        answer = self._future.get(timeout)
        if answer.error:
            self._on_error(answer.error)
        return answer


def _failure(cause: str) -> beam_fn_api_pb2.InstructionResponse:
    return beam_fn_api_pb2.InstructionResponse(error=cause)
