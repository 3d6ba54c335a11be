"""What a build leaves for machines: a line of JSON, and a file for Prometheus."""

import errno
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import build
from tests.builds import Build, run_build
from transforms.releases.outcome import Outcome

_SAMPLE = re.compile(r'open_images_(\w+)(?:\{(?:kind="\w+",)?(\w+)="((?:[^"\\]|\\.)*)"\})? (\S+)')


def read_metrics(path: Path) -> dict[tuple[str, str | None], float]:
    """Value by name and label, each of a family that was announced."""
    text = path.read_text()
    assert text.endswith("\n")
    announced: set[str] = set()
    found = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert kind == "gauge"
            assert name not in announced
            announced.add(name)
        elif not line.startswith("# HELP "):
            match = _SAMPLE.fullmatch(line)
            assert match, line
            assert f"open_images_{match[1]}" in announced
            assert (match[1], match[3]) not in found
            found[match[1], match[3]] = float(match[4])
    return found


@pytest.fixture(scope="module")
def annotations(
    make_corpus: Callable[[str, int], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Annotations, one of which is bad."""
    folder = tmp_path_factory.mktemp("annotations")
    for path in (make_corpus("v7", 30) / "annotations").glob("train-images*"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "train-boxes.csv").write_text(
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n000000000000000a,x,/m/1,1,0,2,0,1\n"
    )
    return folder


@pytest.fixture(scope="module")
def flags(annotations: Path, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    folder = tmp_path_factory.mktemp("reported")
    return [
        *("--annotations", annotations, "--images", "none", "--output", folder / "output"),
        *("--max_bad_rate", "1", "--report", "json", "--metrics_file", folder / "build.prom"),
    ]


@pytest.fixture(scope="module")
def built(flags: list[object]) -> Build:
    return run_build(*flags)


def test_json(built: Build):
    assert built.returncode == 0, built.stderr
    (line,) = built.stdout.splitlines()
    told = json.loads(line)
    shards = built.version.manifest["splits"]["train"]["shards"]
    assert 0 < told.pop("seconds") < 600
    accounts = {Path(source["path"]).name: source for source in told.pop("sources")}
    assert accounts["train-boxes.csv"] == {
        "kind": "boxes",
        "path": accounts["train-boxes.csv"]["path"],
        "rows": 1,
        "kept": 0,
        "repeats": 0,
        "orphans": 0,
        "bad_rows": 1,
        "deselected": {},
    }
    assert told == {
        "outcome": "published",
        "exit_code": 0,
        "error": None,
        "version": built.version.folder.name,
        "folder": str(built.version.folder),
        "images": 24,
        "failed_images": 0,
        "failures": {"bad_row": 1},
        "losses": [],
        "warnings": [],
        "examples": {"train": 24},
        "bytes": {shard["format"]: shard["bytes"] for shard in shards},
        "taken_over": {"buckets": 0, "pictures": 0},
        "exif_reset": 0,
        "class_images": [],
        "notes": [],
    }
    assert "report" not in built.version.manifest["config"]
    assert "metrics_file" not in built.version.manifest["config"]


def test_metrics(built: Build, flags: list[object]):
    metrics = flags[-1]
    assert isinstance(metrics, Path)
    found = read_metrics(metrics)
    version = built.version
    assert found["build_success", None] == 1
    assert found["build_exit_code", None] == 0
    assert found["build_images", None] == found["version_examples", "train"] == 24
    assert found["build_failed_images", None] == 0
    assert found["build_failures", "bad_row"] == 1
    assert 0 < found["build_duration_seconds", None] < 600
    ended, began = (
        found["build_end_timestamp_seconds", None],
        found["version_timestamp_seconds", None],
    )
    assert time.time() - 3600 < began <= ended <= time.time()
    assert found["version_info", version.folder.name] == 1
    for shard in version.manifest["splits"]["train"]["shards"]:
        assert found["version_bytes", shard["format"]] == shard["bytes"]
    assert [path.name for path in metrics.parent.glob("build.prom*")] == ["build.prom"]


def test_after_a_failed_build_the_published_version_is_still_told(
    built: Build, flags: list[object], tmp_path: Path
):
    before = read_metrics(Path(str(flags[-1])))
    (tmp_path / "images").mkdir()
    failing = [*flags[:3], tmp_path / "images", *flags[4:-1], tmp_path / "failed.prom"]
    failed = run_build(*failing)
    assert failed.returncode == 1
    told = json.loads(failed.stdout)
    assert (told["outcome"], told["version"], told["folder"]) == ("failed", None, None)
    assert told["failures"]["missing"] == told["failed_images"] == 24
    assert "--max_failure_rate" in told["error"]
    after = read_metrics(tmp_path / "failed.prom")
    assert (after["build_success", None], after["build_exit_code", None]) == (0, 1)
    assert after["build_failures", "missing"] == 24
    for key, value in before.items():
        if key[0].startswith("version_"):
            assert after[key] == value


def test_after_a_failure_that_came_too_late_to_keep_anything_back(
    annotations: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Outcome, "decode", fail)
    flags = ("--annotations", annotations, "--images", "none", "--report", "json")
    flags += ("--max_bad_rate", "1")
    failed = run_build(*flags, "--output", tmp_path / "output")
    assert failed.returncode == 1
    told = json.loads(failed.stdout)
    folder = str(failed.version.folder)
    assert (told["outcome"], told["folder"]) == ("failed", folder)
    assert told["error"].endswith(f"; {folder} was published before that")
    assert told["error"] in failed.stderr


def test_wrong_use(annotations: Path, tmp_path: Path):
    flags = ["--images", "none", "--output", tmp_path / "output", "--report", "json"]
    metrics = tmp_path / "build.prom"
    wrong = run_build("--annotations", tmp_path / "none", *flags, "--metrics_file", metrics)
    told = json.loads(wrong.stdout)
    assert (told["outcome"], told["exit_code"], wrong.returncode) == ("wrong_use", 2, 2)
    assert told["error"] in wrong.stderr
    assert told["examples"] is None
    found = read_metrics(metrics)
    assert found["build_exit_code", None] == 2
    assert not any(name.startswith("version_") for name, _ in found)

    nowhere = tmp_path / "none" / "build.prom"
    wrong = run_build("--annotations", annotations, *flags, "--metrics_file", nowhere)
    assert wrong.returncode == 2
    assert wrong.stderr == (
        f"python -m pipelines.build: error: --metrics_file {nowhere} can't be written: name a file "
        "in a folder that is there\n"
    )
    assert json.loads(wrong.stdout)["outcome"] == "wrong_use"


@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "circle", "long name"])
def test_figures_never_replace_what_is_no_file(annotations: Path, tmp_path: Path, kind: str):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link to a pipe").symlink_to("pipe")
    (tmp_path / "circle").symlink_to("circle")
    path = tmp_path / (kind if kind != "long name" else "n" * 300)
    flags = ["--images", "none", "--output", tmp_path / "output"]
    wrong = run_build("--annotations", annotations, *flags, "--metrics_file", path)
    (line,) = wrong.stderr.splitlines()
    assert (wrong.returncode, "can't be written: " in line, "name a file" in line) == (
        2,
        True,
        True,
    )
    assert {each.name for each in tmp_path.iterdir()} == {"pipe", "link to a pipe", "circle"}
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "circle").is_symlink()


def test_figures_go_where_a_link_leads(annotations: Path, tmp_path: Path):
    (tmp_path / "link.prom").symlink_to("build.prom")
    flags = ["--annotations", annotations / "none", "--images", "none", "--output", tmp_path / "o"]
    for _ in range(2):
        run_build(*flags, "--metrics_file", tmp_path / "link.prom")
        assert read_metrics(tmp_path / "build.prom")["build_exit_code", None] == 2
        assert (tmp_path / "link.prom").is_symlink()


def test_a_report_that_is_none(capfd: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        build.main(["--annotations", "a", "--images", "none", "--output", "o", "--report", "xml"])
    assert ended.value.code == 2
    assert "--report: invalid choice: 'xml'" in capfd.readouterr().err


def test_of_what_has_not_changed(built: Build, flags: list[object], tmp_path: Path):
    again = run_build(*flags[:-1], tmp_path / "again.prom")
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert (told["outcome"], told["folder"]) == ("unchanged", str(built.version.folder))
    assert (told["version"], told["images"]) == (built.version.folder.name, None)
    after = read_metrics(tmp_path / "again.prom")
    assert after["build_success", None] == 1
    assert after["version_info", built.version.folder.name] == 1
