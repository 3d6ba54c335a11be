"""The CronJob and the systemd units: against their schemas, and the programs' own parsers."""

import configparser
import copy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import yaml

from pipelines import verify, versions
from pipelines.cli import build_flags
from tests.runners.test_kubernetes import FOLDER, ROOT, read, validate

SCHEDULES = ROOT / "runners" / "schedules"
PROGRAMS = {
    "pipelines.build": lambda flags: build_flags.parse(flags)[0],
    "pipelines.verify": lambda flags: verify.make_parser().parse_args(flags),
    "pipelines.versions": lambda flags: versions.make_parser().parse_args(flags),
}


def cronjob() -> dict:
    return yaml.safe_load((SCHEDULES / "cronjob.yaml").read_text())


def pod() -> dict:
    return cronjob()["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def unit(name: str) -> dict[str, list[tuple[str, str]]]:
    """The settings of a unit by section; those that come several times too."""
    sections: dict[str, list[tuple[str, str]]] = {}
    section = None
    for line in (SCHEDULES / name).read_text().splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            assert section is not None
            section.append((key, value))
    return sections


def commands() -> Iterator[list[str]]:
    for container in (*pod()["initContainers"], *pod()["containers"]):
        yield container["command"]
    for key, value in unit("open-images.service")["Service"]:
        if key == "ExecStart":
            yield shlex.split(value)


def test_the_cronjob_fits_its_schema():
    validate(cronjob())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("concurrencyPolicy", 1),
        ("deadline", 5),
        ("jobTemplate/spec/backoffLimit", "two"),
        ("jobTemplate/spec/activeDeadline", 5),
    ],
)
def test_the_check_finds_mistakes(path: str, value: object):
    manifest = copy.deepcopy(cronjob())
    node = manifest["spec"]
    *parents, last = path.split("/")
    for parent in parents:
        node = node[parent]
    node[last] = value
    with pytest.raises(jsonschema.ValidationError):
        validate(manifest)


def test_one_night_at_a_time_with_an_end():
    spec = cronjob()["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 6 * 3600
    assert spec["jobTemplate"]["spec"]["backoffLimit"] == 2
    assert pod()["restartPolicy"] == "Never"


def test_commands_are_those_of_the_programs():
    found = [*commands()]
    assert len(found) == 6
    outputs = []
    for command in found:
        assert Path(command[0]).name == "python"
        assert command[1] == "-m"
        outputs.append(PROGRAMS[command[2]](command[3:]).output)
    assert outputs == ["/shared/dataset"] * 3 + ["/data/dataset"] * 3


def test_the_cronjob_uses_the_images_and_the_volume_of_the_others():
    claim = read("storage.yaml")["metadata"]["name"]
    (volume,) = pod()["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim
    images = {c["image"] for c in (*pod()["initContainers"], *pod()["containers"])}
    assert images == {"REGISTRY/open-images-worker:1"}
    assert all(image in (FOLDER / "build.yaml").read_text() for image in images)


def test_units_have_what_systemd_needs():
    timer, service = unit("open-images.timer"), dict(unit("open-images.service")["Service"])
    assert dict(timer["Timer"])["Persistent"] == "true"
    assert timer["Install"] == [("WantedBy", "timers.target")]
    assert (service["Type"], service["Restart"]) == ("oneshot", "on-failure")
    assert (service["KillMode"], service["RestartPreventExitStatus"]) == ("mixed", "2")


def test_systemd_takes_the_units(tmp_path: Path):
    """Where systemd isn't there, the units are at least files of its format."""
    for name in ("open-images.service", "open-images.timer"):
        text = (SCHEDULES / name).read_text()
        configparser.RawConfigParser(strict=False).read_string(text)
        # Which must be there.
        text = text.replace("/opt/open-images/.venv/bin/python", sys.executable)
        (tmp_path / name).write_text(text.replace("User=open-images\n", ""))
    program = shutil.which("systemd-analyze")
    if program:
        units = [str(path) for path in sorted(tmp_path.iterdir())]
        done = subprocess.run(
            [program, "verify", "--man=no", *units], capture_output=True, text=True
        )
        said = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
        assert (done.returncode, said) == (0, [])
