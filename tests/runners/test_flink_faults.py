"""Machines, workers and disks that fail during a build on a cluster.

Each time the version is published with the very bytes of an undisturbed build, or the build fails
in bounded time with one clear line, and nothing is published. It never hangs.
"""

import contextlib
import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines import synthesize
from runners.flink import cluster, submit
from runners.flink.rest import Rest
from tests import builds

IMAGES = 2000
#: Seconds that the end of a build may take at most, far above what it does take.
PATIENCE = 240


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """2,000 images with small pictures, in pieces that keep two workers busy for some seconds."""
    corpus = tmp_path_factory.mktemp("faults") / "corpus"
    flags = ["--output", str(corpus), "--images", str(IMAGES), "--pixels", "none"]
    assert synthesize.main(flags) == 0
    write_pictures(corpus)
    kinds = ("*-images-*.csv", "*-bbox.csv", "*-human-imagelabels.csv", "*-point-labels.csv")
    tables = [text for kind in kinds for text in ("--annotations", f"{corpus}/annotations/{kind}")]
    sizes = ("--resize", "shortest", "--image_size", "180", "--chunk_size", "256k")
    return [*tables, "--images", str(corpus / "images"), *sizes]


def write_pictures(corpus: Path) -> None:
    """Writes a picture for each image, one of a few."""
    random = np.random.default_rng(5)
    drawn = []
    for _ in range(16):
        blurred = cv2.resize(random.integers(0, 255, (24, 32, 3), np.uint8), (320, 240))
        drawn.append(cv2.imencode(".jpg", blurred)[1].tobytes())
    for table in corpus.glob("annotations/*-images-*.csv"):
        with table.open() as file:
            rows = [(row["ImageID"], row["Subset"]) for row in csv.DictReader(file)]
        (corpus / "images" / rows[0][1]).mkdir(parents=True)
        for i, (image_id, split) in enumerate(rows):
            (corpus / "images" / split / f"{image_id}.jpg").write_bytes(drawn[i % len(drawn)])


@pytest.fixture(scope="module")
def expected(inputs: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What an undisturbed build publishes."""
    output = tmp_path_factory.mktemp("undisturbed")
    built = builds.run_build(*inputs, "--output", output, "--num_workers", 2)
    assert built.returncode == 0, built.stderr
    assert built.version.manifest["splits"]["train"]["num_examples"] == 1964
    return built.version.digests()


@pytest.fixture(scope="module")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Cluster]:
    """Two task managers of two slots each: what hits one hits two workers, or spares one."""
    started = cluster.up(tmp_path_factory.mktemp("flink"), task_managers=2, slots=2)
    yield started
    cluster.down(cluster.find(Path(started.folder)))


@dataclass
class Running:
    """A build in a process of its own, and where it works."""

    process: subprocess.Popen
    output: Path

    def wait_for(self, pattern: str) -> Path:
        """Waits until its work folder holds a file like this."""
        while True:
            found = next((self.output / ".work").glob(f"*/{pattern}"), None)
            if found is not None:
                return found
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.01)

    def finish(self) -> builds.Build:
        """Waits for its end."""
        stdout, stderr = self.process.communicate(timeout=PATIENCE)
        return builds.Build(self.process.returncode, stdout, stderr, self.output)


@pytest.fixture
def start(flink: cluster.Cluster, inputs: list[str]) -> Iterator[Callable[..., Running]]:
    """Starts builds on the cluster, all of whose task managers are there."""
    cluster.mend(flink)
    with contextlib.ExitStack() as stack:

        def start(output: Path, *flags: str) -> Running:
            on_flink = ["--runner", "flink", "--flink_master", flink.master, "--rebuild"]
            given = flags if "--num_workers" in flags else (*flags, "--num_workers", "2")
            process = subprocess.Popen(
                [*builds.COMMAND, *inputs, *on_flink, *given, "--output", str(output)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.callback(process.kill)
            return Running(process, output)

        yield start


def assert_failed(built: builds.Build, *words: str) -> None:
    """Asserts that a build failed with one line that holds some words, and published nothing."""
    assert built.returncode == 1
    lines = [line for line in built.stderr.splitlines() if "error" in line.lower()]
    assert len(lines) == 1, built.stderr
    assert "Traceback" not in built.stderr
    for word in words:
        assert word in lines[0]
    assert not (built.output / "latest").exists()
    assert not (built.output / "versions").exists()
    assert not (built.output / ".work").exists()


def workers(flink: cluster.Cluster) -> list[int]:
    """The worker processes of a cluster."""
    return [
        pid
        for pid in cluster.processes(cluster.find(Path(flink.folder)))
        if b"start_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def test_a_task_manager_is_killed(
    flink: cluster.Cluster, start: Callable[..., Running], expected: dict[str, str], tmp_path: Path
):
    running = start(tmp_path / "out", "--num_workers", "4")
    running.wait_for("parts/*")
    os.kill(cluster.find(Path(flink.folder)).pids[1], signal.SIGKILL)
    built = running.finish()
    assert built.returncode == 0, built.stderr
    assert built.version.digests() == expected


def test_a_worker_is_killed(
    flink: cluster.Cluster, start: Callable[..., Running], expected: dict[str, str], tmp_path: Path
):
    running = start(tmp_path / "out")
    running.wait_for("parts/*")
    os.kill(workers(flink)[0], signal.SIGKILL)
    built = running.finish()
    assert built.returncode == 0, built.stderr
    assert built.version.digests() == expected


@pytest.fixture
def broken_python(tmp_path: Path) -> dict[str, str]:
    """An environment whose `python` ends at once."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python").write_text("#!/bin/sh\nexit 0\n")
    (folder / "python").chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def test_workers_that_do_not_start(
    start: Callable[..., Running], broken_python: dict[str, str], tmp_path: Path
):
    environment = json.dumps({"command": str(submit.START_WORKER), "env": broken_python})
    flags = ("--environment_type", "PROCESS", "--environment_config", environment)
    assert_failed(start(tmp_path / "out", *flags).finish(), "workers don't start")


def test_a_pool_whose_workers_do_not_start(
    start: Callable[..., Running], broken_python: dict[str, str], tmp_path: Path
):
    """Flink itself would wait for ever."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pool = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main"]
    process = subprocess.Popen([*pool, f"--service_port={port}"], env=os.environ | broken_python)
    try:
        flags = ("--environment_type", "EXTERNAL", "--environment_config", f"localhost:{port}")
        running = start(tmp_path / "out", *flags, "--worker_timeout", "10")
        assert_failed(running.finish(), "no worker has given a sign of life for 10 s")
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB, less than the build's output takes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    subprocess.run(mount, check=True)
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_the_work_volume_is_full(start: Callable[..., Running], small_disk: Path):
    assert_failed(start(small_disk / "out").finish(), "the disk is full", "--output")


def test_the_work_folder_is_deleted(start: Callable[..., Running], tmp_path: Path):
    running = start(tmp_path / "out")
    running.wait_for("parts/*")
    shutil.rmtree(tmp_path / "out" / ".work")
    assert_failed(running.finish(), "the work folder", "is gone")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_build_that_is_stopped_cancels_its_job(
    flink: cluster.Cluster, start: Callable[..., Running], tmp_path: Path, number: int
):
    rest = Rest(flink.master)
    before = rest.jobs().keys()
    running = start(tmp_path / "out")
    running.wait_for("progress/*")
    running.process.send_signal(number)
    assert_failed(running.finish(), "interrupted: nothing was published")
    (job,) = rest.jobs().keys() - before
    assert rest.jobs()[job][1] == "CANCELED"
