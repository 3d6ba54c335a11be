"""Running on Flink: a cluster, or one inside a process of ours."""

import contextlib
import json
import os
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.metrics.metric import MetricResults
from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
)
from apache_beam.runners.portability.job_server import JavaJarJobServer
from apache_beam.runners.portability.portable_runner import PortableRunner

from runners.flink import follow, installed
from runners.flink.job_server import JobServer
from runners.flink.rest import Rest, RestError
from runners.launch import Define, JobError, Monitor, RunnerFlags, with_defaults
from runners.pool import WorkerPool
from runners.portable import quiet
from runners.same_python import import_path
from transforms.errors import UsageError

#: What a task manager runs to start a worker.
START_WORKER = Path(__file__).with_name("start_worker")
_EMBEDDED = ("[local]", "[auto]")
#: How long workers wait for another stage of their job. If one dies, Beam goes on asking for it
#: that long: so a cluster must wait longer than this before it restarts a task.
_CACHE_MILLIS = 5_000


def run(
    define: Define, flags: RunnerFlags, beam_arguments: Sequence[str], monitor: Monitor
) -> MetricResults:
    """Runs a pipeline to its end: see `launch.Run`.

    On a cluster (`--flink_master`), through a job server of ours, or one that runs
    (`--job_endpoint`; with `--flink_master` too the job can be followed and cancelled). Without
    either, on a Flink inside the job server.
    """
    given = PipelineOptions(list(beam_arguments))
    endpoint = given.view_as(PortableOptions).job_endpoint
    master = given.view_as(FlinkRunnerOptions).flink_master
    rest = None if master in _EMBEDDED else Rest(master)
    embedded = rest is None and not endpoint
    defaults: dict[str, object] = {
        "job_name": f"open-images-{uuid.uuid4().hex[:12]}",
        "environment_cache_millis": _CACHE_MILLIS,
        # What a stage has written stays until the next ones are done: the loss of a task manager
        # costs its share of a stage, not the build.
        "execution_mode_for_batch": "BATCH_FORCED",
        **(_slots(rest) if rest else {"parallelism": os.cpu_count() or 1}),
    }
    if flags.num_workers:
        defaults["parallelism"] = flags.num_workers
    if embedded:
        defaults["sdk_worker_parallelism"] = defaults["parallelism"]
    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet())
        if not given.view_as(PortableOptions).environment_type:
            if embedded:
                pool = stack.enter_context(WorkerPool(on_death=lambda _: None))
                defaults |= {"environment_type": "EXTERNAL", "environment_config": pool.address}
            else:
                defaults |= {"environment_type": "PROCESS", "environment_config": start_worker()}
        arguments = with_defaults(beam_arguments, defaults)
        # It would list all packages of this environment, which takes seconds, for a log.
        arguments = ["--experiments=disable_logging_submission_environment", *arguments]
        job_name = PipelineOptions(arguments).view_as(GoogleCloudOptions).job_name
        submission = None if rest is None else follow.Submission(rest, job_name)
        stack.enter_context(follow.cancelled_unless_done(submission))
        server = None
        if not endpoint:
            server = stack.enter_context(JobServer(_find_jar(given), master if rest else "[local]"))
            arguments.append(f"--job_endpoint={server.endpoint}")
            if submission is not None:
                submission.stop_submitting = server.kill
        root = beam.Pipeline(runner=PortableRunner(), options=PipelineOptions(arguments))
        define(root)
        if server is not None:
            server.wait()
        follower = follow.Follower(submission, monitor, flags.worker_timeout)
        if submission is not None:
            submission.is_begun = True
        try:
            result = root.run()
            follower.wait(result.wait_until_finish)
            return result.metrics()
        except RuntimeError as error:
            cause = follow.beyond_mending(str(error)) or follow.explain(str(error))
            if isinstance(error, JobError) or cause is None:
                raise
            raise JobError(cause) from error


def _slots(rest: Rest) -> dict[str, object]:
    """As many tasks at once as the cluster has slots, each with a worker of its own.

    Raises:
        UsageError: There is no such cluster.
    """
    try:
        managers = rest.task_managers()
    except RestError as error:
        raise UsageError(
            f"--flink_master: {error}: check the address, or start a cluster with "
            "'python -m runners.flink.cluster up'"
        ) from None
    slots = [manager["slotsNumber"] for manager in managers]
    return {"parallelism": sum(slots) or None, "sdk_worker_parallelism": max(slots, default=None)}


def _find_jar(given: PipelineOptions) -> str:
    """Returns the path of the job server's jar; one with a URL is downloaded.

    Raises:
        UsageError: It isn't there.
    """
    jar = given.view_as(FlinkRunnerOptions).flink_job_server_jar
    if jar and "://" in jar:
        return JavaJarJobServer.local_jar(jar)
    if jar and not os.path.isfile(jar):
        raise UsageError(f"--flink_job_server_jar {jar}: no such file")
    if not jar and not installed.JOB_SERVER.exists():
        raise UsageError(
            "--runner flink: Beam's job server isn't there: run 'make flink', or name one with "
            "--flink_job_server_jar or --job_endpoint"
        )
    return jar or str(installed.JOB_SERVER)


def start_worker() -> str:
    """How task managers start a worker: with this very Python, and what it imports from."""
    env = {
        "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]),
        **import_path(),
    }
    return json.dumps({"command": str(START_WORKER), "env": env})
