"""Builds by Prism, and what becomes of failures there."""

import argparse
import threading
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pytest

from runners import launch, prism
from tests import builds
from tests.runners.faults import FailFn
from transforms.errors import UsageError


def run(how: str) -> None:
    def define(root: beam.Pipeline) -> None:
        root | beam.Create([1]) | beam.Reshuffle() | beam.ParDo(FailFn(how))

    prism.run(define, argparse.Namespace(num_workers=None), [], None)


def test_same_bytes_as_direct(make_corpus: Callable[[str, int], Path], tmp_path: Path):
    corpus = make_corpus("v7", 60)
    digests = []
    for runner in ("direct", "prism"):
        build = builds.run_build(
            *("--annotations", corpus / "annotations"),
            *("--images", corpus / "images"),
            *("--masks", corpus / "masks"),
            *("--runner", runner, "--output", tmp_path / runner),
            own_process=runner == "prism",
        )
        assert build.returncode == 0, build.stderr
        build.version.assert_whole()
        digests.append(build.version.digests())
    assert digests[0] == digests[1]


def test_an_error_of_a_worker_is_named_last(capfd: pytest.CaptureFixture[str]):
    with pytest.raises(launch.JobError) as raised:
        run("raise")
    assert "No space left on device" in str(raised.value).strip().splitlines()[-1]
    assert capfd.readouterr().err == ""


def test_a_worker_that_is_killed_ends_the_job():
    with pytest.raises(launch.JobError, match="the worker process ended with code -9"):
        run("die")
    left = {thread.name: thread for thread in threading.enumerate()}
    assert "wait_until_finish_read" not in left, "it would end with an error in later tests"
    for name in filter(lambda name: "_wait_for" in name, left):
        left[name].join(0.5)
        assert not left[name].is_alive(), "it would still be ending Prism"


def test_where_prism_is_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(prism, "BINARY", str(tmp_path / "prism"))
    with pytest.raises(UsageError, match="run 'make prism'"):
        run("raise")
    with pytest.raises(UsageError, match="--prism_location nowhere: no such file"):
        prism.check(argparse.Namespace(), ["--prism_location=nowhere"])
