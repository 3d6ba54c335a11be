"""Files and objects behave alike: reading, seeking, writing, listing, globs."""

import io
import os
import random
import re
from contextlib import closing
from pathlib import Path

import pytest

from tests.emulators import GcsServer, S3Server
from transforms.dataset.elements import Source
from transforms.sources.members import Address, MemberReader
from transforms.storage import files, objects, streams
from transforms.storage.objects import AbsentError, StorageError
from transforms.storage.stamps import ChangedError, number_of
from transforms.storage.stores import ObjectOptions

BUCKET = "storage"
DATA = random.Random(1).randbytes(100_000)
NAMES = ("a/one.csv", "a/b/two.csv", "a/b/c/three.csv.gz", "a/x[1].csv", "ab/four.csv", "five.csv")


@pytest.fixture(scope="module")
def servers(s3_server: S3Server, gcs_server: GcsServer) -> dict[str, S3Server | GcsServer]:
    servers = {"s3": s3_server, "gs": gcs_server}
    for server in servers.values():
        server.make_bucket(BUCKET)
        for name in NAMES:
            server.put(BUCKET, f"tree/{name}", name.encode())
        server.put(BUCKET, "data", DATA)
    return servers


@pytest.fixture
def options(servers: dict, store_options: ObjectOptions) -> ObjectOptions:
    """How the servers are reached that hold these."""
    return store_options


@pytest.fixture(params=["s3", "gs", "local"])
def root(request: pytest.FixtureRequest, tmp_path: Path, options: ObjectOptions) -> str:
    """Where the tree of `NAMES` is, a path or a URI."""
    if request.param != "local":
        return f"{request.param}://{BUCKET}/tree"
    for name in NAMES:
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return str(tmp_path / "tree")


@pytest.fixture(params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest) -> str:
    return f"{request.param}://{BUCKET}"


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("a/one.csv", ["a/one.csv"]),
        ("a", ["a"]),
        ("a/*.csv", ["a/one.csv", "a/x[1].csv"]),
        ("a/?ne.csv", ["a/one.csv"]),
        ("a/[!x]*.csv", ["a/one.csv"]),
        ("*/*.csv", ["a/one.csv", "a/x[1].csv", "ab/four.csv"]),
        ("a/**/*.csv*", ["a/b/c/three.csv.gz", "a/b/two.csv", "a/one.csv", "a/x[1].csv"]),
        ("a/x[1].csv", ["a/x[1].csv"]),
        ("none", []),
        ("a/*.none", []),
        ("o", []),
    ],
)
def test_a_pattern_means_the_same_everywhere(
    root: str, options: ObjectOptions, pattern: str, wanted: list[str]
):
    found = files.expand(f"{root}/{pattern}", options)
    assert [path.removeprefix(f"{root}/") for path, _ in found] == wanted
    assert [is_folder for _, is_folder in found] == [name == "a" for name in wanted]


def test_a_folder_is_listed_with_all_below_it(root: str, options: ObjectOptions):
    assert files.list_files(f"{root}/a", options) == [
        f"{root}/{name}" for name in sorted(NAMES) if name.startswith("a/")
    ]
    assert files.is_folder(f"{root}/a", options)
    assert not files.is_folder(f"{root}/a/one.csv", options)
    assert files.expand(f"{root}/a/one", options) == []


def test_a_status_changes_with_the_content(root: str, options: ObjectOptions):
    path = f"{root}/five.csv"
    before = files.status_of(path, options)
    assert before.size == len("five.csv")
    assert files.status_of(path, options) == before
    files.write_file(path, b"other", os.path.dirname(root), options)
    assert files.status_of(path, options).version != before.version
    assert files.read_file(path, options) == b"other"
    files.write_file(path, b"five.csv", os.path.dirname(root), options)


def test_seeking_and_reading_as_in_a_file(
    bucket: str, options: ObjectOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(streams, "REQUEST_BYTES", 10_000)  # several requests for a long read
    (tmp_path / "data").write_bytes(DATA)
    chance = random.Random(2)
    with (
        open(tmp_path / "data", "rb") as file,
        files.open_file(f"{bucket}/data", options, buffer_size=3000) as stored,
    ):
        assert stored.read() == DATA
        for _ in range(60):
            whence = chance.choice((os.SEEK_SET, os.SEEK_END, os.SEEK_CUR))
            low, high = {0: (0, 120_000), 1: (0, 5000), 2: (-100_000, 10)}[whence]
            offset, size = chance.randint(low, high), chance.choice((0, 1, 500, 5000, 50_000))
            assert stored.seek(offset, whence) == file.seek(offset, whence)
            assert stored.read(size) == file.read(size)
            assert stored.tell() == file.tell()
        for opened in (file, stored):
            with pytest.raises(OSError, match=r"nvalid|negative"):
                opened.seek(-1)


@pytest.mark.parametrize("size", [0, 10, 20 << 20])
def test_what_is_written_appears_whole_at_the_end(bucket: str, options: ObjectOptions, size: int):
    uri = f"{bucket}/written-{size}"
    data = random.Random(size).randbytes(size)
    with files.create_file(uri, options) as file:
        for at in range(0, size, 3 << 20):
            file.write(memoryview(data)[at : at + (3 << 20)])
        assert files.expand(uri, options) == []
    assert files.read_file(uri, options) == data


def test_what_is_broken_off_leaves_nothing(bucket: str, options: ObjectOptions):
    uri = f"{bucket}/broken-off"

    def break_off() -> None:
        with files.create_file(uri, options) as file:
            file.write(bytes(20 << 20))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert files.expand(uri, options) == []


def test_a_prefix_is_deleted_and_not_its_neighbours(bucket: str, options: ObjectOptions):
    names = [*(f"delete/me/{i:03}" for i in range(250)), "delete/me-not/0", "delete/other"]
    for name in names:
        objects.upload(f"{bucket}/{name}", b"", options)
    objects.delete_below(f"{bucket}/delete/me", options, page=100)
    assert [
        path.partition("delete/")[2] for path in files.list_files(f"{bucket}/delete", options)
    ] == [
        "me-not/0",
        "other",
    ]
    objects.delete_below(f"{bucket}/delete/me", options, page=100)
    assert objects.children(f"{bucket}/delete", options) == ["me-not/", "other"]


@pytest.mark.parametrize("change", ["written anew", "cut", "gone"])
def test_a_planned_object_must_stay_as_it_is(bucket: str, options: ObjectOptions, change: str):
    uri = f"{bucket}/planned"
    objects.upload(uri, DATA, options)
    found = files.status_of(uri, options)
    number = number_of(found.stamp)

    def opened() -> io.BufferedReader:
        return files.open_file(uri, options, 1000, stamp=found.stamp)

    with opened() as file:
        assert file.read(10) == DATA[:10]
        file.seek(50_000)
        assert file.read(10) == DATA[50_000:50_010]
        match change:
            case "written anew":
                objects.upload(uri, DATA[::-1], options)
            case "cut":
                objects.upload(uri, DATA[:100], options)
            case "gone":
                objects.delete(uri, options)
        file.seek(90_000)
        with pytest.raises(ChangedError, match=f"^{uri} changed while it was read: start again"):
            file.read(10)
    with pytest.raises(ChangedError, match=uri):
        opened()
    with pytest.raises(ChangedError, match=uri):
        objects.read_range(uri, 0, 10, options, number)
    archive = Source(0, "pictures", uri, 0, medium="tar", stamp=found.stamp)
    with closing(MemberReader(options=options, sources=[archive])) as reader:
        reader.expect([Address(uri, 0, 10), Address(uri, 10, 10)])
        with pytest.raises(ChangedError, match=uri):
            reader.read(Address(uri, 10, 10))
    with closing(MemberReader(options=options)) as reader, pytest.raises(ChangedError, match=uri):
        reader.read(Address(uri, 0, 10, stamp=number))


def test_what_is_absent_is_told(bucket: str, options: ObjectOptions):
    with pytest.raises(AbsentError, match=r"none: no such object: check the path"):
        files.open_file(f"{bucket}/none", options)
    with pytest.raises(AbsentError, match=r"there is no bucket .*absent: check its name"):
        files.list_files(bucket.replace(BUCKET, "absent"), options)
    with pytest.raises(StorageError, match="empty path segment"):
        files.open_file(f"{bucket}/a//b", options)


@pytest.mark.parametrize("uri", ["s3://", "gs:///x", "http://bucket/x", "bucket/x"])
def test_other_uris_are_refused(uri: str):
    with pytest.raises(StorageError, match=f"{re.escape(uri)} is not of the form"):
        objects.split_uri(uri)


@pytest.mark.parametrize(
    ("uri", "normal"),
    [("s3://b", "s3://b"), ("gs://b/", "gs://b"), ("s3://b/x/y/", "s3://b/x/y")],
)
def test_uris_are_made_alike(uri: str, normal: str):
    assert objects.normal(uri) == normal
