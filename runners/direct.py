"""Running on one machine: Beam's FnApiRunner, whose workers `runners/fork_server.py` forks.

Beam's FnApiRunner waits for ever for a worker that has died, and for all others once one has
failed. Here the first failure of any worker fails and ends all of them.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

import apache_beam as beam
from apache_beam.metrics.metric import MetricResults
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.portability.fn_api_runner.worker_handlers import (
    ControlConnection,
    ControlFuture,
    GrpcWorkerHandler,
    WorkerHandler,
)
from apache_beam.transforms.environments import Environment, python_sdk_capabilities

from runners import fork_server, worker
from runners.launch import Define, JobError, Monitor, RunnerFlags, call_watched, with_defaults
from runners.portable import quiet

_URN = "open_images:env:forked:v1"
#: How long a worker may take to end when there is no more for it to do.
_END_SECONDS = 10
_ENDLESS = f"{fork_server.ENDED} only by force"
#: How long Beam may take to notice that a worker has failed.
_NOTICE_SECONDS = 10
_POLL_SECONDS = 1


def run(
    define: Define, flags: RunnerFlags, beam_arguments: Sequence[str], monitor: Monitor
) -> MetricResults:
    """Runs a pipeline to its end: see `launch.Run`.

    The runner is named outright, since the DirectRunner would first look for Prism and download it.
    A single worker runs inside this process, which saves the seconds that a process takes to start.
    """
    num_workers = flags.num_workers or os.cpu_count() or 1
    processes = _Environment.default() if num_workers > 1 else None
    arguments = with_defaults(beam_arguments, {"direct_num_workers": num_workers})
    runner = FnApiRunner(default_environment=processes)
    with quiet():
        root = beam.Pipeline(runner=runner, options=PipelineOptions(arguments))
        define(root)

        def finish() -> MetricResults:
            result = root.run()
            result.wait_until_finish()
            return result.metrics()

        return _with_workers(finish) if processes else finish()


def _with_workers(finish: Callable[[], MetricResults]) -> MetricResults:
    """Calls a function that runs a pipeline on forked workers.

    In a thread, since Beam's own threads wait for each other and for workers: if this one is
    interrupted, or a worker fails, it needn't wait for any of them.

    Raises:
        JobError: A worker process ended.
        Exception: What `finish` raises.
    """
    server = fork_server.start([])
    noticed = None

    def watch() -> None:
        nonlocal noticed
        if server.failure:
            noticed = noticed or time.monotonic()
            if time.monotonic() - noticed > _NOTICE_SECONDS:
                raise JobError(server.failure)

    try:
        return call_watched(finish, watch, _POLL_SECONDS)
    except BaseException as error:
        server.kill("the build was ended")
        if isinstance(error, RuntimeError) and fork_server.ENDED in str(error):
            raise JobError(str(error)) from None
        raise


@Environment.register_urn(_URN, None)
class _Environment(Environment):
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
    ) -> "_Environment":
        """Returns the environment that Beam describes."""
        return _Environment(capabilities, artifacts, resource_hints)


@WorkerHandler.register_environment(_URN, None)
class _WorkerHandler(GrpcWorkerHandler):
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
        """Returns whether it has answered."""
        return self._future.is_done()

    def get(self, timeout: float | None = None) -> beam_fn_api_pb2.InstructionResponse:
        """Waits for the answer."""
        answer = self._future.get(timeout)
        if answer.error:
            self._on_error(answer.error)
        return answer


def _failure(cause: str) -> beam_fn_api_pb2.InstructionResponse:
    return beam_fn_api_pb2.InstructionResponse(error=cause)
