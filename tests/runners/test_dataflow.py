"""Builds on Dataflow: what is checked first, and a job from submission to a published version."""

import hashlib
import json
import os
import signal
import subprocess
import tarfile
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from apache_beam.portability.api import beam_runner_api_pb2

from pipelines import plan
from tests import builds
from tests.emulators import GcsServer
from tests.runners import environments
from tests.runners.fake_dataflow import FakeDataflow, serving, wait_for

ROOT = Path(__file__).parents[2]
BUCKET = "dataflow-tests"
CLOUD = {
    "project": "my-project-1",
    "region": "us-central1",
    "temp_location": f"gs://{BUCKET}/temp",
}
IMAGE = {"sdk_container_image": "registry/image:1"}


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a worker, which has the project's dependencies, but not the project."""
    google = environments.libraries_of(environments.google())
    folder = tmp_path_factory.mktemp("worker") / "environment"
    return environments.make_environment(folder, google, environments.OWN)


@pytest.fixture(scope="module")
def corpus(make_corpus: Callable[[str, int], Path]) -> Path:
    """A small one: each of its files becomes an object."""
    return make_corpus("v7", 30)


@pytest.fixture(scope="module")
def bucket(gcs_server: GcsServer, corpus: Path) -> GcsServer:
    """A bucket that holds the corpus below `corpus`."""
    gcs_server.make_bucket(BUCKET)
    for path in sorted(corpus.rglob("*")):
        if path.is_file():
            key = f"corpus/{path.relative_to(corpus)}"
            gcs_server.put(BUCKET, key, path.read_bytes())
    return gcs_server


@pytest.fixture(scope="module")
def dataflow(
    bucket: GcsServer, worker: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FakeDataflow]:
    environment = os.environ | {"STORAGE_EMULATOR_HOST": bucket.url}
    folder = tmp_path_factory.mktemp("jobs")
    with serving(FakeDataflow(bucket.url, worker, folder, environment)) as service:
        yield service


def arguments(output: str, inputs: Sequence[str] = (), **cloud: object) -> list[str]:
    """Flags of a build, of annotations alone unless `inputs` says more."""
    given = [f"--{name}={value}" for name, value in (CLOUD | cloud).items()]
    given += [f"--{name}=gs://{BUCKET}/corpus/{name}" for name in inputs or ("annotations",)]
    given += [] if inputs else ["--images=none"]
    return ["--runner=dataflow", "--no_auth", f"--output=gs://{BUCKET}/{output}", *given]


def submit(bucket: GcsServer, *flags: str) -> subprocess.Popen:
    """Begins a build by a Python that has Google's libraries."""
    return subprocess.Popen(
        [str(environments.google()), "-m", "pipelines.build", *flags],
        cwd=ROOT,
        env=os.environ | {"STORAGE_EMULATOR_HOST": bucket.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(build: subprocess.Popen) -> builds.Build:
    stdout, stderr = build.communicate()
    return builds.Build(build.returncode, stdout, stderr, Path())


def get(server: GcsServer, key: str) -> bytes:
    name = urllib.parse.quote(key, safe="")
    url = f"{server.url}/download/storage/v1/b/{BUCKET}/o/{name}?alt=media"
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read()


def keys(server: GcsServer, prefix: str) -> list[str]:
    query = urllib.parse.urlencode({"prefix": prefix})
    with urllib.request.urlopen(f"{server.url}/storage/v1/b/{BUCKET}/o?{query}") as answer:
        return sorted(item["name"] for item in json.load(answer).get("items", []))


def test_dry_run(bucket: GcsServer):
    build = finish(submit(bucket, *arguments("dry", dry_run=True)))
    assert build.returncode == 0, build.stderr
    assert build.stdout == "dry run: the pipeline is sound; nothing was submitted\n"
    assert keys(bucket, "dry/versions") == []


@pytest.fixture(scope="module")
def template(bucket: GcsServer, dataflow: FakeDataflow) -> dict:
    """A template, as it was written."""
    place = f"gs://{BUCKET}/templates/build.json"
    # Without an endpoint Beam looks for credentials, in spite of --no_auth, for 22 s.
    cloud = {"template_location": place, "dataflow_endpoint": dataflow.url}
    build = finish(submit(bucket, *arguments("templated", **cloud)))
    assert build.returncode == 0, build.stderr
    assert build.stdout.startswith(f"template written to {place}")
    assert not dataflow.jobs
    return json.loads(get(bucket, "templates/build.json"))


def test_template_holds_the_whole_graph(template: dict, bucket: GcsServer):
    given = template["environment"]["sdkPipelineOptions"]["options"]
    key = given["pipelineUrl"].removeprefix(f"gs://{BUCKET}/")
    pipeline = beam_runner_api_pb2.Pipeline.FromString(get(bucket, key))
    names = {each.unique_name.split("/")[0] for each in pipeline.components.transforms.values()}
    assert {"ReadAnnotations", "ListMembers", "Exchange", "BuildBucket", "Publish"} <= names


def test_template_has_our_presets(template: dict):
    given = template["environment"]["sdkPipelineOptions"]["options"]
    assert given["save_main_session"] is False
    assert given["temp_location"].startswith(CLOUD["temp_location"])
    assert "use_runner_v2" in template["environment"]["experiments"]
    (pool,) = template["environment"]["workerPools"]
    packages = {package["name"] for package in pool["packages"]}
    assert "workflow.tar.gz" in packages
    assert "pickled_main_session" not in packages


def files_of_packages() -> set[str]:
    """Every file that the project's packages have here, but for what Python and Flink make."""
    packages = ("pipelines", "transforms", "runners", "downloading", "synthesis")
    found = (path for package in packages for path in (ROOT / package).rglob("*"))
    return {
        str(path.relative_to(ROOT))
        for path in found
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def published(dataflow: FakeDataflow, bucket: GcsServer) -> tuple[builds.Build, FakeDataflow]:
    """A build that was submitted, run by workers, and waited for."""
    inputs = ("annotations", "images", "masks")
    flags = arguments("out", inputs, dataflow_endpoint=dataflow.url, job_name="open-images")
    return finish(submit(bucket, *flags)), dataflow


def test_a_job_from_submission_to_publication(
    published: tuple[builds.Build, FakeDataflow],
    bucket: GcsServer,
    corpus: Path,
    tmp_path: Path,
):
    build, service = published
    assert build.returncode == 0, build.stderr
    (job,) = service.jobs.values()
    assert job.states == ["JOB_STATE_PENDING", "JOB_STATE_RUNNING", "JOB_STATE_DONE"]
    assert f"Dataflow job {job.resource['id']}: https://" in build.stderr

    version = get(bucket, "out/latest").decode().strip()
    prefix = f"out/versions/{version}/"
    remote = {
        key.removeprefix(prefix): hashlib.sha256(get(bucket, key)).hexdigest()
        for key in keys(bucket, prefix)
        if not key.endswith(("manifest.json", "croissant.json"))
    }
    local = builds.run_build(
        *("--annotations", corpus / "annotations", "--images", corpus / "images"),
        *("--masks", corpus / "masks", "--output", tmp_path / "local"),
    )
    here = local.version.digests()
    assert remote.keys() == here.keys()
    for name in remote:
        # By their ETags, or times of change, pictures are known here and there.
        assert remote[name] == here[name] or name.startswith("lineage/")
    assert keys(bucket, "out/.work") == []


def test_workers_install_every_file(
    published: tuple[builds.Build, FakeDataflow],
):
    _, service = published
    (job,) = service.jobs.values()
    with tarfile.open(service.folder_of(job) / "workflow.tar.gz") as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert files_of_packages() - packed == set()


def test_what_workers_install_runs_the_demo_from_an_empty_environment(
    published: tuple[builds.Build, FakeDataflow], tmp_path: Path
):
    _, service = published
    (job,) = service.jobs.values()
    sdist = service.folder_of(job) / "workflow.tar.gz"
    worker = environments.installed(sdist, tmp_path / "environment")
    environment = {name: os.environ[name] for name in os.environ if name != "PYTHONPATH"}

    def run(*command: str) -> str:
        done = subprocess.run(
            [str(worker), *command], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run("-c", "import transforms; print(transforms.__file__)")
    assert where.startswith(str(worker.parents[1]))
    run("-m", "pipelines.synthesize", "--output", "corpus", "--images", "20", "--num_workers", "1")
    corpus = ["--annotations", "corpus/annotations", "--images", "corpus/images"]
    corpus += ["--masks", "corpus/masks", "--num_workers", "1"]
    run("-m", "pipelines.build", *corpus, "--output", "dataset")
    run("-m", "pipelines.draw", "dataset", "--output", "examples.png")
    assert (tmp_path / "examples.png").stat().st_size > 0


def test_a_job_that_fails_publishes_nothing(dataflow: FakeDataflow, bucket: GcsServer):
    flags = arguments("failed", dataflow_endpoint=dataflow.url, job_name="to-fail", **IMAGE)
    dataflow.sabotage = "raise SystemExit('RuntimeError: the workers are out of quota')"
    try:
        build = finish(submit(bucket, *flags))
    finally:
        dataflow.sabotage = None
    assert build.returncode == 1
    last = build.stderr.strip().splitlines()[-1]
    assert "the workers are out of quota; nothing was published" in last
    assert keys(bucket, "failed/versions") == []


def test_an_interrupted_build_cancels_its_job(dataflow: FakeDataflow, bucket: GcsServer):
    dataflow.sabotage = "import time; time.sleep(600)"
    flags = arguments("cancelled", dataflow_endpoint=dataflow.url, job_name="to-cancel", **IMAGE)
    build = submit(bucket, *flags)
    try:
        wait_for(lambda: any(j.resource["name"] == "to-cancel" for j in dataflow.jobs.values()))
        (job,) = [j for j in dataflow.jobs.values() if j.resource["name"] == "to-cancel"]
        wait_for(lambda: job.process is not None)
        wait_for(lambda: [key for key in keys(bucket, "cancelled/.work") if "job.json" in key])
        (key,) = [key for key in keys(bucket, "cancelled/.work") if "job.json" in key]
        record = json.loads(get(bucket, key))
        build.send_signal(signal.SIGTERM)
        done = finish(build)
    finally:
        dataflow.sabotage = None
        build.kill()
    assert done.returncode == 1
    assert "interrupted: nothing was published" in done.stderr
    wait_for(lambda: job.ended)
    (pool,) = job.resource["environment"]["workerPools"]
    assert pool["workerHarnessContainerImage"] == IMAGE["sdk_container_image"]
    assert "workflow.tar.gz" not in {package["name"] for package in pool.get("packages", [])}
    assert job.states[-2:] == ["JOB_STATE_CANCELLING", "JOB_STATE_CANCELLED"]
    assert (record["engine"], record["job_id"]) == ("Dataflow", job.resource["id"])
    assert keys(bucket, "cancelled/.work") == []


def test_a_plan_is_a_job_that_leaves_nothing(
    dataflow: FakeDataflow, bucket: GcsServer, corpus: Path, capfd: pytest.CaptureFixture[str]
):
    cloud = {"dataflow_endpoint": dataflow.url, "job_name": "to-plan"}
    flags = arguments("planned", temp_location=f"gs://{BUCKET}/plans", **cloud)
    done = finish(submit(bucket, *flags, "--dry_run", "--report=json"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    here = ["--annotations", str(corpus / "annotations"), "--images", "none"]
    assert plan.main([*here, "--num_workers", "1", "--report", "json"]) == 0
    expected = json.loads(capfd.readouterr().out)
    for name in ("images", "annotations", "classes", "shard_bytes"):
        assert found[name] == expected[name]
    assert keys(bucket, "planned") == []
    assert not [key for key in keys(bucket, "plans") if "open-images-plan" in key]


def diagnose(bucket: GcsServer, *flags: str, **variables: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [str(environments.google()), "-m", "pipelines.doctor", "--runner=dataflow", *flags],
        cwd=ROOT,
        env=os.environ | {"STORAGE_EMULATOR_HOST": bucket.url} | variables,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout.splitlines()


def test_the_doctor(bucket: GcsServer, tmp_path: Path):
    cloud = [f"--{name}={value}" for name, value in CLOUD.items()]
    output = f"--output=gs://{BUCKET}/out"
    code, lines = diagnose(bucket, *cloud, output, "--no_auth")
    assert code == 0, lines
    assert f"ok    bucket: put, list, copy, read and delete below gs://{BUCKET}/out" in lines
    assert keys(bucket, "out/.work") == []

    code, lines = diagnose(bucket, *cloud, "--output=gs://no-such-bucket/out", "--no_auth")
    assert code == 1
    assert any(line.startswith("fix   bucket: there is no bucket") for line in lines)

    absent = {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "key.json")}
    code, lines = diagnose(bucket, *cloud, output, **absent)
    assert code == 1
    assert "fix   credentials: " in lines[-2]
    assert "gcloud auth application-default login" in lines[-2]

    code, lines = diagnose(bucket, "--output=out")
    assert code == 1
    assert sum(line.startswith("fix ") for line in lines) == 4
