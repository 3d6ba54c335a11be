"""Workers of the direct runner that end when they shouldn't."""

import argparse

import apache_beam as beam
import pytest

from runners import direct, forked, launch
from tests.runners.faults import FailFn, end_at_once


def run() -> None:
    def define(root: beam.Pipeline) -> None:
        root | beam.Create([1]) | beam.Reshuffle() | beam.ParDo(FailFn("die"))

    direct.run(define, argparse.Namespace(num_workers=2), [], None)


def test_a_worker_that_is_killed_ends_the_build():
    with pytest.raises(launch.JobError, match="a worker process ended with code -9"):
        run()


def test_a_worker_that_never_connects_ends_the_build(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(forked, "_work", end_at_once)
    with pytest.raises(launch.JobError, match="a worker process ended with code 3"):
        run()
