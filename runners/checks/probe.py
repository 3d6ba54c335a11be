"""A tiny job on the asked runner, in a process of its own, which can be ended if the job hangs."""

import argparse
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import apache_beam as beam

from runners import launch
from runners.checks.worker import NAMESPACE, Errand, Report, ReportFn
from runners.launch import RunnerFlags
from runners.same_python import import_path, module_command
from transforms.system import program

_ELEMENTS = 64
#: Time for the job to be cancelled on its cluster.
_CANCEL_SECONDS = 20


class ProbeError(Exception):
    """The job didn't bring reports; the message is a line."""


class HangError(ProbeError):
    """The job didn't end in time."""


def probe(
    flags: RunnerFlags,
    beam_arguments: Sequence[str],
    errand: Errand,
    time_limit: float,
) -> list[Report]:
    """Lets the workers of a runner run an errand.

    Args:
        flags: ours.
        beam_arguments: for Beam.
        errand: what each worker tries.
        time_limit: seconds after which the job is cancelled.

    Returns:
        A report of each worker process that answered.

    Raises:
        ProbeError: The job failed, or didn't end in time.
    """
    task = {"flags": vars(flags), "beam": list(beam_arguments), "errand": asdict(errand)}
    process = subprocess.Popen(
        module_command("runners.checks.probe"),
        env=os.environ | import_path(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, errors = process.communicate(json.dumps(task), time_limit)
    except subprocess.TimeoutExpired:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_CANCEL_SECONDS)
        raise HangError(f"no answer within {time_limit:g} s (--time_limit)") from None
    finally:
        # And what it started, if anything is left of that.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    if process.returncode != 0:
        lines = [line.strip() for line in errors.splitlines() if line.strip()]
        raise ProbeError(lines[-1] if lines else f"the job ended with code {process.returncode}")
    return [Report(**fields) for fields in json.loads(said.splitlines()[-1])]


def main() -> int:
    """Runs the job that is described on standard input; prints the reports."""
    logging.basicConfig(level=logging.CRITICAL)
    task: dict[str, Any] = json.load(sys.stdin)
    errand = Errand(**task["errand"])
    flags: Any = argparse.Namespace(**task["flags"])

    def define(root: beam.Pipeline) -> None:
        elements = max(_ELEMENTS, 8 * (flags.num_workers or 0))
        root | beam.Create(range(elements)) | beam.Reshuffle() | beam.ParDo(ReportFn(errand))

    try:
        with program.interruptible():
            metrics = launch.load(flags.runner)(define, flags, task["beam"], launch.Monitor())
    except KeyboardInterrupt:
        return 1
    except Exception as error:
        print(str(error).strip() or repr(error), file=sys.stderr)
        return 1
    counters = metrics.query(beam.metrics.MetricsFilter().with_namespace(NAMESPACE))["counters"]
    print(json.dumps([json.loads(counter.key.metric.name) for counter in counters]))
    return 0


if __name__ == "__main__":
    program.begin("python -m runners.checks.probe")
    program.run(main)
