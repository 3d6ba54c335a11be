"""Running on one machine: Beam's FnApiRunner, one process a worker."""

import os
import shlex
import sys
from collections.abc import Callable, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

Define = Callable[[beam.Pipeline], None]


def run(define: Define, num_workers: int, beam_arguments: Sequence[str]) -> None:
    """Runs a pipeline to its end.

    The runner is named outright, since the DirectRunner would first look for Prism and download it.
    A single worker runs inside this process, which saves the seconds that a process takes to start.

    Args:
        define: adds the transforms to a pipeline.
        num_workers: how many processes.
        beam_arguments: further flags of Beam, which win over what is set here.

    Raises:
        Exception: whatever a worker raised.
    """
    # `exec` makes the worker a child of this process, not of a shell.
    command = f"exec {shlex.quote(sys.executable)} -m runners.worker {os.getpid()}"
    processes = SubprocessSDKEnvironment.from_command_string(command) if num_workers > 1 else None
    options = PipelineOptions([f"--direct_num_workers={num_workers}", *beam_arguments])
    with beam.Pipeline(runner=FnApiRunner(default_environment=processes), options=options) as root:
        define(root)
