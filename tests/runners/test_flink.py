"""Builds on Flink: the very bytes that the direct runner gives, on a cluster and without one.

And what the doctor says of the cluster, which takes as long to start as a build.
"""

import hashlib
import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.portable_runner import PortableRunner

import open_images
from open_images.building import plan
from pipelines import doctor, evaluate
from pipelines.cli.progress import ProgressDisplay
from runners.flink import cluster, installed, submit
from runners.flink.job_server import JobServer
from runners.flink.rest import ENDED, Rest
from tests import builds
from tests.emulators import S3Server
from tests.runners import starting
from transforms.formats.registry import FORMATS
from transforms.storage import files
from transforms.storage.stores import ObjectOptions


@pytest.fixture(scope="module")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Cluster]:
    """A job manager and two task managers of one slot, each a process of its own."""
    started = cluster.up(tmp_path_factory.mktemp("flink"), task_managers=2, slots=1)
    yield started
    cluster.down(cluster.find(Path(started.folder)))


@pytest.fixture(scope="module", autouse=True)
def _several_buckets() -> Iterator[None]:
    """Cuts 60 images into several buckets, where one would do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "_BUCKET_IMAGES", 5)
        yield


BUCKET = "flink-tests"
SECRETS = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret"}
CREDENTIALS = starting.by(**SECRETS)


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """A store with a bucket, and credentials that it takes from the driver."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    s3_server.make_bucket(BUCKET)
    return s3_server


@pytest.fixture(scope="module")
def inputs(make_corpus: Callable[[str, int], Path]) -> list[str]:
    """Every source there is, in pieces small enough for all workers to get some."""
    corpus = make_corpus("v7", 60)
    parts = ("annotations", "images", "masks")
    flags = [text for part in parts for text in (f"--{part}", str(corpus / part))]
    flags += ["--format", ",".join(FORMATS)]
    return [*flags, "--chunk_size", "8k", "--mask_maps", "instance,semantic"]


@pytest.fixture(scope="module")
def expected(inputs: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the direct runner publishes."""
    built = builds.run_build(*inputs, "--output", tmp_path_factory.mktemp("direct"))
    assert built.returncode == 0, built.stderr
    return built.version.digests()


class JobReader(ProgressDisplay):
    """Reads what a build records of its job when it says that there is one."""

    def __init__(self, output: str, options: ObjectOptions = files.DEFAULTS) -> None:
        super().__init__(is_terminal=False, line_seconds=3600)
        self.records: list[dict] = []
        self._work = f"{output}/.work"
        self._options = options

    def log(self, line: str) -> None:
        super().log(line)
        if line.startswith("Flink job "):
            found = files.list_files(self._work, self._options)
            (path,) = [path for path in found if path.endswith("/job.json")]
            self.records.append(json.loads(files.read_file(path, self._options)))


def places(flink: cluster.Cluster, job: str) -> list[set[str]]:
    """The task managers that each stage of a job ran on."""
    url = f"http://{flink.master}/jobs/{job}"

    def ask(path: str) -> dict[str, Any]:
        with urllib.request.urlopen(url + path, timeout=10) as response:
            return json.load(response)

    stages = [ask(f"/vertices/{stage['id']}/taskmanagers") for stage in ask("")["vertices"]]
    return [{one["taskmanager-id"] for one in stage["taskmanagers"]} for stage in stages]


def test_a_cluster_gives_the_same_bytes(
    flink: cluster.Cluster,
    inputs: list[str],
    expected: dict[str, str],
    tmp_path: Path,
):
    flags = ["--runner", "flink", "--flink_master", flink.master, "--num_workers", "2"]
    before = Rest(flink.master).jobs().keys()
    reader = JobReader(str(tmp_path / "out"))
    built = builds.run_build(*inputs, *flags, "--output", tmp_path / "out", display=reader)
    assert built.returncode == 0, built.stderr
    assert built.version.digests() == expected
    (job,) = Rest(flink.master).jobs().keys() - before
    assert max(map(len, places(flink, job))) == 2
    assert f"Flink job {job}: http://{flink.master}/#/job/running/{job}" in built.stderr
    job_name = f"open-images-{built.version.folder.name.lower()}"
    assert Rest(flink.master).jobs()[job] == (job_name, "FINISHED")
    version = built.version.folder.name
    url = f"http://{flink.master}/#/job/running/{job}/overview"
    assert reader.records == [{"engine": "Flink", "job_id": job, "url": url, "version": version}]
    assert not (tmp_path / "out" / ".work").exists()


def test_a_selection_gives_the_same_bytes(
    flink: cluster.Cluster, inputs: list[str], tmp_path: Path
):
    """Images are chosen first, and the rest is read after that."""
    wanted = ["--label_types", "boxes,image_labels,points", "--max_per_class", "2"]
    wanted += ["--max_images", "9", "--seed", "3", "--expand_hierarchy"]
    annotations = [*inputs[:2], "--images", "none", "--format", "parquet", *wanted]
    runners = ([], ["--runner", "flink", "--flink_master", flink.master, "--num_workers", "2"])
    digests = []
    for number, runner in enumerate(runners):
        built = builds.run_build(*annotations, *runner, "--output", tmp_path / str(number))
        assert built.returncode == 0, built.stderr
        assert len(built.version.table) == 9
        digests.append(built.version.digests())
    assert digests[0] == digests[1]


def test_an_evaluation_gives_the_same_report(flink: cluster.Cluster, tmp_path: Path):
    data = Path(__file__).parents[1] / "evaluation" / "oid500"
    arguments = ["--predictions", data / "predictions.csv.gz", "--bootstrap", "5"]
    arguments += ["--protocol", "oid_v2,challenge,coco"]
    for name in ("bbox", "human-imagelabels-boxable"):
        arguments += ["--ground_truth", data / f"validation-annotations-{name}.csv.gz"]
    runners = ([], ["--runner", "flink", "--flink_master", flink.master])
    reports = []
    for number, runner in enumerate(runners):
        output = tmp_path / str(number)
        texts = [*arguments, *runner, "--num_workers", "2", "--output", output]
        assert evaluate.main([str(text) for text in texts]) == 0
        files = sorted(path for path in output.rglob("*") if path.is_file())
        reports.append({path.relative_to(output): path.read_bytes() for path in files})
    assert reports[0] == reports[1]


def test_a_cluster_that_shares_nothing_but_a_store_gives_the_same_bytes(
    flink: cluster.Cluster,
    inputs: list[str],
    expected: dict[str, str],
    s3: S3Server,
):
    flags = ["--runner", "flink", "--flink_master", flink.master, "--num_workers", "2"]
    flags += [*CREDENTIALS, "--exchange", "engine", "--s3_endpoint_url", s3.url]
    output = f"s3://{BUCKET}/out"
    options = ObjectOptions(s3_endpoint_url=s3.url)
    reader = JobReader(output, options)
    built = builds.run_build(*inputs, *flags, "--output", output, display=reader)
    assert built.returncode == 0, built.stderr
    (record,) = reader.records
    folder = f"{output}/versions/{record['version']}/"
    found = {entry.path for entry in files.walk(output, options)}
    found -= {f"{output}/latest", f"{output}/README.md"}
    digests = {
        path.removeprefix(folder): hashlib.sha256(files.read_file(path, options)).hexdigest()
        for path in found - {f"{folder}manifest.json", f"{folder}croissant.json"}
    }
    by_etags = "lineage/parts.parquet"  # as shards are known in a store
    assert digests | {by_etags: expected[by_etags]} == expected
    assert by_etags in digests


def test_a_work_folder_that_workers_do_not_see(
    flink: cluster.Cluster,
    inputs: list[str],
    s3: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """A temporary folder is that of the driver's machine."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    command = starting.without(tmp_path / "temporary", tmp_path / "start")
    flags = ["--runner", "flink", "--flink_master", flink.master, *starting.by(command)]
    flags += ["--s3_endpoint_url", s3.url]
    built = builds.run_build(*inputs, *flags, "--output", f"s3://{BUCKET}/unseen")
    assert built.returncode == 1
    (line,) = [line for line in built.stderr.splitlines() if "error" in line.lower()]
    assert "isn't seen by a worker on" in line
    assert "--work_folder" in line
    assert list(files.walk(f"s3://{BUCKET}/unseen", ObjectOptions(s3_endpoint_url=s3.url))) == []


def test_workers_that_never_start_and_leave_no_signs(
    flink: cluster.Cluster, inputs: list[str], s3: S3Server, tmp_path: Path
):
    """Where all is in a store, only Flink tells how far they are."""
    command = starting.never(tmp_path / "start")
    flags = ["--runner", "flink", "--flink_master", flink.master, *starting.by(command)]
    flags += ["--exchange", "engine", "--s3_endpoint_url", s3.url, "--worker_timeout", "5"]
    before = Rest(flink.master).jobs().keys()
    built = builds.run_build(*inputs, *flags, "--output", f"s3://{BUCKET}/never")
    assert built.returncode == 1
    assert "no worker has given a sign of life for 5 s" in built.stderr.splitlines()[-1]
    (job,) = Rest(flink.master).jobs().keys() - before
    assert Rest(flink.master).jobs()[job][1] == "CANCELED"


def test_flink_without_a_cluster_gives_the_same_bytes(
    inputs: list[str], expected: dict[str, str], tmp_path: Path
):
    flags = ["--runner", "flink", "--num_workers", "2"]
    built = builds.run_build(*inputs, *flags, "--output", tmp_path / "out")
    assert built.returncode == 0, built.stderr
    assert built.version.digests() == expected


def test_a_job_server_that_runs_and_workers_by_the_boot_program(
    flink: cluster.Cluster, inputs: list[str], expected: dict[str, str], tmp_path: Path
):
    with JobServer(str(installed.JOB_SERVER), flink.master) as server:
        server.wait()
        flags = ["--runner", "flink", "--job_endpoint", server.endpoint, "--num_workers", "2"]
        flags += starting.by(installed.BOOT, RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT="1")
        built = builds.run_build(*inputs, *flags, "--output", tmp_path / "out")
    assert built.returncode == 0, built.stderr
    assert built.version.digests() == expected


def test_examples_for_pipelines_of_others(
    flink: cluster.Cluster, inputs: list[str], tmp_path: Path
):
    """Those of a published version, and those of published files, on a cluster."""
    built = builds.run_build(*inputs, "--output", tmp_path / "out")
    version = built.version
    corpus = {inputs[at].removeprefix("--"): inputs[at + 1] for at in (0, 2, 4)}
    with JobServer(str(installed.JOB_SERVER), flink.master) as server:
        server.wait()
        options = PipelineOptions(
            job_endpoint=server.endpoint,
            environment_type="PROCESS",
            environment_config=submit.start_worker(),
            parallelism=2,
        )
        with beam.Pipeline(PortableRunner(), options) as pipeline:
            for name, examples in (
                ("read", open_images.ReadExamples(tmp_path / "out", columns=["image_id"])),
                ("built", open_images.BuildExamples(**corpus, chunk_size="8k")),
            ):
                (
                    pipeline
                    | name >> examples
                    | f"{name}Ids" >> beam.FlatMap(lambda batch: batch["image_id"].to_pylist())
                    | f"{name}Text" >> beam.io.WriteToText(str(tmp_path / name))
                )
    for name in ("read", "built"):
        lines = [line for path in tmp_path.glob(f"{name}-*") for line in path.read_text().split()]
        assert sorted(lines) == sorted(version.examples)


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


def test_the_doctor_of_a_cluster_that_is_well(
    flink: cluster.Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "train-labels.csv").write_text("ImageID,LabelName,Confidence\n")
    output = ["--output", str(tmp_path / "output"), "--annotations", str(tmp_path)]
    patient = ["--time_limit", "200"]  # others may use this machine
    code = doctor.main(["--runner", "flink", "--flink_master", flink.master, *patient, *output])
    lines = capsys.readouterr().out.splitlines()
    assert code == 0, lines
    assert any(line.startswith("ok    workers: 2 on ") for line in lines)
    assert any(line.endswith("by 2 workers, and seen here") for line in lines)


def test_the_doctor_of_a_bucket(
    flink: cluster.Cluster, s3: S3Server, capsys: pytest.CaptureFixture[str]
):
    flags = ["--runner", "flink", "--flink_master", flink.master, "--time_limit", "200"]
    flags += ["--output", f"s3://{BUCKET}/doctor", "--s3_endpoint_url", s3.url]
    # Those of the driver aren't the workers'.
    code = doctor.main([*flags, "--exchange", "engine", *CREDENTIALS])
    lines = capsys.readouterr().out.splitlines()
    assert code == 0, lines
    done = f"put, list, copy, read and delete in s3://{BUCKET}/doctor by 2 workers"
    assert any(done in line for line in lines)


def test_the_doctor_of_workers_that_never_start(
    flink: cluster.Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    flags = starting.by(starting.never(tmp_path / "start"))
    code = doctor.main(
        ["--runner", "flink", "--flink_master", flink.master, "--time_limit", "15", *flags]
    )
    lines = capsys.readouterr().out.splitlines()
    assert code == 1
    assert lines[-2].startswith("fix   workers: "), lines
    states = {state for _, state in Rest(flink.master).jobs().values()}
    assert states <= ENDED, "its job runs still"
