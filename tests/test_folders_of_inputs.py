"""Inputs in folders that are linked, deep, unreadable or vanish; and what is no file at all."""

import contextlib
import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines import download, verify
from tests.builds import Build, latest_version, run_build
from tests.deep import dug
from tests.test_found_files import BOXES, IDS, IMAGES, find, write
from transforms.errors import UsageError
from transforms.releases import removal
from transforms.releases.output import Output

_CAPABILITIES = (1, 2)  # by which root reads what its mode forbids
_DROP = 24


@pytest.fixture(scope="module")
def corpus(make_corpus: Callable[[str, int], Path]) -> Path:
    return make_corpus("v7", 12)


def built(annotations: Path, images: object, masks: Path, output: Path) -> Build:
    flags = ("--annotations", annotations, "--images", images, "--masks", masks)
    done = run_build(*flags, "--format", "parquet", "--output", output)
    assert done.returncode == 0, done.stderr
    return done


def test_inputs_in_deep_and_linked_folders_are_those_in_plain_ones(corpus: Path, tmp_path: Path):
    plain = built(*(corpus / name for name in ("annotations", "images", "masks")), tmp_path / "1")
    tops = [tmp_path / name for name in ("annotations", "images", "masks")]
    with contextlib.ExitStack() as stack:
        annotations, images, masks = (
            (top / stack.enter_context(dug(top, "README.md"))).parent for top in tops
        )
        for path in (corpus / "annotations").iterdir():
            shutil.copy(path, annotations)
        (images / "train").symlink_to(corpus / "images/train")
        for name in ("validation", "test"):
            shutil.copytree(corpus / "images" / name, images / name)
        for path in (corpus / "masks").iterdir():
            (masks / path.name).symlink_to(path)
        (masks / "circle").symlink_to(tmp_path / "masks")
        deep = built(*tops, tmp_path / "2")
    assert deep.version.table.equals(plain.version.table)
    assert deep.version.failures == plain.version.failures
    told = [warning["text"] for warning in deep.version.manifest["warnings"]]
    assert "not used: a link to a folder that it lies in: not followed" in told


@contextlib.contextmanager
def opened_socket(path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(path))
        yield


def code_of(main: Callable[[list[str]], int], *arguments: object) -> int:
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as error:
        return int(error.code or 0)


@pytest.mark.timeout(120)
def test_a_pipe_socket_or_device_is_refused_at_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    tables = write(tmp_path / "in", {"images.csv": IMAGES, "train-boxes.csv": BOXES})
    os.mkfifo(tmp_path / "train.csv")
    os.mkfifo(tmp_path / "pictures.tar")
    (tmp_path / "linked.zip").symlink_to("pictures.tar")
    reading, writing = os.pipe()
    to_build = ("--format", "parquet", "--output", tmp_path / "out", "--annotations", tables)
    to_download = ("--output", tmp_path / "downloaded")
    (tmp_path / "list.txt").write_text(f"train/{IDS[0]}\n")
    listed = ("--image_list", tmp_path / "list.txt")
    with opened_socket(tmp_path / "socket.csv"), open(tmp_path / "list.txt") as a_file:
        for main, path, arguments in (
            (None, "train.csv", (*to_build, "--images", "none", "--annotations", "{}")),
            (None, "train.csv", (*to_build, "--images", "none", "--annotations", "boxes={}")),
            (None, "socket.csv", (*to_build, "--images", "none", "--annotations", "{}")),
            (None, "/dev/zero", (*to_build, "--images", "none", "--annotations", "{}")),
            (None, f"/dev/fd/{reading}", (*to_build, "--images", "none", "--annotations", "{}")),
            (None, f"/dev/fd/{a_file.fileno()}", (*to_build, "--images", "none", "--masks", "{}")),
            (None, "pictures.tar", (*to_build, "--images", "{}")),
            (None, "pictures.tar", (*to_build, "--images", "tar={}")),
            (None, "linked.zip", (*to_build, "--images", "none", "--masks", "{}")),
            (download.main, "train.csv", (*to_download, "--image_list", "{}")),
            (download.main, "pictures.tar", (*to_download, *listed, "--images", "{}")),
            (download.main, "train.csv", (*to_download, *listed, "--annotations", "{}")),
        ):
            path = tmp_path / path
            texts = [str(argument).replace("{}", str(path)) for argument in arguments]
            if main is None:
                done = run_build(*texts)
                code, said = done.returncode, done.stderr
            else:
                code = code_of(main, *texts)
                said = capfd.readouterr().err
            (line,) = said.splitlines()
            assert (code, "save it as a file and name that" in line) == (2, True), line
            assert str(path) in line
    assert not (tmp_path / "out").exists()
    os.close(reading)
    os.close(writing)


@pytest.mark.timeout(60)
def test_downloads_to_a_pipe_or_a_linked_folder(
    corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    one, other = sorted((corpus / "images/train").iterdir())[:2]
    (tmp_path / "list.txt").write_text(f"train/{one.stem}\ntrain/{other.stem}\n")
    (tmp_path / "disk").mkdir()
    (tmp_path / "out/images").mkdir(parents=True)
    (tmp_path / "out/images/train").symlink_to(tmp_path / "disk")
    arguments = ("--image_list", tmp_path / "list.txt", "--images", corpus / "images")
    os.mkfifo(tmp_path / "disk" / one.name)
    assert code_of(download.main, *arguments, "--output", tmp_path / "out") == 0
    assert "it is a pipe" in capfd.readouterr().err
    for path in (one, other):
        assert (tmp_path / "disk" / path.name).read_bytes() == path.read_bytes()
    (tmp_path / "disk" / one.name).unlink()
    os.mkfifo(tmp_path / "disk" / f"{one.name}.part")
    assert code_of(download.main, *arguments, "--output", tmp_path / "out") == 2
    assert ".jpg.part is a link, or no file: have that removed" in capfd.readouterr().err


#: Runs programs in one process, and tells their exit codes and errors.
_TRY = """
import contextlib, io, json, sys
from pipelines import build, doctor, download, verify
told = []
for name, arguments in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            code = {"build": build, "doctor": doctor, "download": download, "verify": verify}[
                name
            ].main(arguments)
        except SystemExit as error:
            code = error.code
    told.append((code, said.getvalue()))
print(json.dumps(told))
"""


def as_another_user(*commands: tuple[str, list[object]]) -> list[tuple[int, str]]:
    """Runs programs by one who has no more rights than a file's mode gives to its owner."""

    def drop() -> None:
        for capability in _CAPABILITIES:  # no effect for one who isn't root
            ctypes.CDLL(None).prctl(_DROP, capability, 0, 0, 0)

    texts = json.dumps([(name, [*map(str, arguments)]) for name, arguments in commands])
    done = subprocess.run(
        [sys.executable, "-c", _TRY, texts],
        preexec_fn=drop,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [tuple(each) for each in json.loads(done.stdout)]


def test_a_folder_that_can_not_be_read_is_an_error_in_a_line(tmp_path: Path):
    tables = write(tmp_path / "in", {"images.csv": IMAGES, "train-boxes.csv": BOXES})
    closed = {}
    for name in ("tables", "pictures", "masks", "version/versions/1/parquet"):
        write(tmp_path / name, {"below/deep/x.csv": BOXES, f"a/{IDS[0]}.jpg": b"a"})
        closed[name] = tmp_path / name / "below"
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/train-boxes.csv").symlink_to(closed["tables"] / "deep/x.csv")
    for path in closed.values():
        path.chmod(0)
    to_build = ("--format", "parquet", "--num_workers", 1, "--output", tmp_path / "out")
    to_build = (*to_build, "--annotations", tables)
    cases = [
        ("tables", "build", [*to_build, "--images", "none", "--annotations", tmp_path / "tables"]),
        (
            "tables",
            "build",
            [*to_build, "--images", "none", "--annotations", f"{tmp_path}/tables/**/*.csv"],
        ),
        (
            "tables",
            "build",
            [*to_build, "--images", "none", "--annotations", f"{tmp_path}/tables/*/deep/x.csv"],
        ),
        ("linked", "build", [*to_build, "--images", "none", "--annotations", tmp_path / "linked"]),
        ("pictures", "build", [*to_build, "--images", tmp_path / "pictures"]),
        ("masks", "build", [*to_build, "--images", "none", "--masks", tmp_path / "masks"]),
        ("pictures", "doctor", [*to_build, "--images", tmp_path / "pictures"]),
    ]
    try:
        told = as_another_user(*((name, arguments) for _, name, arguments in cases))
    finally:
        for path in closed.values():
            path.chmod(0o755)
    for (place, name, _), (code, said) in zip(cases, told, strict=True):
        lines = [line for line in said.splitlines() if "can't be read" in line]
        assert (len(lines), "Traceback" in said) == (1, False), said
        assert f"{tmp_path}/{place}/" in lines[0]
        assert "can't be read: Permission denied" in lines[0]
        assert code == (1 if name == "doctor" else 2)
    assert not (tmp_path / "out").exists()


def test_what_vanishes_while_a_folder_is_looked_through_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    names = ("tmp4f2a", "train-gone.csv", ".train-boxes.csv.Ab12Cd", "boxes.csv.part")
    folder = write(tmp_path, {"images.csv": IMAGES, "train-boxes.csv": BOXES})
    write(folder, dict.fromkeys(names, BOXES))
    scandir = os.scandir

    def lose(path: str) -> contextlib.nullcontext:
        listed = list(scandir(path))
        for name in names:
            (folder / name).unlink(missing_ok=True)
        return contextlib.nullcontext(listed)

    monkeypatch.setattr(os, "scandir", lose)
    sources, notices = find(folder)
    assert [Path(name).name for name in sources] == ["images.csv", "train-boxes.csv"]
    vanished = {Path(path).name for path, text in notices.items() if "vanished" in text}
    assert vanished == {"tmp4f2a", "train-gone.csv"}


def test_what_was_named_by_itself_and_vanishes_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = write(tmp_path, {"images.csv": IMAGES, "train-boxes.csv": BOXES})
    exists = os.path.exists

    def lose(path: str) -> bool:
        found = exists(path)
        if path == str(folder / "train-boxes.csv"):
            (folder / "train-boxes.csv").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(os.path, "exists", lose)
    with pytest.raises(UsageError, match=r"train-boxes\.csv.*(No such file|no such file)"):
        find(folder / "images.csv", folder / "train-boxes.csv")


@pytest.mark.timeout(120)
def test_versions_with_linked_deep_and_odd_files(
    corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    flags = ("--annotations", corpus / "annotations", "--images", "none", "--format", "parquet")
    done = run_build(*flags, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    version = done.version
    (tmp_path / "disk").mkdir()
    shutil.move(version.folder / "parquet", tmp_path / "disk/parquet")
    (version.folder / "parquet").symlink_to(tmp_path / "disk/parquet")
    assert verify.main([str(tmp_path / "out")]) == 0
    assert run_build(*flags, "--output", tmp_path / "out").stdout.startswith("unchanged: ")
    capfd.readouterr()
    shard = version.shards("train", "parquet")[0]
    data = shard.read_bytes()
    shard.unlink()
    os.mkfifo(shard)
    with dug(version.folder / "deep", "file"):
        assert verify.main([str(tmp_path / "out")]) == 1
    said = capfd.readouterr().out
    assert f"parquet/{shard.name}: is a pipe, not a file" in said
    assert "/d/file: is not in the manifest" in said
    shard.unlink()
    shard.write_bytes(data)
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "out/latest").unlink()
    (tmp_path / "out/README.md").unlink()
    with dug(version.folder / "deep", "file"):
        assert removal.remove(Output(str(tmp_path / "out")), version.folder.name, str(work))
    assert list(work.iterdir()) == []
    assert (tmp_path / "disk/parquet" / shard.name).exists()  # which links lead to, stays
    os.mkfifo(tmp_path / "out/latest")
    assert verify.main([str(tmp_path / "out")]) == 1
    assert "/latest names no version, for it is a pipe" in capfd.readouterr().err
    again = run_build(*flags, "--output", tmp_path / "out")
    assert again.returncode == 0, again.stderr
    latest_version(tmp_path / "out").assert_whole()
