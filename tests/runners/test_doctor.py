"""The doctor: that it finds all well where it is, and says what to do for each thing that isn't."""

import itertools
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from open_images.building.examine import examine
from pipelines import doctor
from runners.checks import machine, software, worker, workers
from runners.checks.finding import Finding
from runners.checks.worker import Errand, Report
from tests.builds import run_build
from tests.emulators import S3Server
from transforms.storage import files, objects
from transforms.storage.stores import ObjectOptions

Capture = pytest.CaptureFixture[str]


def diagnose(capsys: Capture, *arguments: object) -> tuple[int, list[str]]:
    """Runs the doctor; returns its exit code and its lines but the last."""
    patient = ["--time_limit", 200, *arguments]  # others may use this machine
    code = doctor.main([str(argument) for argument in patient])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == ("all is well" if code == 0 else f"{code_lines(lines)} to mend")
    return code, lines[:-1]


def code_lines(lines: list[str]) -> int:
    return sum(line.startswith("fix ") for line in lines)


def the_fix(found: object) -> str:
    """The text of the only finding that isn't `ok`."""
    (finding,) = [each for each in found if each.mark != "ok"]
    assert finding.mark == "fix"
    return finding.text


def an_errand(**changes: object) -> Errand:
    fields = {"name": "n", "versions": software.describe(), "folder": None, "inputs": ()}
    return Errand(**(fields | changes))


def test_all_is_well(corpus_v7: Path, tmp_path: Path, capsys: Capture):
    output = tmp_path / "output"
    flags = ["--annotations", corpus_v7 / "annotations", "--images", corpus_v7 / "images"]
    code, lines = diagnose(capsys, *flags, "--output", output, "--num_workers", 2)
    assert code == 0
    lines = [line for line in lines if not line.startswith("note")]
    subjects = [line.split(":")[0].removeprefix("ok    ") for line in lines]
    wanted = ["Python", "inputs", "ports", "space", "workers", "versions", "inputs"]
    wanted.append("work folder")
    assert subjects == wanted
    assert "2 on" in lines[4]
    assert not output.exists()


def test_what_workers_miss(tmp_path: Path, capsys: Capture):
    flags = ["--runner", "prism", "--annotations", tmp_path / "absent", "--images", "original"]
    code, lines = diagnose(capsys, *flags, "--free_space", "1000000g")
    assert code == 1
    assert "skip  work folder: give --output" in lines
    wrong = [line for line in lines if line.startswith("fix")]
    assert len(wrong) == 3
    assert wrong[0].startswith(f"fix   inputs: --annotations {tmp_path}/absent: no such file")
    assert wrong[1].startswith(f"fix   inputs: {tmp_path}/absent on ")
    assert "not there" in wrong[1]
    assert "GiB free in" in wrong[2]


def test_an_output_that_is_no_output(tmp_path: Path, capsys: Capture):
    (tmp_path / "diary").write_text("")
    code, lines = diagnose(capsys, "--output", tmp_path)
    assert code == 1
    assert "holds other files (diary)" in lines[-2]
    assert lines[-1].startswith("skip  workers")


def test_a_worker_that_never_answers(capsys: Capture):
    """As where a pool's `python` lacks Beam: the runner waits for ever."""
    with socket.create_server(("localhost", 0)) as silent:
        pool = f"localhost:{silent.getsockname()[1]}"
        flags = ["--runner", "prism", "--environment_type", "EXTERNAL", "--time_limit", 8]
        code, lines = diagnose(capsys, *flags, "--environment_config", pool)
    assert code == 1
    assert lines[-1].startswith(
        "fix   workers: no answer within 8 s (--time_limit): is the worker pool"
    )


def test_a_job_that_fails(capsys: Capture, tmp_path: Path):
    broken = tmp_path / "prism"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    flags = ["--runner", "prism", "--prism_location", broken]
    code, lines = diagnose(capsys, *flags)
    assert code == 1
    assert lines[-1].startswith("fix   workers: ")


def test_a_runner_that_is_not_there(capsys: Capture):
    code, lines = diagnose(capsys, "--runner", "prism", "--prism_location", "nowhere")
    assert code == 1
    assert lines[-3] == "fix   Prism: --prism_location nowhere: no such file: run 'make prism'"


def test_wrong_use(capsys: Capture):
    with pytest.raises(SystemExit) as ended:
        doctor.main(["--runer", "flink"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("python -m pipelines.doctor: error: ")


def test_help_teaches(capsys: Capture):
    with pytest.raises(SystemExit):
        doctor.main(["--help"])
    text = capsys.readouterr().out
    assert "exit codes: 0 all is well, 1 something is to be mended, 2 wrong use" in text
    assert "--time_limit" in text


def test_libraries_that_do_not_fit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(software, "requirements", lambda: ["numpy>=99", "no-such-library"])
    found = [finding.text for finding in machine.check_python() if finding.mark == "fix"]
    assert "numpy is" in found[0]
    assert ">=99 is needed" in found[0]
    assert "no-such-library is missing" in found[1]


@pytest.mark.parametrize(
    ("said", "code", "expected"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 0, None),
        ('openjdk version "1.8.0_392"', 0, "is of version 8"),
        ("Error: could not find libjava.so", 2, "doesn't run (Error: could not find libjava.so)"),
    ],
)
def test_java(
    said: str, code: int, expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit {code}\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    if expected is None:
        assert machine.check_java().mark == "ok"
    else:
        assert expected in the_fix([machine.check_java()])


def test_no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert "install Java 11 or 17" in the_fix([machine.check_java()])


def test_a_port_in_use():
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
        assert f"--job_port {port} is in use" in the_fix(
            machine.check_ports([f"--job_port={port}"])
        )
    assert [finding.mark for finding in machine.check_ports([f"--job_port={port}"])] == ["ok"]


def test_space(tmp_path: Path):
    assert machine.check_space(str(tmp_path), 1).mark == "ok"
    assert "are wanted (--free_space)" in the_fix([machine.check_space(str(tmp_path), 1 << 60)])


def test_other_versions_on_workers():
    versions = software.describe() | {"numpy": "1.0", "Python": "3.9.1"}
    report = worker.run(an_errand(versions=versions))
    assert set(report.differing) == {"numpy", "Python"}
    found = [f.text for f in workers.judge([report], an_errand(versions=versions))]
    assert any("numpy is" in text and "1.0 here" in text for text in found)
    assert any("Python is" in text and "3.9.1 here" in text for text in found)


def test_other_code_on_workers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    errand = an_errand()
    monkeypatch.setattr(software, "_ROOT", tmp_path)
    assert "this project's code is" in the_fix(workers.judge([worker.run(errand)], errand))


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A work folder as the driver leaves it."""
    (tmp_path / "tokens").mkdir()
    (tmp_path / "token").write_text("n")
    return tmp_path


def test_a_folder_that_is_shared(shared: Path):
    errand = an_errand(folder=str(shared))
    report = worker.run(errand)
    assert report.trouble == ""
    (found,) = workers.check_tokens(str(shared), [report], files.DEFAULTS)
    assert found.mark == "ok"


def test_a_folder_that_is_another_on_the_worker(shared: Path, tmp_path: Path):
    elsewhere = an_errand(folder=str(tmp_path / "elsewhere"))
    report = worker.run(elsewhere)
    assert report.trouble == "No such file or directory"
    assert "mount one folder on all machines" in the_fix(workers.judge([report], elsewhere))
    (shared / "token").write_text("an older run's")
    assert "another file" in worker.run(an_errand(folder=str(shared))).trouble


def test_a_folder_whose_files_do_not_come_back(shared: Path):
    found = workers.check_tokens(str(shared), [Report("host", 1)], files.DEFAULTS)
    assert "1 of 1 workers wrote to" in the_fix(found)


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """A store, and credentials that it takes."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return s3_server


def test_a_bucket(s3: S3Server, capsys: Capture):
    s3.make_bucket("doctor")
    endpoint = ["--s3_endpoint_url", s3.url, "--exchange", "engine", "--num_workers", 1]
    code, lines = diagnose(capsys, "--output", "s3://doctor/out", *endpoint)
    assert code == 0
    assert "put, list, copy, read and delete in s3://doctor/out by 1 workers" in lines[-1]
    code, lines = diagnose(capsys, "--output", "s3://no-such-bucket/out", *endpoint)
    assert code == 1
    assert "there is no bucket s3://no-such-bucket" in lines[-2]


@pytest.mark.parametrize("step", ["copy", "list", "delete"])
def test_a_bucket_that_does_not_do_all(step: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch):
    s3.make_bucket("halting")
    options = ObjectOptions(s3_endpoint_url=s3.url)
    if step == "copy":
        monkeypatch.setattr(worker.obstore, "copy", lambda *_: None)
        expected = "lists \\['put'\\]"
    elif step == "list":
        monkeypatch.setattr(files, "list_files", lambda *_: [])
        expected = "lists \\[\\]"
    else:
        monkeypatch.setattr(objects, "delete_below", lambda *_: None)
        expected = "still listed after it was deleted"
    with pytest.raises(objects.StorageError, match=expected):
        worker.try_store("s3://halting/out", options)


def test_inputs_are_looked_at_as_a_build_does(tmp_path: Path, capsys: Capture):
    """What would end a build with code 2 is to be mended, in its words; the rest is noted."""
    folder = tmp_path / "in"
    folder.mkdir()
    boxes = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n"
    (folder / "train-boxes.csv").write_text(boxes)
    (folder / "README.md").write_text("of the user's")
    (folder / "classes.csv").write_text("/m/01,Cat\n")
    flags = ["--annotations", str(folder), "--images", "none", "--output", str(tmp_path / "out")]
    inputs = [finding for finding in examined(flags) if finding.subject == "inputs"]
    assert [finding.mark for finding in inputs] == ["ok", "note"]
    assert "1 of boxes, 1 of classes" in inputs[0].text
    assert "README.md: not used" in inputs[1].text
    mistakes = {
        "train-labels.csv": boxes.replace(",", ";"),
        "h.json": '{"LabelName": "/m/01", "Subcategory": [}',
        "train-more.csv": boxes.replace("YMax", "YMaximum"),
        "boxes.csv": f"{boxes}000000000000000a,xclick,/m/01,1,0,1,0,1\n",
    }
    for name, content in mistakes.items():
        (folder / name).write_text(content)
        (found,) = [finding for finding in examined(flags) if finding.subject == "inputs"]
        built = run_build(*flags)
        assert built.returncode == 2
        assert built.stderr.endswith(f"error: {found.text.removeprefix('inputs: ')}\n")
        assert found.mark == "fix"
        assert name in found.text
        (folder / name).unlink()


def examined(flags: list[str]) -> list[Finding]:
    """Returns the findings that need no workers."""
    ours, others = doctor.parse(flags)
    return list(itertools.takewhile(lambda found: found.subject != "ports", examine(ours, others)))
