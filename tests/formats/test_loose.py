"""Formats of loose files: checked, compared and removed as shards are, here and in a store."""

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from open_images.building import plan
from pipelines import verify, versions
from tests.builds import COMMAND, Build, Version, latest_version, run_build, survivors
from tests.changing import Corpus, edit_row
from tests.emulators import S3Server
from transforms import journal
from transforms.dataset.classes import ClassTable
from transforms.dataset.elements import BuiltPart
from transforms.formats.format import Content
from transforms.formats.part import DamagedPartError
from transforms.formats.registry import find_format
from transforms.formats.settings import DEFAULT_SETTINGS
from transforms.journal import FILES_OF, Journal
from transforms.kinds.registry import EXAMPLE
from transforms.releases.shards import plan_shards, seal_shard
from transforms.storage import files, objects
from transforms.storage.objects import StorageError
from transforms.storage.stores import ObjectOptions
from transforms.work_folder import WorkFolder

IMAGES = 30
FORM = "yolo"


@pytest.fixture(scope="module")
def inputs(make_corpus: Callable[[str, int], Path]) -> list[str]:
    corpus = make_corpus("v7", IMAGES)
    return [f"--{name}={corpus / name}" for name in ("annotations", "images")]


@pytest.fixture(scope="module")
def published(inputs: list[str], tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Not to be changed."""
    built = run_build(*inputs, "--output", tmp_path_factory.mktemp("loose"), "--format", FORM)
    assert built.returncode == 0, built.stderr
    return built


@pytest.fixture
def copy(published: Build, tmp_path: Path) -> Version:
    shutil.copytree(published.output, tmp_path / "copy")
    return latest_version(tmp_path / "copy")


@pytest.fixture
def check(capfd: pytest.CaptureFixture[str]) -> Callable[[Version], list[str]]:
    """Verifies a version in this process; what it prints."""

    def check(version: Version) -> list[str]:
        code = verify.main([str(version.folder.parents[1]), "--num_workers", "1"])
        lines = capfd.readouterr().out.splitlines()
        assert (code == 0) == (": whole; " in lines[-1]) == (len(lines) == 1)
        return lines

    return check


def loose_files(version: Version) -> list[Path]:
    """Pictures and labels, sorted."""
    folders = [version.folder / FORM / name for name in ("images", "labels")]
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())


def test_a_shard_is_a_list_for_sha256sum(published: Build):
    version = published.version
    listed = set()
    for split in version.manifest["splits"]:
        for shard in version.shards(split, FORM):
            lines = shard.read_text().splitlines()
            listed |= {line[66:] for line in lines if not line.startswith("#")}
            command = ["sha256sum", "--check", "--strict", "--quiet", str(shard)]
            done = subprocess.run(command, cwd=version.folder, capture_output=True, check=False)
            assert (done.returncode, done.stdout) == (0, b"")
    assert listed == {str(path.relative_to(version.folder)) for path in loose_files(version)}


def test_sizes_are_those_of_the_files(published: Build, check: Callable, capfd):
    version = published.version
    shards = [each for split in version.manifest["splits"].values() for each in split["shards"]]
    loose = sum(path.stat().st_size for path in loose_files(version))
    assert sum(each["loose_bytes"] for each in shards) == loose
    size = loose + sum(each["bytes"] for each in shards)
    assert f"({size / (1 << 20):,.1f} MiB)" in check(version)[0]
    rows = [line.split() for line in published.stdout.splitlines() if f" {FORM} " in line]
    assert sum(float(row[-1]) for row in rows) == pytest.approx(size / (1 << 20), abs=0.2)
    assert versions.main([str(published.output), "list", "--report", "json"]) == 0
    assert json.loads(capfd.readouterr().out)[0]["bytes"] == size


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (damage, "{path}: its SHA-256 is "),
        (Path.unlink, "{path}: is missing"),
        (
            lambda path: path.with_name("other").write_bytes(b""),
            "{folder}/other: is not in the manifest",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["images", "labels"])
def test_each_file_is_verified(
    copy: Version, check: Callable, kind: str, change: Callable, expected: str
):
    path = next(
        path for path in loose_files(copy) if path.is_relative_to(copy.folder / FORM / kind)
    )
    change(path)
    problem, last, _ = check(copy)
    name = path.relative_to(copy.folder)
    assert expected.format(path=name, folder=name.parent) in problem
    assert ": 1 problem; " in last


def test_what_readers_keep_is_no_stranger(copy: Version, check: Callable):
    (copy.folder / FORM / "labels" / "train.cache").write_bytes(b"of Ultralytics")
    picture = loose_files(copy)[0]
    picture.with_suffix(".npy").write_bytes(b"decoded")
    assert len(check(copy)) == 1


@pytest.mark.parametrize(
    "line", ["x", "# ", f"{'0' * 64}  /etc/passwd", f"{'0' * 64}  a/../../b", f"{'0' * 63}  a"]
)
def test_a_line_that_is_none_of_a_list(tmp_path: Path, line: str):
    path = tmp_path / "list"
    path.write_text(f"# {'0' * 16}\n{line}\n")
    form = find_format(FORM)
    if line == "# ":
        assert form.count(str(path)) == 2
        return
    with pytest.raises(ValueError, match="line 2 names no file with its SHA-256"):
        list(form.read(str(path)))


@pytest.fixture
def corpus(
    make_corpus: Callable[[str, int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Corpus:
    """A corpus of several buckets."""
    monkeypatch.setattr(plan, "_BUCKET_IMAGES", 4)
    return Corpus(make_corpus("v7", IMAGES), tmp_path, "--shard_size", "1MiB", "--format", FORM)


def test_versions_are_rolled_back_and_removed(
    corpus: Corpus, check: Callable, capfd: pytest.CaptureFixture[str]
):
    before = corpus.build().version
    edit_row(corpus, Random(0))
    # All of it is made anew: else two versions would share files that somebody may write to.
    assert corpus.build_again()["buckets"] == 0
    after = latest_version(corpus.output)
    output = str(corpus.output)
    assert versions.main([output, "diff", before.folder.name]) == 2
    assert "build with --format parquet too" in capfd.readouterr().err
    assert versions.main([output, "rollback", before.folder.name]) == 0
    assert latest_version(corpus.output).folder == before.folder
    capfd.readouterr()
    assert len(check(before)) == 1
    assert versions.main([output, "gc", "--keep", "0"]) == 0
    assert not after.folder.exists()
    capfd.readouterr()
    assert len(check(before)) == 1
    assert {path.name for path in (corpus.output / "versions").iterdir()} == {before.folder.name}


def test_pictures_are_taken_over_beside_a_format_of_rows(corpus: Corpus):
    """Their files are made anew."""
    corpus.flags += ("--format", f"{FORM},parquet")
    corpus.build()
    edit_row(corpus, Random(0))
    taken_over = corpus.build_again()
    assert taken_over["buckets"] == 0
    assert taken_over["pictures"] > 0


def test_two_workers_make_the_bytes_of_one(inputs: list[str], published: Build, tmp_path: Path):
    flags = ("--format", FORM, "--num_workers", "2", "--chunk_size", "4096")
    built = run_build(*inputs, "--output", tmp_path, *flags)
    assert built.returncode == 0, built.stderr
    assert built.version.digests() == published.version.digests()


def test_a_killed_build_goes_on_to_the_same_bytes(
    inputs: list[str], published: Build, tmp_path: Path
):
    flags = (*inputs, "--output", str(tmp_path), "--format", FORM, "--num_workers", "1")
    with subprocess.Popen([*COMMAND, *flags], start_new_session=True) as process:
        while not any(tmp_path.glob(".work/*/parts/*")):
            assert process.poll() is None, "it was over before it could be killed"
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert survivors(process.pid) == set()
    built = run_build(*flags)
    assert built.returncode == 0, built.stderr
    assert "going on from" in built.stdout
    assert built.version.digests() == published.version.digests()
    assert not (tmp_path / ".work").exists()


CLASSES = ClassTable([{"index": 1, "label": "/m/a", "name": "A"}])
BOX = {"label": "/m/a", "xmin": 0.0, "xmax": 0.5, "ymin": 0.0, "ymax": 0.5}
ROWS = 40
#: Bytes of a picture that has a file of its own beside its part.
LARGE = 20_000


def write_part(folder: Path, bucket: int, picture_bytes: int = 0) -> BuiltPart:
    """Writes a part of pictures of some bytes, or of a few."""
    rows = [
        {
            "image_id": f"{bucket:08x}{i:08x}",
            "split": "train",
            "image": {
                "bytes": f"picture {bucket} {i}".encode().ljust(picture_bytes),
                "path": "picture.jpg",
            },
            "bboxes": [BOX],
        }
        for i in range(ROWS)
    ]
    content = Content(EXAMPLE.names, classes=CLASSES)
    writer = find_format(FORM).open_part(str(folder / f"part-{bucket}"), content)
    writer.write(pa.Table.from_pylist(rows, EXAMPLE))
    return BuiltPart(FORM, "train", bucket, 0, **writer.close()._asdict())


@pytest.fixture
def store(s3_server: S3Server, store_options: ObjectOptions) -> tuple[str, ObjectOptions]:
    bucket = f"loose-{uuid.uuid4().hex}"
    s3_server.make_bucket(bucket)
    return f"s3://{bucket}/version", store_options


@pytest.mark.parametrize("size", [0, LARGE])
def test_files_go_to_a_store_side_by_side(
    store: tuple[str, ObjectOptions], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
):
    uri, options = store
    parts = [write_part(tmp_path, bucket, size) for bucket in range(2)]
    (planned,) = plan_shards(parts, 16 << 20)
    here = seal_shard(planned, str(tmp_path / "here"), DEFAULT_SETTINGS)
    lock, under_way, most = threading.Lock(), 0, 0
    upload = objects.upload

    def counted_upload(*arguments: object) -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        upload(*arguments)
        with lock:
            under_way -= 1

    monkeypatch.setattr(objects, "upload", counted_upload)
    there = seal_shard(planned, uri, DEFAULT_SETTINGS, options)
    assert there == here
    assert 1 < most <= options.max_concurrent
    assert under_way == 0
    found = {each.path.removeprefix(uri + "/"): each.path for each in files.walk(uri, options)}
    written = [path for path in (tmp_path / "here").rglob("*") if path.is_file()]
    assert len(written) == 2 * 2 * ROWS + 1
    for path in written:
        data = files.read_file(found.pop(str(path.relative_to(tmp_path / "here"))), options)
        assert hashlib.sha256(data).digest() == hashlib.sha256(path.read_bytes()).digest()
    assert found == {}


def files_of(part: BuiltPart) -> list[Path]:
    """The files beside a part."""
    return sorted(Path(part.path + FILES_OF).iterdir(), key=lambda path: int(path.name))


def test_large_files_are_written_once(tmp_path: Path):
    part = write_part(tmp_path, 0, LARGE)
    own = files_of(part)
    assert len(own) == ROWS
    assert part.bytes == Path(part.path).stat().st_size + ROWS * LARGE
    (planned,) = plan_shards([part], 16 << 20)
    shards = [seal_shard(planned, str(tmp_path / "version"), DEFAULT_SETTINGS) for _ in range(2)]
    assert shards[0] == shards[1]  # a worker that was killed after it had placed some
    pictures = sorted((tmp_path / "version").rglob("*.jpg"))
    assert {path.stat().st_ino for path in pictures} == {path.stat().st_ino for path in own}
    assert all(not path.name.count(".jpg.") for path in (tmp_path / "version").rglob("*"))


def test_large_files_are_copied_where_there_are_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (planned,) = plan_shards([write_part(tmp_path, 0, LARGE)], 16 << 20)
    linked = seal_shard(planned, str(tmp_path / "linked"), DEFAULT_SETTINGS)

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    assert seal_shard(planned, str(tmp_path / "copied"), DEFAULT_SETTINGS) == linked
    for path in (tmp_path / "linked").rglob("*"):
        if path.is_file():
            other = tmp_path / "copied" / path.relative_to(tmp_path / "linked")
            assert other.read_bytes() == path.read_bytes()
            assert other.stat().st_mode == path.stat().st_mode


@pytest.mark.parametrize("change", [damage, Path.unlink])
def test_a_large_file_that_is_not_as_it_was_written(tmp_path: Path, change: Callable):
    part = write_part(tmp_path, 0, LARGE)
    change(files_of(part)[7])
    (planned,) = plan_shards([part], 16 << 20)
    with pytest.raises((DamagedPartError, FileNotFoundError), match=r"part-0\.files/7"):
        seal_shard(planned, str(tmp_path / "version"), DEFAULT_SETTINGS)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The folder of a build that is under way."""
    folder = tmp_path / "work"
    for name in (journal.FOLDER, "parts", "progress"):
        (folder / name).mkdir(parents=True)
    return folder


def test_a_stopped_build_keeps_the_files_of_its_parts(work: Path):
    kept, lost = (write_part(work / "parts", bucket, LARGE) for bucket in range(2))
    list(Journal(WorkFolder(str(work))).save("bucket-0", [kept]))
    assert journal.clear_up(str(work), ["parts"]) == 1
    assert len(files_of(kept)) == ROWS
    assert files_of(lost) == []


@pytest.mark.parametrize("change", [damage, Path.unlink, lambda path: os.truncate(path, 0)])
def test_a_part_whose_files_are_not_whole_is_made_anew(work: Path, change: Callable):
    part = write_part(work / "parts", 0, LARGE)
    list(Journal(WorkFolder(str(work))).save("bucket-0", [part]))
    change(files_of(part)[7])
    assert journal.clear_up(str(work), ["parts"]) == 0
    assert [path for path in work.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("number", [0, 30, 2 * ROWS - 1])
def test_a_file_that_does_not_arrive_ends_the_shard(
    store: tuple[str, ObjectOptions], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
):
    uri, options = store
    (planned,) = plan_shards([write_part(tmp_path, 0)], 1 << 20)
    upload, uploads = objects.upload, iter(range(1000))

    def failing_upload(*arguments: object) -> None:
        if next(uploads) == number:
            raise StorageError("cut off")
        upload(*arguments)

    monkeypatch.setattr(objects, "upload", failing_upload)
    with pytest.raises(StorageError, match="cut off"):
        seal_shard(planned, uri, DEFAULT_SETTINGS, options)
    assert planned.parts
    lists = [each.path for each in files.walk(f"{uri}/{FORM}/files", options)]
    assert lists == []
