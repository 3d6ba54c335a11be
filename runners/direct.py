"""Running on one machine: Beam's FnApiRunner, one process a worker."""

import argparse
import os
from collections.abc import Sequence
from typing import TypeVar

import apache_beam as beam
from apache_beam.metrics.metric import MetricResults
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from runners import sharing, shortcuts
from runners.forked import ENDED, ForkedEnvironment
from runners.launch import Define, JobError, Monitor, with_defaults
from runners.portable import quiet

_View = TypeVar("_View", bound=PipelineOptions)


class _Options(PipelineOptions):
    """Options that keep their views: Beam makes one 300 times, each with a parser of its own."""

    def __init__(self, arguments: Sequence[str]) -> None:
        super().__init__(arguments)
        object.__setattr__(self, "_views", {})

    def view_as(self, cls: type[_View]) -> _View:
        views = self.__dict__["_views"]
        if cls not in views:
            views[cls] = super().view_as(cls)
        return views[cls]


def run(
    define: Define, flags: argparse.Namespace, beam_arguments: Sequence[str], monitor: Monitor
) -> MetricResults:
    """Runs a pipeline to its end: see `launch.Run`.

    The runner is named outright, since the DirectRunner would first look for Prism and download it.
    A single worker runs inside this process, which saves the seconds that a process takes to start.
    """
    num_workers = flags.num_workers or os.cpu_count() or 1
    processes = ForkedEnvironment.default() if num_workers > 1 else None
    arguments = with_defaults(beam_arguments, {"direct_num_workers": num_workers})
    runner = FnApiRunner(default_environment=processes)
    try:
        with (
            quiet(),
            shortcuts.taken(),
            sharing.offered(),
            beam.Pipeline(runner=runner, options=_Options(arguments)) as root,
        ):
            define(root)
    except RuntimeError as error:
        if ENDED in str(error):
            raise JobError(str(error)) from None
        raise
    return root.result.metrics()
