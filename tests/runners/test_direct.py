"""Workers of the direct runner: what if one fails."""

import argparse
from pathlib import Path

import apache_beam as beam
import pytest

from runners import direct, launch, worker
from tests.runners.faults import FailFirstFn, FailFn, read_notes


def run() -> None:
    def define(root: beam.Pipeline) -> None:
        root | beam.Create([1]) | beam.Reshuffle() | beam.ParDo(FailFn("die"))

    direct.run(define, argparse.Namespace(num_workers=2), [], None)


def test_a_worker_that_is_killed_ends_the_build():
    with pytest.raises(launch.JobError, match="a worker process ended with code -9"):
        run()


def test_a_worker_that_never_connects_ends_the_build(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker, "environment", lambda *_: {})
    with pytest.raises(launch.JobError, match="a worker process ended with code 1"):
        run()


@pytest.mark.parametrize("how", ["raise", "die"])
def test_once_one_has_failed_the_rest_is_left(how: str, tmp_path: Path):
    def define(root: beam.Pipeline) -> None:
        shuffled = root | beam.Create(range(200)) | beam.Reshuffle()
        shuffled | beam.ParDo(FailFirstFn(tmp_path, how))

    with pytest.raises(
        (RuntimeError, launch.JobError), match=r"No space left|worker process ended"
    ):
        direct.run(define, argparse.Namespace(num_workers=2), [], None)
    assert len(read_notes(tmp_path)) < 100
