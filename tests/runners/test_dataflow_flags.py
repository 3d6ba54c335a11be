"""What is wrong with a build on Dataflow, as far as its command line tells."""

from pathlib import Path

import pytest

from pipelines.cli import build_flags
from runners import dataflow
from runners.checks.dataflow import check_credentials
from tests import builds

CLOUD = {
    "project": "my-project-1",
    "region": "us-central1",
    "temp_location": "gs://bucket/temp",
}


def mistakes(**changes: object) -> list[str]:
    given = CLOUD | {"output": "gs://bucket/out", "annotations": "gs://bucket/a", "images": "none"}
    texts = [f"--{name}={value}" for name, value in (given | changes).items() if value is not None]
    flags, beam_arguments = build_flags.parse(["--runner=dataflow", *texts])
    lines = list(dataflow.mistakes(flags, beam_arguments))
    # The project's own environment has none of Google's libraries.
    assert "pip install 'apache-beam[gcp]'" in lines[0]
    return lines[1:]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"output": "out"}, "--output out: Dataflow's workers can't write there"),
        ({"output": "s3://bucket/out"}, "--output s3://bucket/out: "),
        ({"annotations": "/data/a"}, "gcloud storage cp -r /data/a gs://BUCKET/"),
        ({"annotations": "boxes=/data/a"}, "gcloud storage cp -r /data/a gs://BUCKET/"),
        ({"images": "tar=train.tar"}, "--images tar=train.tar: Dataflow's workers can't see"),
        ({"masks": "gs://Capitals/m"}, "--masks gs://Capitals/m: that is no bucket"),
        ({"exchange": "files"}, "--exchange files: Dataflow's workers share no folder"),
        ({"work_folder": "/w"}, "--work_folder /w: Dataflow's workers share no folder"),
        ({"project": None}, "--project: name the Google Cloud project"),
        ({"project": "1234567"}, "--project 1234567: name the Google Cloud project"),
        ({"region": None}, "--region: say where"),
        ({"temp_location": None}, "--temp_location: name a folder of a bucket"),
        ({"temp_location": "/tmp"}, "--temp_location /tmp: name a folder of a bucket"),
        ({"temp_location": "gs://bucket"}, "--temp_location gs://bucket: name a folder"),
        ({"staging_location": "s3://b/c"}, "--staging_location s3://b/c: name a folder"),
        ({"template_location": "job.json"}, "--template_location job.json: name a folder"),
        ({"setup_file": "/nowhere/setup.py"}, "--setup_file /nowhere/setup.py: no such file"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_asked(changes: dict[str, str], expected: str):
    (line,) = mistakes(**changes)
    assert expected in line
    assert "\n" not in line


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"images": "https://host/{split}/{image_id}.jpg"},
        {"images": "s3://open-images-dataset"},
        {"images": "original"},
        {"temp_location": None, "staging_location": "gs://bucket/staging"},
    ],
)
def test_what_is_right(changes: dict[str, str]):
    assert mistakes(**changes) == []


def test_without_a_setup_file_an_image_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(dataflow, "SETUP_FILE", tmp_path / "setup.py")
    assert "--sdk_container_image: name an image" in mistakes()[0]
    assert mistakes(sdk_container_image="registry/image:1") == []


def test_rows_meet_in_the_engine_by_default():
    flags, _ = build_flags.parse(
        ["--runner=dataflow", "--annotations=a", "--images=b", "--output=c"]
    )
    assert flags.exchange == "engine"


def test_a_mistake_ends_a_build_at_once(tmp_path: Path):
    flags = ["--runner=dataflow", "--annotations=a", "--images=none", f"--output={tmp_path}/out"]
    build = builds.run_build(*flags)
    assert build.returncode == 2
    assert build.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_credentials_that_take_too_long():
    assert "none found within 0.001 s" in check_credentials(0.001).text
