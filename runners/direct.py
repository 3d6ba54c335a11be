"""Running on one machine: Beam's FnApiRunner, one process a worker."""

import os
import time
from collections.abc import Callable, Sequence

import apache_beam as beam
from apache_beam.metrics.metric import MetricResults
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from runners import fork_server
from runners.forked import ForkedEnvironment
from runners.launch import Define, JobError, Monitor, RunnerFlags, call_watched, with_defaults
from runners.portable import quiet

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
    processes = ForkedEnvironment.default() if num_workers > 1 else None
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
