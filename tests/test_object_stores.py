"""Builds whose inputs and output are in object stores equal those on this machine, byte by byte."""

import dataclasses
import io
import json
import subprocess
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import obstore
import pyarrow.parquet as pq
import pytest

from open_images.building import plan
from pipelines.cli import build_flags
from tests.builds import COMMAND, Build, latest_version, run_build
from tests.emulators import GcsServer, S3Server
from tests.releases.test_publish import ROWS, commit, write_part
from transforms.releases import heartbeat
from transforms.releases.shards import plan_shards, seal_shard
from transforms.storage import files, objects
from transforms.storage.objects import StorageError
from transforms.storage.stores import ObjectOptions

IMAGES = 20
CORPUS, OUTPUTS = "corpus", "outputs"


@dataclasses.dataclass(frozen=True)
class Store:
    """A store with the corpus in it."""

    scheme: str
    server: S3Server | GcsServer

    @property
    def flags(self) -> tuple[str, ...]:
        return ("--s3_endpoint_url", self.server.url) if self.scheme == "s3" else ()

    @property
    def options(self) -> ObjectOptions:
        return ObjectOptions(s3_endpoint_url=self.server.url if self.scheme == "s3" else None)

    def uri(self, path: str, bucket: str = CORPUS) -> str:
        return f"{self.scheme}://{bucket}/{path}"

    def put_folder(self, folder: Path, prefix: str) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                key = f"{prefix}/{path.relative_to(folder)}"
                self.server.put(CORPUS, key, path.read_bytes())

    def read(self, uri: str) -> dict[str, bytes]:
        """All objects below a prefix."""
        found = list(files.walk(uri, self.options))
        return {
            entry.path.removeprefix(f"{uri}/"): files.read_file(entry.path, self.options)
            for entry in found
        }

    def latest(self, output: str) -> str:
        """The folder of the version that readers of an output see."""
        name = files.read_file(f"{output}/latest", self.options).decode().strip()
        return f"{output}/versions/{name}"

    def download(self, output: str, folder: Path) -> Path:
        """Copies what readers see into a folder."""
        version = self.latest(output)
        for name, data in self.read(version).items():
            path = folder / "versions" / Path(version).name / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (folder / "latest").write_text(Path(version).name + "\n")
        return folder


@pytest.fixture(scope="module")
def corpus(make_corpus: Callable[[str, int], Path]) -> Path:
    return make_corpus("v7", IMAGES)


@pytest.fixture(scope="module")
def archived(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures: those of train in a tar, of validation in a deflated zip, of test in a
    tar.gz."""
    folder = tmp_path_factory.mktemp("archived")
    for split, mode in (("train", "w"), ("test", "w:gz")):
        name = folder / f"{split}.tar{'.gz' if mode == 'w:gz' else ''}"
        with tarfile.open(name, mode) as tar:
            tar.add(corpus / "images" / split, split)
    with zipfile.ZipFile(folder / "validation.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((corpus / "images/validation").iterdir()):
            archive.write(path, path.name)
    return folder


@pytest.fixture(scope="module")
def unpacked_masks(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("masks")
    for path in sorted((corpus / "masks").rglob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def filled(
    corpus: Path,
    archived: Path,
    unpacked_masks: Path,
    s3_server: S3Server,
    gcs_server: GcsServer,
) -> dict[str, Store]:
    stores = {"s3": Store("s3", s3_server), "gs": Store("gs", gcs_server)}
    for store in stores.values():
        store.server.make_bucket(CORPUS)
        store.server.make_bucket(OUTPUTS)
        store.put_folder(corpus, "oid")
        store.put_folder(archived, "archives")
        store.put_folder(unpacked_masks, "loose/masks")
    return stores


@pytest.fixture(params=["s3", "gs"])
def store(
    request: pytest.FixtureRequest,
    filled: dict[str, Store],
    gcs_server: GcsServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Store:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server.url)
    return filled[request.param]


@pytest.fixture(scope="module")
def local(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The same build on this machine."""
    inputs = (f"--{name}={corpus / name}" for name in ("annotations", "images", "masks"))
    built = run_build(*inputs, "--output", tmp_path_factory.mktemp("local"))
    assert built.returncode == 0, built.stderr
    return built


def assert_same(store: Store, output: str, local: Build, tmp_path: Path) -> None:
    """Asserts that an output holds what a build on this machine has published, and no more."""
    assert sorted(objects.children(output, store.options)) == ["README.md", "latest", "versions/"]
    version = latest_version(store.download(output, tmp_path / "downloaded"))
    version.assert_whole()
    names = {
        str(path.relative_to(folder)): path
        for folder in (version.folder, local.version.folder)
        for path in folder.rglob("*")
        if path.is_file()
    }
    # They name sources.
    differing = {"manifest.json", "croissant.json", "failures/failures-00000-of-00001.parquet"}
    for name in sorted(names):
        here, there = local.version.folder / name, version.folder / name
        if name.startswith("lineage/"):  # which knows pictures by their sources, shards by ETags
            assert there.exists() == here.exists()
        elif name not in differing:
            assert there.read_bytes() == here.read_bytes(), name
    assert version.manifest["splits"] == local.version.manifest["splits"]
    assert version.manifest["failures"] == local.version.manifest["failures"]
    for ours, theirs in zip(version.failures, local.version.failures, strict=True):
        assert ours["reason"] == theirs["reason"]


def build(store: Store, output: str, *flags: object, **changes: str) -> Build:
    given = {
        "annotations": store.uri("oid/annotations"),
        "images": store.uri("oid/images"),
        "masks": store.uri("oid/masks"),
    } | changes
    inputs = [text for name, value in given.items() for text in (f"--{name}", value)]
    return run_build(*inputs, *store.flags, "--output", output, *flags)


def test_pictures_by_name_and_masks_in_zips(store: Store, local: Build, tmp_path: Path):
    output = store.uri("by-name", OUTPUTS)
    built = build(store, output)
    assert built.returncode == 0, built.stderr
    assert f"published {output}/versions/" in built.stdout
    assert_same(store, output, local, tmp_path)


def test_archives_without_any_shared_folder(store: Store, local: Build, tmp_path: Path):
    """Two processes that have nothing in common but the store, as on Dataflow."""
    output = store.uri("a/b c/engine/", OUTPUTS)
    archives = [("--images", store.uri(f"archives/{name}")) for name in ("*.zip", "test.tar.gz")]
    built = build(
        store,
        output,
        *(text for pair in archives for text in pair),
        *("--exchange", "engine", "--num_workers", "2"),
        annotations=store.uri("oid/ann*/**/*"),
        images=store.uri("archives/train.tar"),
        masks=store.uri("loose"),
    )
    assert built.returncode == 0, built.stderr
    assert_same(store, output.rstrip("/"), local, tmp_path)


@pytest.fixture
def labels(store: Store) -> str:
    """The URI of a small table of annotations."""
    rows = (f"{i:016x},machine,/m/01,1\n" for i in range(ROWS))
    data = "ImageID,Source,LabelName,Confidence\n" + "".join(rows)
    store.server.put(CORPUS, "small/train-labels.csv", data.encode())
    return store.uri("small")


def build_labels(store: Store, labels: str, output: str, *flags: object) -> Build:
    inputs = ("--annotations", labels, "--images", "none")
    return run_build(*inputs, *store.flags, "--output", output, *flags)


def test_a_work_folder_is_used_and_left_empty(store: Store, labels: str, tmp_path: Path):
    output = store.uri("work-folder", OUTPUTS)
    flags = ("--work_folder", tmp_path / "work", "--exchange", "engine")
    built = build_labels(store, labels, output, *flags)
    assert (built.returncode, built.stderr) == (0, "")
    assert [*(tmp_path / "work").iterdir()] == []
    assert sorted(objects.children(output, store.options)) == ["README.md", "latest", "versions/"]


def test_a_store_that_takes_no_more_leaves_the_version_before(
    store: Store, labels: str, monkeypatch: pytest.MonkeyPatch
):
    output = store.uri("failing", OUTPUTS)
    assert build_labels(store, labels, output).returncode == 0
    before = store.latest(output)
    whole = store.read(before)
    assert build_labels(store, labels, output).stdout.startswith(f"unchanged: {before} ")
    upload = objects.upload

    def fail(uri: str, content: bytes | Path, settings: ObjectOptions) -> None:
        if "tfrecord/" in uri:
            raise StorageError(f"{uri}: HTTP 507")
        upload(uri, content, settings)

    monkeypatch.setattr(objects, "upload", fail)
    built = build_labels(store, labels, output, "--exchange", "engine", "--rebuild")
    assert built.returncode == 1
    (line,) = built.stderr.splitlines()
    assert "HTTP 507" in line
    assert "nothing was published" in line
    assert store.latest(output) == before
    assert store.read(before) == whole
    # The shards of the other format, which were uploaded, are gone.
    assert objects.children(f"{output}/versions", store.options) == [f"{Path(before).name}/"]


def test_too_many_failures_publish_nothing(store: Store, labels: str):
    output = store.uri("too-many", OUTPUTS)
    flags = ("--images", store.uri("oid/images"), "--exchange", "engine")
    inputs = ("--annotations", labels, *flags)
    built = run_build(*inputs, *store.flags, "--output", output)
    assert built.returncode == 1
    assert "--max_failure_rate" in built.stderr
    assert objects.children(output, store.options) == []


def commit_to_store(store: Store, labels: str, output: str, work: str, name: str = "") -> None:
    """Seals and commits a version of a few examples, whose parts are in the store."""
    given = ["--annotations", labels, "--images", "none", "--output", output, *store.flags]
    config = plan.make_plan(build_flags.parse(given)[0], work)
    config = dataclasses.replace(config, version=f"{config.version}{name}")
    shards = []
    with tempfile.TemporaryDirectory() as folder:
        for form in ("parquet", "tfrecord"):
            for bucket in (0, 1):
                part = write_part(Path(folder), form, bucket)
                uri = f"{config.work.parts}/{form}{bucket}"
                objects.upload(uri, Path(part.path), store.options)
                shards.append(part._replace(path=uri))
    plans = plan_shards(shards, 1 << 20)
    sealed = [
        seal_shard(each, config.version_folder, config.settings, store.options) for each in plans
    ]
    commit(config, sealed)


def fail_at_upload(patch: pytest.MonkeyPatch, number: int) -> None:
    """Lets the number-th upload fail, and all after it."""
    uploads = iter(range(1000))
    put = obstore.put

    def guarded(*arguments: Any, **settings: Any) -> Any:
        if next(uploads) >= number:
            raise obstore.exceptions.GenericError("cut off")
        return put(*arguments, **settings)

    patch.setattr(obstore, "put", guarded)


def test_a_commit_that_is_cut_off_anywhere_leaves_the_version_before(
    store: Store, labels: str, monkeypatch: pytest.MonkeyPatch
):
    output = store.uri("cut-off", OUTPUTS)
    commit_to_store(store, labels, output, f"{output}/.work/first")
    before = store.latest(output)
    for number in range(50):
        with monkeypatch.context() as patch:
            fail_at_upload(patch, number)
            try:
                commit_to_store(store, labels, output, f"{output}/.work/then", f"-{number}")
            except StorageError as error:
                assert "cut off" in str(error)
                assert store.latest(output) == before
            else:
                break
    assert number > 8
    now = store.latest(output)
    assert now.endswith(f"-{number}")
    for version in {now, before}:
        stored = store.read(version)
        document = json.loads(stored["manifest.json"])
        for shard in document["splits"]["train"]["shards"]:
            assert len(stored[shard["path"]]) == shard["bytes"]
        parquet = stored["parquet/train-00000-of-00001.parquet"]
        assert len(pq.read_table(io.BytesIO(parquet))) == 2 * ROWS


def test_a_shard_that_has_gone_is_not_published(store: Store, labels: str):
    output = store.uri("gone", OUTPUTS)
    given = ["--annotations", labels, "--images", "none", "--output", output, *store.flags]
    config = plan.make_plan(build_flags.parse(given)[0], f"{output}/.work/it")
    shards = []
    with tempfile.TemporaryDirectory() as folder:
        parts = [write_part(Path(folder), form, 0) for form in ("parquet", "tfrecord")]
        for each in plan_shards(parts, 1 << 20):
            shards.append(seal_shard(each, config.version_folder, config.settings, store.options))
    objects.delete_below(f"{config.version_folder}/parquet", store.options)
    with pytest.raises(StorageError, match="has gone"):
        commit(config, shards)
    assert files.expand(f"{output}/latest", store.options) == []
    assert files.expand(f"{config.version_folder}/manifest.json", store.options) == []


LEFT = (".work/dead/lease", ".work/dead/parts/x", "versions/half/parquet/x")


@pytest.mark.parametrize("lives", [True, False], ids=["a live build's", "a dead build's"])
def test_what_another_build_has_written(
    store: Store, labels: str, monkeypatch: pytest.MonkeyPatch, lives: bool
):
    output = store.uri(f"leftovers-{lives}", OUTPUTS)
    for key in (*LEFT, "versions/whole/manifest.json"):
        objects.upload(f"{output}/{key}", b"{}", store.options)
    if not lives:
        monkeypatch.setattr(heartbeat, "EXPIRY_SECONDS", -2.0)  # its clock tells whole seconds
    built = build_labels(store, labels, output)
    assert built.returncode == 0, built.stderr
    found = store.read(output)
    assert "versions/whole/manifest.json" in found
    assert [key in found for key in LEFT] == [lives] * len(LEFT)
    assert len({name.split("/")[1] for name in found if name.startswith("versions/")}) == 2 + lives


def test_a_lease_is_renewed(store: Store, monkeypatch: pytest.MonkeyPatch):
    renewed = []
    monkeypatch.setattr(heartbeat, "RENEWAL_SECONDS", 0.01)
    output = store.uri("renewed", OUTPUTS)
    upload = objects.upload

    def note(uri: str, content: bytes, settings: ObjectOptions) -> None:
        upload(uri, content, settings)
        renewed.append(uri)

    monkeypatch.setattr(objects, "upload", note)
    with heartbeat.work_folder(output, store.options) as work:
        while len(renewed) < 4:
            threading.Event().wait(0.01)
    assert set(renewed) == {f"{work}/lease"}
    assert objects.children(output, store.options) == []


#: Flags in place of those of a sound build, and what the line must hold.
MISTAKES: dict[str, tuple[dict[str, str], list[str]]] = {
    "no such bucket": (
        {"annotations": "{scheme}://absent/oid"},
        ["--annotations {scheme}://absent/oid", "there is no bucket {scheme}://absent"],
    ),
    "no such folder": ({"annotations": "{corpus}/none"}, ["/none", "no such file or folder"]),
    "a glob that matches nothing": (
        {"annotations": "{corpus}/oid/*.none"},
        ["*.none", "no such file or folder"],
    ),
    "an unknown header": ({"annotations": "{corpus}/bad/fruit.csv"}, ["fruit.csv", "KIND=PATH"]),
    "an empty file": ({"annotations": "{corpus}/bad/empty.csv"}, ["empty.csv is empty"]),
    "no URI": ({"annotations": "{scheme}:///x"}, ["{scheme}:///x is not of the form"]),
    "a key that is none": ({"annotations": "{corpus}/a//b"}, ["a//b", "empty path segment"]),
    "another scheme": ({"annotations": "ftp://x/y"}, ["ftp://x/y", "s3://… or gs://…"]),
    "no pictures": ({"images": "{corpus}/none"}, ["--images", "/none", "check the path"]),
    "no archive": ({"images": "{corpus}/none.tar"}, ["--images", "none.tar", "no such file"]),
    "no bucket of pictures": ({"images": "{scheme}://absent/x"}, ["--images", "no bucket"]),
    "text for a zip": ({"images": "{corpus}/bad/text.zip"}, ["text.zip", "neither a folder"]),
    "a tar that is called a zip": (
        {"images": "zip={corpus}/archives/train.tar"},
        ["it is a tar, not a zip"],
    ),
    "no masks": ({"masks": "{corpus}/none"}, ["--masks", "/none", "check the path"]),
    "no bucket to write to": (
        {"output": "{scheme}://absent/x"},
        ["--output {scheme}://absent/x", "there is no bucket"],
    ),
    "an output that holds other files": (
        {"output": "{corpus}/oid"},
        ["--output", "other files (annotations)", "name an empty folder"],
    ),
    "a work folder that can't be": (
        {"work_folder": "/proc/none"},
        ["--work_folder /proc/none can't be written"],
    ),
    "a work folder for a local output": (
        {"output": "{tmp}/out", "work_folder": "{tmp}/work"},
        ["--work_folder", "only for an --output in an object store"],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_in_one_line(store: Store, labels: str, tmp_path: Path, name: str):
    store.server.put(CORPUS, "bad/fruit.csv", b"apples,pears\n1,2\n")
    store.server.put(CORPUS, "bad/empty.csv", b"")
    store.server.put(CORPUS, "bad/text.zip", b"no zip")
    changes, wanted = MISTAKES[name]
    output = store.uri("mistakes", OUTPUTS)
    places = {"scheme": store.scheme, "corpus": f"{store.scheme}://{CORPUS}", "tmp": tmp_path}
    given = {"annotations": labels, "images": "none", "output": output}
    given |= {flag: value.format(**places) for flag, value in changes.items()}
    flags = (f"--{flag}={value}" for flag, value in given.items())
    built = run_build(*flags, *store.flags, "--output", given["output"])
    assert (built.returncode, built.stdout) == (2, "")
    (line,) = built.stderr.splitlines()
    assert line.startswith("python -m pipelines.build: error: ")
    for part in wanted:
        assert part.format(**places) in line
    assert objects.children(output, store.options) == []


@pytest.fixture(params=["annotations", "images", "output"])
def flag(request: pytest.FixtureRequest) -> str:
    return request.param


def fail_with(store: Store, flag: str, tmp_path: Path) -> str:
    """The line of a build one of whose inputs, or whose output, can't be had."""
    (tmp_path / "train-labels.csv").write_text(
        "ImageID,Source,LabelName,Confidence\n000000000000000a,machine,/m/01,1\n"
    )
    given = {"annotations": tmp_path, "images": "none", "output": tmp_path / "out"}
    given[flag] = store.uri("private/x", "another")
    flags = (text for name, value in given.items() for text in (f"--{name}", value))
    built = run_build(*flags, *store.flags)
    assert built.returncode == 2
    (line,) = built.stderr.splitlines()
    assert f"--{flag} {given[flag]}" in line
    return line


def test_an_endpoint_where_nobody_is(
    store: Store, flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    url = "http://127.0.0.1:9"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
    nowhere = dataclasses.replace(store, server=S3Server(url))
    line = fail_with(nowhere, flag, tmp_path)
    assert f"no connection: check {url if store.scheme == 's3' else 'the network'}" in line


@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_killed_while_it_writes(store: Store, labels: str, monkeypatch: pytest.MonkeyPatch):
    output = store.uri("killed", OUTPUTS)
    assert build_labels(store, labels, output).returncode == 0
    before = store.latest(output)
    whole = store.read(before)
    inputs = ("--annotations", store.uri("oid/annotations"), "--images", store.uri("oid/images"))
    flags = ("--exchange", "engine", "--num_workers", "1", "--output", output, *store.flags)
    with subprocess.Popen([*COMMAND, *inputs, *flags], stderr=subprocess.PIPE, text=True) as killed:
        while not any("/parts/" in path for path in files.list_files(output, store.options)):
            assert killed.poll() is None, killed.stderr.read()
        killed.kill()
    assert store.latest(output) == before
    assert store.read(before) == whole
    monkeypatch.setattr(heartbeat, "EXPIRY_SECONDS", -2.0)
    assert build_labels(store, labels, output, "--rebuild").returncode == 0
    assert sorted(objects.children(output, store.options)) == ["README.md", "latest", "versions/"]
    assert len(objects.children(f"{output}/versions", store.options)) == 2
    assert store.read(before) == whole


def test_an_object_that_is_replaced_while_it_is_read_fails_the_build(
    store: Store, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    names = ("train-images-boxable-with-rotation.csv", "oidv6-train-annotations-bbox.csv")
    for name in names:
        data = (corpus / "annotations" / name).read_bytes()
        store.server.put(CORPUS, f"replaced/{name}", data)
    table = store.uri(f"replaced/{names[1]}")
    header, *rows = data.splitlines(keepends=True)
    asked = []

    def replace(uri: str, *wanted: Any) -> bytes:
        asked.append(uri)
        if asked.count(table) == 3:
            store.server.put(CORPUS, f"replaced/{names[1]}", b"".join([header, *rows[::-1]]))
        return objects.read_range(uri, *wanted)

    monkeypatch.setattr("transforms.storage.streams.read_range", replace)
    built = run_build(
        *("--annotations", store.uri("replaced"), "--images", "none", "--chunk_size", "1024"),
        *("--format", "parquet", "--output", tmp_path / "out", *store.flags),
    )
    assert built.returncode == 1
    (line,) = built.stderr.splitlines()
    assert f"error: {table} changed while it was read: start again" in line
    assert not (tmp_path / "out/latest").exists()
    assert asked.count(table) >= 3


def test_a_rebuild_takes_over_what_has_not_changed(
    store: Store, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # The work is done in the store alone, or in a local folder.
    flags = ("--exchange", "engine") if store.scheme == "s3" else ()
    monkeypatch.setattr(plan, "_BUCKET_IMAGES", 3)  # some buckets
    folder = f"changing-{len(flags)}"
    store.put_folder(corpus / "annotations", f"{folder}/annotations")
    store.put_folder(corpus / "images", f"{folder}/images")
    inputs = {
        "annotations": store.uri(f"{folder}/annotations"),
        "images": f"folder={store.uri(f'{folder}/images')}",
    }
    flags = (*flags, "--shard_size", "1MiB", "--report", "json")
    flags = (*flags, "--format", "parquet,tfrecord,webdataset,mds")
    output = store.uri(folder, OUTPUTS)
    built = build(store, output, *flags, **inputs)
    assert built.returncode == 0, built.stderr
    assert json.loads(built.stdout)["taken_over"] == {"buckets": 0, "pictures": 0}
    original = store.read(store.latest(output))

    table = next((corpus / "annotations").glob("*train-annotations-bbox.csv"))
    header, _, *rows = table.read_text().splitlines(keepends=True)
    store.server.put(
        CORPUS, f"{folder}/annotations/{table.name}", "".join([header, *rows]).encode()
    )
    replaced, other = sorted((corpus / "images" / "train").iterdir())[:2]
    key = f"{folder}/images/train/{replaced.name}"
    store.server.put(CORPUS, key, other.read_bytes())
    copies = []
    copy = objects.copy
    monkeypatch.setattr(objects, "copy", lambda *given: copies.append(given) or copy(*given))
    built = build(store, output, *flags, **inputs)
    assert built.returncode == 0, built.stderr
    taken = json.loads(built.stdout)["taken_over"]
    assert taken["buckets"] > 0
    assert taken["pictures"] == IMAGES - 1
    assert len(copies) > 0

    whole = store.uri(f"{folder}-whole", OUTPUTS)
    assert build(store, whole, *flags, **inputs).returncode == 0
    versions = [store.read(store.latest(each)) for each in (output, whole)]
    assert versions[0].keys() == versions[1].keys()
    # Which have ETags, or the version's name.
    differing = {"manifest.json", "croissant.json", "lineage/parts.parquet"}
    for name in versions[0].keys() - differing:
        assert versions[0][name] == versions[1][name], name

    # A shard that isn't what it was is not taken over; the inputs are what they were.
    objects.upload(f"{inputs['annotations']}/{table.name}", table.read_bytes(), store.options)
    picture = store.uri(f"{folder}/images/train/{replaced.name}")
    objects.upload(picture, replaced.read_bytes(), store.options)
    shard = next(name for name in versions[0] if name.endswith(".parquet") and "train" in name)
    damaged = versions[0][shard][:-1] + b"?"
    objects.upload(f"{store.latest(output)}/{shard}", damaged, store.options)
    built = build(store, output, *flags, **inputs)
    assert built.returncode == 0, built.stderr
    again = store.read(store.latest(output))
    assert again.keys() == original.keys()
    for name in original:
        assert again[name] == original[name] or name.startswith(
            ("manifest", "croissant", "lineage")
        ), name


def test_a_selection_in_a_store(store: Store, corpus: Path, tmp_path: Path):
    """A file, and a list of images that it names; then the version repeats itself."""
    image_ids = sorted(path.stem for path in (corpus / "images" / "train").iterdir())[:5]
    listed = "".join(f"train/{image_id}\n" for image_id in image_ids)
    store.server.put(CORPUS, "selections/ids.txt", listed.encode())
    selection = b'image_ids = "ids.txt"\nlabel_types = ["boxes"]\nclasses_from = "boxable"\n'
    store.server.put(CORPUS, "selections/some.toml", selection)
    output = store.uri("selected", OUTPUTS)
    flags = ("--images", "none", "--format", "parquet", *store.flags, "--output", output)
    inputs = ("--annotations", store.uri("oid/annotations"), *flags)
    built = run_build(*inputs, "--selection", store.uri("selections/some.toml"))
    assert built.returncode == 0, built.stderr
    version = latest_version(store.download(output, tmp_path / "downloaded"))
    assert sorted(version.examples) == image_ids
    again = run_build(*inputs, "--selection", f"{store.latest(output)}/manifest.json")
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("unchanged: ")
    absent = run_build(*inputs, "--selection", store.uri("selections/none.toml"))
    assert absent.returncode == 2
    assert "selections/none.toml" in absent.stderr
    assert len(absent.stderr.splitlines()) == 1, absent.stderr
