"""The manifests for Kubernetes: against published schemas, and against one another."""

import copy
import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing
import yaml

from pipelines import doctor
from pipelines.cli import build_flags
from tests import builds

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "runners" / "kubernetes"
SCHEMAS = Path(sys.prefix) / "kubernetes"
MANIFESTS = ("storage.yaml", "cluster.yaml", "build.yaml")

Node = dict[str, Any]


def read(name: str) -> Node:
    (manifest,) = yaml.safe_load_all((FOLDER / name).read_text())
    return manifest


@cache
def operator_schema() -> Node:
    """The schema of a FlinkDeployment, from the operator's artifact, made strict."""
    (jar,) = SCHEMAS.glob("operator-*/flink-kubernetes-operator-api-*.jar")
    with zipfile.ZipFile(jar) as archive:
        text = archive.read("META-INF/fabric8/flinkdeployments.flink.apache.org-v1.yml")
    definition = yaml.load(text, yaml.CSafeLoader)
    (version,) = definition["spec"]["versions"]
    assert (definition["spec"]["group"], version["name"]) == ("flink.apache.org", "v1beta1")
    schema = version["schema"]["openAPIV3Schema"]
    make_strict(schema)
    return schema


def make_strict(node: Any) -> None:
    """Lets objects have no fields but those that the schema names, which Kubernetes would drop."""
    if isinstance(node, list):
        for each in node:
            make_strict(each)
    elif isinstance(node, dict):
        if isinstance(node.get("properties"), dict) and node.get("type") == "object":
            node.setdefault("additionalProperties", False)
        for each in node.values():
            make_strict(each)


@cache
def kubernetes_schemas() -> tuple[zipfile.Path, str]:
    (wheel,) = SCHEMAS.glob("schemas-*/kubernetes_validate-*.whl")
    version = wheel.name.split("-")[1]
    folder = f"kubernetes_validate/kubernetes-json-schema/v{version}-local-strict/"
    return zipfile.Path(wheel, folder), version


def validate(manifest: Node) -> None:
    """Raises ValidationError unless a manifest is as its published schema wants it."""
    if manifest["kind"] == "FlinkDeployment":
        # Metadata are Kubernetes' own, and not spelled out there.
        spec = {"spec": manifest["spec"]}
        schema = {"type": "object", "properties": {"spec": operator_schema()["properties"]["spec"]}}
        jsonschema.Draft202012Validator(schema).validate(spec)
        return
    folder, _ = kubernetes_schemas()
    api = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", manifest["apiVersion"])
    schema = json.loads((folder / f"{manifest['kind'].lower()}-{api}.json").read_text())
    definitions = json.loads((folder / "_definitions.json").read_text())
    resource = referencing.Resource.from_contents(definitions, referencing.jsonschema.DRAFT202012)
    registry = referencing.Registry().with_resource("_definitions.json", resource)
    jsonschema.Draft202012Validator(schema, registry=registry).validate(manifest)


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_fit_their_schemas(name: str):
    validate(read(name))


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("cluster.yaml", "spec/flinkVersion", "v0_1"),
        ("cluster.yaml", "spec/taskManager/replica", 2),
        ("cluster.yaml", "spec/flinkConfiguration/taskmanager.numberOfTaskSlots", 4),
        ("cluster.yaml", "spec/taskManager/podTemplate/spec/container", []),
        ("build.yaml", "spec/template/spec/restartPolicy", 3),
        ("build.yaml", "spec/template/spec/initContainer", []),
        ("storage.yaml", "spec/accessModes", "ReadWriteMany"),
    ],
)
def test_the_check_finds_mistakes(name: str, path: str, value: object):
    manifest = copy.deepcopy(read(name))
    *parents, last = path.split("/")
    node = manifest
    for parent in parents:
        node = node[parent]
    node[last] = value
    with pytest.raises(jsonschema.ValidationError):
        validate(manifest)


def pod_of_task_managers() -> Node:
    return read("cluster.yaml")["spec"]["taskManager"]["podTemplate"]["spec"]


def containers() -> Iterator[Node]:
    """All containers with a program of ours."""
    yield from (each for each in pod_of_task_managers()["containers"] if "command" in each)
    pod = read("build.yaml")["spec"]["template"]["spec"]
    yield from (*pod["initContainers"], *pod["containers"])


def parse(name: str) -> tuple[Any, dict[str, str]]:
    """The flags of the job's container of a name: ours, and those for Beam."""
    pod = read("build.yaml")["spec"]["template"]["spec"]
    (command,) = [
        container["command"]
        for container in (*pod["initContainers"], *pod["containers"])
        if container["name"] == name
    ]
    parse_flags = doctor.parse if name == "doctor" else build_flags.parse
    flags, others = parse_flags(command[3:])
    return flags, dict(other.removeprefix("--").split("=", 1) for other in others)


def test_the_job_reaches_the_cluster_and_its_pools():
    cluster = read("cluster.yaml")
    (pool,) = [each for each in pod_of_task_managers()["containers"] if each["name"] == "workers"]
    port = pool["command"][pool["command"].index("--port") + 1]
    for name in ("doctor", "build"):
        flags, others = parse(name)
        assert flags.runner == "flink"
        assert others["flink_master"] == f"{cluster['metadata']['name']}-rest:8081"
        assert others["environment_type"] == "EXTERNAL"
        assert others["environment_config"] == f"localhost:{port}"
    assert pool["readinessProbe"]["exec"]["command"] == [*pool["command"], "--check"]


def test_the_doctor_looks_at_what_is_built():
    checked, built = parse("doctor")[0], parse("build")[0]
    for name in ("annotations", "images", "masks", "output", "exchange"):
        assert getattr(checked, name) == getattr(built, name)


def test_the_cluster_is_one_that_the_doctor_lets_pass():
    configuration = read("cluster.yaml")["spec"]["flinkConfiguration"]
    assert configuration["restart-strategy.type"] == "exponential-delay"
    assert configuration["classloader.resolve-order"] == "parent-first"
    jars = (ROOT / "runners" / "flink" / "jars.txt").read_text()
    (version,) = re.findall(r"(?m)^org\.apache\.beam:beam-runners-flink-([\d.]+):", jars)
    assert read("cluster.yaml")["spec"]["flinkVersion"] == f"v{version.replace('.', '_')}"
    assert f"FROM flink:{version}." in (FOLDER / "Dockerfile").read_text()


def test_one_folder_is_shared_by_all():
    claim = read("storage.yaml")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    pods = (pod_of_task_managers(), read("build.yaml")["spec"]["template"]["spec"])
    for pod in pods:
        (volume,) = [each for each in pod["volumes"] if each["name"] == "shared"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            assert mounts["shared"] == "/shared"
    flags, _ = parse("build")
    paths = (*flags.annotations, *flags.images, *flags.masks, flags.output)
    assert all(path.startswith("/shared/") for path in paths)


def instructions() -> Iterator[tuple[str, list[str]]]:
    """The instructions of the Dockerfile with their words."""
    text = re.sub(r"(?m)^#.*\n", "", (FOLDER / "Dockerfile").read_text()).replace("\\\n", " ")
    for line in filter(str.strip, text.splitlines()):
        name, _, rest = line.partition(" ")
        yield name, json.loads(rest) if rest.startswith("[") else shlex.split(rest)


def test_the_images_are_made_of_what_is_there():
    stages = []
    for name, words in instructions():
        if name == "FROM":
            stages.append(words[words.index("AS") + 1])
        elif name == "COPY" and words[0].startswith("--from="):
            assert words[0].removeprefix("--from=") in stages[:-1]
        elif name == "COPY":
            assert all((ROOT / source).exists() for source in words[:-1]), words
        else:
            assert name in ("RUN", "USER", "WORKDIR", "CMD")
    assert stages == ["job-server", "flink", "worker"]
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks", "tests"}
    copied = {word for name, words in instructions() if name == "COPY" for word in words}
    assert packages <= copied
    used = {each["image"] for each in containers()} | {read("cluster.yaml")["spec"]["image"]}
    assert used == {f"REGISTRY/open-images-{stage}:1" for stage in ("flink", "worker")}


def test_all_run_as_the_same_user():
    users = [words for name, words in instructions() if name == "USER"]
    pods = (pod_of_task_managers(), read("build.yaml")["spec"]["template"]["spec"])
    assert users == [["9999"]]
    assert {pod["securityContext"]["fsGroup"] for pod in pods} == {9999}


def test_programs_are_there():
    for container in containers():
        assert container["command"][:2] == ["python", "-m"]
        module = container["command"][2].replace(".", "/")
        assert (ROOT / f"{module}.py").exists()


@pytest.fixture
def pool() -> Iterator[tuple[subprocess.Popen, list[str]]]:
    """A pool, as it runs beside a task manager."""
    (container,) = [each for each in containers() if each["name"] == "workers"]
    with socket.create_server(("localhost", 0)) as server:
        port = str(server.getsockname()[1])
    command = [sys.executable, *container["command"][1:]]
    command[command.index("--port") + 1] = port
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"workers are started by localhost:{port}\n"
        yield process, command
    finally:
        process.kill()
        process.wait()


def test_a_pool_serves_builds(
    pool: tuple[subprocess.Popen, list[str]], corpus_v3: Path, tmp_path: Path
):
    process, command = pool
    port = command[command.index("--port") + 1]
    assert subprocess.run([*command, "--check"], cwd=ROOT).returncode == 0
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert second.returncode == 1
    assert second.stderr.endswith(f"python -m runners.pool: error: port {port} is in use\n")

    flags = ["--runner", "prism", "--environment_type", "EXTERNAL"]
    flags += ["--environment_config", f"localhost:{port}"]
    build = builds.run_build(
        *("--annotations", corpus_v3 / "annotations", "--images", "none"),
        *("--output", tmp_path / "output", *flags),
    )
    assert build.returncode == 0, build.stderr
    build.version.assert_whole()

    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert subprocess.run([*command, "--check"], cwd=ROOT).returncode == 1
