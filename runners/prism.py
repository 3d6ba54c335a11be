"""Running on one machine by Prism, Beam's runner in Go: `make prism` builds it.

Prism has one worker, whatever number is asked for, which works on up to eight bundles at once in
threads. It keeps what is shuffled in memory, and spills nothing.
"""

import os
import sys
import threading
from collections.abc import Sequence
from contextlib import closing

import apache_beam as beam
import grpc
from apache_beam.metrics.metric import MetricResults
from apache_beam.options.pipeline_options import (
    PipelineOptions,
    PortableOptions,
    PrismRunnerOptions,
)
from apache_beam.runners.portability.job_server import JobServer
from apache_beam.runners.portability.prism_runner import PrismJobServer, PrismRunner

from runners.launch import Define, JobError, Monitor, RunnerFlags, with_defaults
from runners.pool import WorkerPool
from runners.portable import quiet
from transforms.errors import UsageError

#: Where `make prism` puts it.
BINARY = os.path.join(sys.prefix, "prism", "prism")

_NOTICE_SECONDS = 10


def check(flags: RunnerFlags, beam_arguments: Sequence[str]) -> None:
    """Checks that Prism is there: Beam would try to download it.

    Raises:
        UsageError: It isn't.
    """
    options = PipelineOptions(beam_arguments)
    location = options.view_as(PrismRunnerOptions).prism_location
    path = location or BINARY
    if options.view_as(PortableOptions).job_endpoint or "://" in path or os.path.isfile(path):
        return
    if location:
        raise UsageError(f"--prism_location {location}: no such file: run 'make prism'")
    raise UsageError(
        "--runner prism: Prism isn't there: run 'make prism', or name it with --prism_location"
    )


def run(
    define: Define, flags: RunnerFlags, beam_arguments: Sequence[str], monitor: Monitor
) -> MetricResults:
    """Runs a pipeline to its end: see `launch.Run`."""
    check(flags, beam_arguments)
    runner = _Runner()
    with quiet(), WorkerPool(on_death=runner.abandon) as pool, closing(runner):
        defaults = {
            "prism_location": BINARY,
            "prism_log_level": "error",
            "environment_type": "EXTERNAL",
            "environment_config": pool.address,
        }
        options = PipelineOptions(with_defaults(beam_arguments, defaults))
        root = beam.Pipeline(runner=runner, options=options)
        define(root)
        try:
            result = root.run()
            result.wait_until_finish()
            return result.metrics()
        except grpc.RpcError as error:
            raise JobError(runner.trouble or f"Prism has ended: {error.details()}") from None
        except RuntimeError as error:
            if "SDK worker disconnected" in str(error):
                runner.abandoned.wait(_NOTICE_SECONDS)  # Prism may see it before the pool does
            raise JobError(runner.trouble or str(error)) from None


class _Runner(PrismRunner):
    """Prism in a process that ends with the run, where Beam's would live as long as the driver."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble: str | None = None
        self.abandoned = threading.Event()
        self._server: JobServer | None = None
        self._ending = threading.Lock()

    def close(self) -> None:
        """Ends the process."""
        with self._ending:  # a dying worker's thread may be at it: it is done when this returns
            server, self._server = self._server, None
            if server is not None:
                server.stop()

    def default_job_server(self, options: PipelineOptions) -> JobServer:
        self._server = _Server(options)
        return self._server

    def abandon(self, exit_code: int) -> None:
        """Ends a job whose worker is gone: Prism would wait for it for ever."""
        self.trouble = f"the worker process ended with code {exit_code}: is memory short?"
        self.abandoned.set()
        self.close()


class _Server(PrismJobServer):
    def prism_arguments(self, job_port: int) -> list:
        # So that it ends some time after a driver that was killed.
        return [*super().prism_arguments(job_port), "--idle_shutdown_timeout=60s"]
