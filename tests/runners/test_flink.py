"""Builds on Flink: the very bytes that the direct runner gives, on a cluster and without one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import plan
from runners.flink import cluster, installed, submit
from runners.flink.job_server import JobServer
from runners.flink.rest import Rest
from tests import builds


@pytest.fixture(scope="module", autouse=True)
def _several_buckets() -> Iterator[None]:
    """Cuts 200 images into several buckets, where one would do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "_BUCKET_IMAGES", 16)
        yield


@pytest.fixture(scope="module")
def inputs(corpus_v7: Path) -> list[str]:
    """Every source there is, in pieces small enough for all workers to get some."""
    parts = ("annotations", "images", "masks")
    flags = [text for part in parts for text in (f"--{part}", str(corpus_v7 / part))]
    return [*flags, "--chunk_size", "8k", "--mask_maps", "instance,semantic"]


@pytest.fixture(scope="module")
def expected(inputs: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the direct runner publishes."""
    built = builds.run_build(*inputs, "--output", tmp_path_factory.mktemp("direct"))
    assert built.returncode == 0, built.stderr
    return built.version.digests()


@pytest.mark.parametrize("exchange", ["files", "engine"])
def test_a_cluster_gives_the_same_bytes(
    flink: cluster.Cluster,
    inputs: list[str],
    expected: dict[str, str],
    tmp_path: Path,
    exchange: str,
):
    flags = ["--runner", "flink", "--flink_master", flink.master, "--num_workers", "2"]
    before = Rest(flink.master).jobs().keys()
    built = builds.run_build(*inputs, *flags, "--exchange", exchange, "--output", tmp_path / "out")
    assert built.returncode == 0, built.stderr
    assert built.version.digests() == expected
    (job,) = Rest(flink.master).jobs().keys() - before
    assert max(len(places) for places in Rest(flink.master).places(job)) == 2
    assert f"Flink job {job} on http://{flink.master}" in built.stderr
    assert not (tmp_path / "out" / ".work").exists()


def test_flink_without_a_cluster_gives_the_same_bytes(
    inputs: list[str], expected: dict[str, str], tmp_path: Path
):
    flags = ["--runner", "flink", "--num_workers", "2"]
    built = builds.run_build(*inputs, *flags, "--output", tmp_path / "out")
    assert built.returncode == 0, built.stderr
    assert built.version.digests() == expected


def boot_environment() -> str:
    """How Beam's boot program starts a worker with this very Python."""
    env = json.loads(submit.start_worker())["env"]
    env["RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT"] = "1"
    return json.dumps({"command": str(installed.BOOT), "env": env})


def test_a_job_server_that_runs_and_workers_by_the_boot_program(
    flink: cluster.Cluster, inputs: list[str], expected: dict[str, str], tmp_path: Path
):
    with JobServer(str(installed.JOB_SERVER), flink.master) as server:
        server.wait()
        flags = ["--runner", "flink", "--job_endpoint", server.endpoint, "--num_workers", "2"]
        flags += ["--environment_type", "PROCESS", "--environment_config", boot_environment()]
        built = builds.run_build(*inputs, *flags, "--output", tmp_path / "out")
    assert built.returncode == 0, built.stderr
    assert built.version.digests() == expected


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["status", "--folder", "{cluster}"], 0, ["--flink_master 127.0.0.1:", "2 task managers"]),
        (["up", "--folder", "{cluster}"], 0, ["--flink_master 127.0.0.1:", "2 task managers"]),
        (["status", "--folder", "{none}"], 1, ["no cluster was started in"]),
        (["down", "--folder", "{none}"], 1, ["no cluster was started in"]),
    ],
)
def test_cluster_program(
    flink: cluster.Cluster,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    words: list[str],
):
    told = [argument.format(cluster=flink.folder, none=tmp_path) for argument in arguments]
    assert cluster.main(told) == code
    captured = capsys.readouterr()
    (line, *_) = (captured.err if code else captured.out).splitlines()
    for word in words:
        assert word in line


MISTAKES = {
    "no cluster there": (["--flink_master", "127.0.0.1:1"], ["--flink_master", "cluster up"]),
    "no jar there": (["--flink_job_server_jar", "/none.jar"], ["/none.jar", "no such file"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_in_one_line(inputs: list[str], tmp_path: Path, name: str):
    flags, words = MISTAKES[name]
    built = builds.run_build(*inputs, "--runner", "flink", *flags, "--output", tmp_path / "out")
    assert (built.returncode, built.stdout) == (2, "")
    (line,) = built.stderr.splitlines()
    for word in words:
        assert word in line
