"""Listing, comparing, choosing and removing versions, on this machine and in object stores."""

import csv
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import verify, versions
from tests.builds import Build, Version, latest_version, run_build
from tests.emulators import GcsServer, S3Server
from tests.releases import spoiling
from tests.releases.conftest import IMAGES
from transforms.dataset.schema import MAP_COLUMNS
from transforms.formats.format import Content
from transforms.formats.tfrecord.writer import TFRecordWriter
from transforms.kinds.registry import EXAMPLE
from transforms.releases import heartbeat, latest, removal, workspace
from transforms.releases.manifest import VersionError, seal
from transforms.releases.output import Output
from transforms.storage import files, objects
from transforms.storage.stores import ObjectOptions

OTHER = "99991231T235959000-00000000"


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[str]]]:
    """Runs the program in this process; its exit code, and its lines on stdout and stderr."""

    def run(*arguments: object) -> tuple[int, list[str]]:
        try:
            code = versions.main([*map(str, arguments)])
        except SystemExit as error:
            code = error.code
        said = capfd.readouterr()
        return code, (said.out or said.err).splitlines()

    return run


@pytest.fixture
def both(copy: Version) -> tuple[Version, Version]:
    """A version and a copy of it, which isn't the latest."""
    folder = copy.folder.with_name(OTHER)
    shutil.copytree(copy.folder, folder)
    spoiling.edit_manifest(Version(folder), lambda manifest: manifest.update(version=OTHER))
    return copy, Version(folder)


def output_of(version: Version) -> Path:
    return version.folder.parents[1]


def test_list(both: tuple[Version, Version], run: Callable):
    output = output_of(both[0])
    run(output, "pin", OTHER)
    code, (header, first, second) = run(output, "list")
    assert code == 0
    assert header.split() == ["version", "built", "train", "validation", "test", "MiB"]
    assert first.split()[0] == both[0].folder.name
    assert first.split()[2:5] == ["24", "3", "3"]
    assert [first.split()[-1], second.split()[-1]] == ["latest", "pinned"]
    assert second.split()[:2] == [OTHER, "9999-12-31T23:59:59+00:00"]
    _, (line,) = run(output, "list", "--report", "json")
    listed = json.loads(line)
    shards = [s for split in both[0].manifest["splits"].values() for s in split["shards"]]
    assert [each["bytes"] for each in listed] == [sum(shard["bytes"] for shard in shards)] * 2
    assert [each["marks"] for each in listed] == [["latest"], ["pinned"]]
    (both[1].folder / "manifest.json").write_text("{")
    _, lines = run(output, "list")
    assert lines[2].endswith("pinned, damaged")


def test_show(published: Build, run: Callable):
    code, lines = run(published.output, "show")
    assert code == 0
    assert lines[0].startswith(f"{published.version.folder.name}, built 20")
    text = "\n".join(lines)
    assert "  --shard_size 524288\n" in text
    assert re.search(r"^train +parquet +24 ", text, re.MULTILINE)
    assert re.search(r"^train-images-boxable-with-rotation.csv +24 ", text, re.MULTILINE)
    _, (line,) = run(published.output, "show", published.version.folder.name, "--report", "json")
    assert json.loads(line) == published.version.manifest


def read_table(path: Path) -> dict[str, dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return {row["ImageID"]: row for row in csv.DictReader(file)}


def write_table(path: Path, rows: dict[str, dict[str, str]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, next(iter(rows.values())))
        writer.writeheader()
        writer.writerows(rows.values())


@pytest.fixture(scope="module")
def corrected(
    published: Build,
    make_corpus: Callable[[str, int], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, str]]:
    """An output with a second version, of a corpus that was corrected, and the images concerned."""
    folder = tmp_path_factory.mktemp("corrected")
    corpus, output = folder / "corpus", folder / "output"
    shutil.copytree(make_corpus("v7", IMAGES), corpus)
    shutil.copytree(published.output, output)
    by_split = published.version.table.group_by("split").aggregate([("image_id", "list")])
    ids = dict(zip(*(column.to_pylist() for column in by_split.columns), strict=True))
    found = dict(zip(("gone", "boxed", "new"), ids["train"][:3], strict=True))
    found["moved"], found["pictured"] = ids["test"][0], ids["validation"][0]
    tables = corpus / "annotations"
    train = tables / "train-images-boxable-with-rotation.csv"
    test = tables / "test-images-with-rotation.csv"
    rows, others = read_table(train), read_table(test)
    rows[found["moved"]] = others.pop(found["moved"]) | {"Subset": "train"}
    del rows[found["gone"]]
    picture = corpus / "images" / "train" / f"{found['new']}.jpg"
    found["new"] = "00000000deadbeef"
    shutil.copy(picture, picture.with_name(f"{found['new']}.jpg"))
    rows[found["new"]] = rows[picture.stem] | {"ImageID": found["new"]}
    write_table(train, rows)
    write_table(test, others)
    moved_picture = corpus / "images" / "test" / f"{found['moved']}.jpg"
    moved_picture.rename(picture.with_name(moved_picture.name))
    boxes = tables / "oidv6-train-annotations-bbox.csv"
    header = boxes.read_text().splitlines()[0].split(",")
    box = dict.fromkeys(header, "0") | {
        "ImageID": found["boxed"],
        "Source": "xclick",
        "LabelName": "/m/01g317",
        "Confidence": "1",
        "XMax": "1",
        "YMax": "1",
    }
    with open(boxes, "a") as file:
        file.write(",".join(box.values()) + "\n")
    target = corpus / "images" / "validation" / f"{found['pictured']}.jpg"
    shutil.copy(picture, target)
    inputs = (f"--{name}={corpus / name}" for name in ("annotations", "images", "masks"))
    built = run_build(*inputs, "--output", output, "--max_failure_rate", "1")
    assert built.returncode == 0, built.stderr
    return output, found


@pytest.mark.parametrize("num_workers", [1, 2])
def test_diff(
    published: Build, corrected: tuple[Path, dict[str, str]], run: Callable, num_workers: int
):
    output, found = corrected
    before, after = published.version, latest_version(output)
    command = (output, "diff", before.folder.name, "--report", "json")
    code, lines = run(*command, "--images", "--num_workers", num_workers)
    assert code == 0
    *images, last = map(json.loads, lines)
    summary = json.loads(lines[-1])
    assert (last["before"], last["after"]) == (before.folder.name, after.folder.name)
    told = {image["image_id"]: image for image in images}
    assert len(told) == len(images)
    assert_as_by_values(told, before, after)
    assert told[found["new"]]["change"] == "appeared"
    assert told[found["gone"]] == {
        "change": "vanished",
        "split": "train",
        "image_id": found["gone"],
        "columns": [],
    }
    assert told[found["boxed"]]["columns"] == ["bboxes"]
    assert "split" in told[found["moved"]]["columns"]
    assert {"image", "width"} & {*told[found["pictured"]]["columns"]} >= {"image"}
    for kind in ("appeared", "vanished", "changed"):
        for split, counts in summary["splits"].items():
            its = [i for i in images if (i["change"], i["split"]) == (kind, split)]
            assert counts[kind] == len(its), (kind, split)
    total = sum(c["appeared"] + c["changed"] + c["unchanged"] for c in summary["splits"].values())
    assert total == len(after.table)
    assert summary["sources"]["boxes"]["train"] >= 1
    assert summary["columns"]["image"] == {"validation": 1}
    assert summary["sources"]["pictures"]["validation"] == 1
    assert "boxes oidv6-train-annotations-bbox.csv" in summary["files"]
    assert summary["config"]["shard_size"] == [512 << 10, 256 << 20]


def assert_as_by_values(told: dict[str, dict], before: Version, after: Version) -> None:
    """Asserts what the rows themselves say when they are compared value for value."""
    for image_id in before.examples.keys() | after.examples.keys():
        was, now = before.examples.get(image_id), after.examples.get(image_id)
        if was and now:
            # NaN isn't equal to itself, and its text is.
            columns = {name for name in now if repr(was[name]) != repr(now[name])}
            assert set(told.get(image_id, {"columns": []})["columns"]) == columns, image_id
        else:
            assert told[image_id]["change"] == ("appeared" if now else "vanished")


def test_diff_in_words(published: Build, corrected: tuple[Path, dict[str, str]], run: Callable):
    output, found = corrected
    code, lines = run(output, "diff", published.version.folder.name, "--images")
    assert code == 0
    assert f"changed train {found['boxed']} bboxes" in lines
    assert f"vanished train {found['gone']}" in lines
    at = lines.index(next(line for line in lines if line.startswith("split ")))
    assert lines[at].split() == ["split", "appeared", "vanished", "changed", "unchanged"]
    assert "oidv6-train-annotations-bbox.csv" in "\n".join(lines)
    code, lines = run(output, "diff", published.version.folder.name, published.version.folder.name)
    assert (code, lines[1].split()) == (0, ["train", "0", "0", "0", "24"])


def test_the_diff_of_tfrecords_is_that_of_parquet(
    published: Build, corrected: tuple[Path, dict[str, str]], tmp_path: Path, run: Callable
):
    output, _ = corrected
    shutil.copytree(output, tmp_path / "copy")
    name = published.version.folder.name

    def drop_parquet(manifest: dict) -> None:
        for account in manifest["splits"].values():
            account["shards"] = [s for s in account["shards"] if s["format"] == "tfrecord"]
        del manifest["schemas"]["parquet"]

    command = ("diff", name, "--images", "--report", "json", "--num_workers", 1)
    _, expected = run(output, *command)
    for version in (name, latest_version(output).folder.name):  # first one side, then both
        spoiling.edit_manifest(Version(tmp_path / "copy" / "versions" / version), drop_parquet)
        _, lines = run(tmp_path / "copy", *command)
        assert sorted(lines[:-1]) == sorted(expected[:-1])
        assert json.loads(lines[-1])["splits"] == json.loads(expected[-1])["splits"]


@pytest.mark.parametrize("form", ["parquet", "tfrecord"])
def test_diff_with_a_version_that_lacks_columns(
    both: tuple[Version, Version], run: Callable, form: str
):
    """One that was built when boxes had another type, too."""
    after, before = both

    def as_before(table: pa.Table) -> pa.Table:
        boxes = table["bboxes"].combine_chunks()
        fields = [*boxes.values.type, pa.field("gender_presentation", pa.string())]
        arrays = [*boxes.values.flatten(), pa.nulls(len(boxes.values), pa.string())]
        values = pa.StructArray.from_arrays(arrays, fields=fields)
        boxes = pa.ListArray.from_arrays(boxes.offsets, values)
        place = table.schema.get_field_index("bboxes")
        table = table.set_column(place, "bboxes", boxes)
        return table.drop_columns(["person_boxes", "published_rotation"])

    for split in before.manifest["splits"]:
        shards = before.shards(split, "parquet")
        table = as_before(pa.concat_tables(pq.read_table(path) for path in shards))
        path = before.shards(split, form)[0]
        if form == "parquet":
            pq.write_table(table, path)
        else:
            names = [name for name in table.column_names if name not in MAP_COLUMNS]
            writer = TFRecordWriter(str(path), Content(names))
            writer.write(table)
            writer.close()

    def forget(manifest: dict) -> None:
        for account in manifest["splits"].values():
            shards = [shard for shard in account["shards"] if shard["format"] == form]
            account["shards"] = [shards[0] | {"sha256": ""}]
        manifest["schemas"] = {form: manifest["schemas"][form]}

    spoiling.edit_manifest(before, forget)
    command = ("diff", OTHER, "--images", "--report", "json", "--num_workers", 1)
    code, lines = run(output_of(after), *command)
    assert code == 0, lines
    told = {image["image_id"]: image["columns"] for image in map(json.loads, lines[:-1])}
    for image_id, row in after.examples.items():
        wanted = {
            "bboxes": True,
            "person_boxes": bool(row["person_boxes"]),
            "published_rotation": row["published_rotation"] is not None,
        }
        assert told.get(image_id, []) == [name for name in EXAMPLE.names if wanted.get(name)], (
            image_id
        )


def test_diff_of_a_damaged_version(both: tuple[Version, Version], run: Callable):
    (both[1].shards("train", "parquet")[0]).write_bytes(b"none")
    spoiling.edit_manifest(
        both[1],
        lambda manifest: [
            shard.update(sha256="") for shard in manifest["splits"]["train"]["shards"]
        ],
    )
    code, (line,) = run(output_of(both[0]), "diff", OTHER, "--num_workers", 1)
    assert code == 1
    assert re.search(r"train-00000-of-\d+.parquet can't be read: .*pipelines.verify", line)
    pipe = both[1].shards("train", "parquet")[0]
    pipe.unlink()
    os.mkfifo(pipe)
    code, (line,) = run(output_of(both[0]), "diff", OTHER, "--num_workers", 1)
    assert code == 1
    assert re.search(r"can't be read: it is no file: see .*pipelines.verify", line)


def test_rollback(both: tuple[Version, Version], run: Callable):
    output = output_of(both[0])
    assert run(output, "rollback", OTHER) == (0, [f"{OTHER} is the latest now"])
    assert latest_version(output) == both[1]
    assert run(output, "rollback", OTHER) == (0, [f"{OTHER} is the latest already"])
    both[0].shards("test", "tfrecord")[0].unlink()
    code, (line,) = run(output, "rollback", both[0].folder.name)
    assert (code, "isn't whole (tfrecord/" in line) == (2, True)
    assert latest_version(output) == both[1]
    assert sorted(os.listdir(output)) == ["README.md", "latest", "versions"]


def test_gc_leaves_the_newest_the_latest_and_what_is_pinned(
    published: Build, tmp_path: Path, run: Callable
):
    output = tmp_path / "output"
    names = [f"2026010{day}T000000000-00000000" for day in range(1, 8)]
    for name in names:
        shutil.copytree(published.version.folder, output / "versions" / name)
    (output / "latest").write_text(f"{names[1]}\n")
    assert run(output, "pin", names[3]) == (0, [f"{names[3]} is pinned: gc leaves it alone"])
    code, lines = run(output, "gc", "--keep", 2, "--dry_run")
    assert (code, lines) == (0, [f"would remove {names[day]}" for day in (0, 2, 4)])
    assert sorted(os.listdir(output / "versions")) == names
    code, lines = run(output, "gc", "--keep", 2)
    assert (code, lines) == (
        0,
        [*(f"removed {names[day]}" for day in (0, 2, 4)), "4 versions left"],
    )
    assert sorted(os.listdir(output / "versions")) == [names[day] for day in (1, 3, 5, 6)]
    assert run(output, "unpin", names[3])[0] == 0
    assert run(output, "gc", "--keep", 0)[1][-1] == "1 version left"
    assert os.listdir(output / "versions") == [names[1]]
    assert sorted(os.listdir(output)) == ["README.md", "latest", "versions"]


def test_pins_are_no_foreign_files_to_a_build(published: Build, tmp_path: Path, run: Callable):
    output = tmp_path / "output"
    shutil.copytree(published.output, output)
    run(output, "pin", published.version.folder.name)
    with workspace.workspace(str(output)):
        pass
    assert Output(str(output)).pinned() == {published.version.folder.name}


DEAD_BUILD = """
import os, sys
from transforms.releases import lease, workspace
from transforms.storage import files
output = sys.argv[1]
with lease.hold(output, 0, files.DEFAULTS, print), workspace.workspace(output) as (work, _):
    open(os.path.join(work, "parts", "part"), "w").close()
    os._exit(9)
"""


def test_gc_clears_up_after_dead_builds_alone(copy: Version, run: Callable):
    output = output_of(copy)
    with workspace.workspace(str(output)) as (living, _):
        command = [sys.executable, "-c", DEAD_BUILD, str(output)]
        assert subprocess.run(command).returncode == 9
        (dead,) = {*(output / ".work").glob("*.lock")} - {Path(f"{living}.lock")}
        left = [dead.with_suffix(""), output / ".work" / "lease"]
        told = [f"{path}, left by a dead build" for path in left]
        dry = run(output, "gc", "--keep", 1, "--dry_run")
        assert dry == (0, [f"would remove {line}" for line in told])
        assert dead.exists()
        assert left[1].exists()
        done = run(output, "gc", "--keep", 1)
        assert done == (0, [*(f"removed {line}" for line in told), "1 version left"])
        assert sorted(os.listdir(output / ".work")) == sorted(
            [Path(living).name, f"{Path(living).name}.lock"]
        )
        assert os.listdir(living)
    assert sorted(os.listdir(output)) == ["README.md", "latest", "versions"]


def test_what_becomes_wanted_meanwhile_is_kept(
    both: tuple[Version, Version], monkeypatch: pytest.MonkeyPatch, run: Callable
):
    """Readers are led to a version after gc chose to remove it, or it is pinned."""
    output = Output(str(output_of(both[0])))
    name = both[0].folder.name
    latest.roll_back(output, OTHER, str(output_of(both[0])))
    for want in (
        lambda: latest.pin(output, name),
        lambda: latest.roll_back(output, name, output.path),
    ):
        monkeypatch.setattr(removal, "old_versions", lambda *_, want=want: [want() or name])
        code, lines = run(output.path, "gc", "--keep", 1)
        assert (code, lines) == (0, [f"kept {name}, which is wanted by now", "2 versions left"])
        both[0].assert_whole()
        latest.unpin(output, name)


def test_what_is_hidden_meanwhile_is_not_rolled_back_to(
    both: tuple[Version, Version], monkeypatch: pytest.MonkeyPatch
):
    output = Output(str(output_of(both[0])))
    write_file = files.write_file

    def hide_and_write(*arguments: object) -> None:
        if both[1].folder.exists():
            both[1].folder.rename(output_of(both[0]) / "hidden")
        write_file(*arguments)

    monkeypatch.setattr(files, "write_file", hide_and_write)
    with pytest.raises(VersionError, match="is being removed"):
        latest.roll_back(output, OTHER, output.path)
    assert output.latest() == both[0].folder.name


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["{}/none", "list"], "nothing is published there"),
        (["{}", "show", "none"], "has no version none"),
        (["{}", "diff", "none"], "has no version none"),
        (["{}", "rollback", "none"], "has no version none"),
        (["{}", "pin", "none"], "has no version none"),
        (["{}", "unpin", "none"], "version none isn't pinned"),
        (["{}/none", "gc", "--keep", "1"], "there is no such folder"),
        (["{}", "gc", "--keep", "-1"], "argument --keep: '-1' is not a number"),
        (["{}", "gc"], "required: --keep"),
        (["{}", "gc", "--keep", "1", "--work_folder", "/tmp"], "--work_folder /tmp: only for"),
        (["{}"], "required: COMMAND"),
        (["{}", "remove"], "invalid choice: 'remove'"),
    ],
)
def test_wrong_use_is_one_line(published: Build, run: Callable, flags: list[str], expected: str):
    code, (line,) = run(*(flag.format(published.output) for flag in flags))
    assert code == 2
    assert line.startswith("python -m pipelines.versions")
    assert expected in line


@pytest.fixture(params=["s3", "gs"])
def store(
    request: pytest.FixtureRequest,
    published: Build,
    store_options: ObjectOptions,
    s3_server: S3Server,
    gcs_server: GcsServer,
    tmp_path: Path,
) -> Output:
    """An output in an object store with two versions, `OTHER` not the latest."""
    server: S3Server | GcsServer = s3_server if request.param == "s3" else gcs_server
    bucket = f"versions-{uuid.uuid4().hex}"
    server.make_bucket(bucket)
    version = published.version.folder
    for path in filter(Path.is_file, sorted(version.rglob("*"))):
        for name in (version.name, OTHER):
            key = f"output/versions/{name}/{path.relative_to(version)}"
            data = path.read_bytes()
            if path.name == "manifest.json":
                manifest = json.loads(data.replace(version.name.encode(), name.encode()))
                del manifest["sha256"]
                data = seal(manifest)
            server.put(bucket, key, data)
    server.put(bucket, "output/latest", f"{version.name}\n".encode())
    return Output(f"{request.param}://{bucket}/output", store_options)


def test_in_object_stores(
    store: Output, published: Build, run: Callable, capfd: pytest.CaptureFixture[str]
):
    name = published.version.folder.name
    endpoint = ("--s3_endpoint_url", store.options.s3_endpoint_url)

    def check(*flags: str) -> tuple[int, list[str]]:
        code = verify.main([store.path, *endpoint, "--num_workers", "1", *flags])
        return code, capfd.readouterr().out.splitlines()

    code, lines = check("--sample", "all")
    assert (code, f"{name}: whole; {IMAGES} examples" in lines[0]) == (0, True), lines
    assert run(store.path, "diff", OTHER, *endpoint)[1][1].split() == ["train", *"000", "24"]
    assert run(store.path, "rollback", OTHER, *endpoint) == (0, [f"{OTHER} is the latest now"])
    assert run(store.path, "pin", name, *endpoint)[0] == 0
    _, listed = run(store.path, "list", *endpoint)
    assert [line.split()[-1] for line in listed[1:]] == ["pinned", "latest"]
    assert run(store.path, "gc", "--keep", 0, *endpoint) == (0, ["2 versions left"])
    assert run(store.path, "unpin", name, *endpoint)[0] == 0

    # A bit of the latest, in the store.
    shard = published.version.manifest["splits"]["test"]["shards"][0]["path"]
    uri = f"{store.folder(OTHER)}/{shard}"
    data = bytearray(files.read_file(uri, store.options))
    data[len(data) // 2] ^= 1
    objects.upload(uri, bytes(data), store.options)
    code, lines = check()
    assert (code, f"{shard}: its SHA-256 is" in lines[0]) == (1, True), lines

    # What dead builds left: a folder with an old lease, and shards that never got a manifest.
    dead = f"{store.path}/.work/dead/part"
    unpublished = f"{store.path}/versions/unpublished/part"
    for uri in (dead, unpublished):
        objects.upload(uri, b"left", store.options)
    code, lines = run(store.path, "gc", "--keep", 0, "--dry_run", *endpoint)
    told = [os.path.dirname(uri) for uri in (dead, unpublished)]
    assert code == 0
    assert lines == [
        *(f"would remove {folder}, left by a dead build" for folder in told),
        f"would remove {name}",
    ]
    assert store.published() == [name, OTHER]
    with heartbeat.work_folder(f"{store.path}", store.options):
        # Which has cleared away both; another build that lives has begun to publish.
        objects.upload(unpublished, b"being written", store.options)
        code, lines = run(store.path, "gc", "--keep", 0, *endpoint)
        assert (code, lines) == (0, [f"removed {name}", "1 version left"])
        assert files.read_file(unpublished, store.options) == b"being written"
    assert store.published() == [OTHER]
    assert objects.children(f"{store.path}/versions", store.options) == [f"{OTHER}/"]


def test_removal_in_a_store_hides_first(store: Output, monkeypatch: pytest.MonkeyPatch):
    """Cut off after any request, no version is listed of which something is gone."""
    name, _ = store.published()
    latest.roll_back(store, OTHER, "")
    whole = set(files.list_files(store.folder(name), store.options))

    def fail(*_: object) -> None:
        raise objects.StorageError("cut off")

    monkeypatch.setattr(files, "delete_folder", fail)
    with pytest.raises(objects.StorageError):
        removal.remove(store, name, "")
    assert store.published() == [OTHER]
    left = set(files.list_files(store.folder(name), store.options))
    assert whole - left == {f"{store.folder(name)}/manifest.json"}
    monkeypatch.undo()


def test_dates_of_versions(both: tuple[Version, Version]):
    output = Output(str(output_of(both[0])))
    assert output.date(OTHER).year == 9999
    named = both[1].folder.rename(both[1].folder.with_name("by-hand"))
    now = datetime.datetime.now(datetime.UTC)
    assert abs(output.date(named.name) - now) < datetime.timedelta(days=1)
