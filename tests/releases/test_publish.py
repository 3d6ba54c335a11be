"""Publishing: what was damaged is refused, a retry changes nothing, `latest` comes last."""

import dataclasses
import hashlib
import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from open_images.building import plan
from pipelines.cli import build_flags
from tests.builds import Version, latest_version, run_build
from transforms.dataset.elements import BucketCount, BuiltPart, Shard
from transforms.formats.format import Content
from transforms.formats.part import DamagedPartError
from transforms.formats.registry import DEFAULT, FORMATS, find_format
from transforms.formats.settings import DEFAULT_SETTINGS
from transforms.kinds.registry import EXAMPLE, example_columns
from transforms.releases import publish, workspace
from transforms.releases.outcome import Outcome
from transforms.releases.publication import Publication
from transforms.releases.shards import ShardPlan, plan_shards, seal_shard

ROWS = 20


def write_part(folder: Path, form: str, bucket: int, *, is_shared: bool = False) -> BuiltPart:
    """A part of some examples, or of files that they share, as a bucket writes it."""
    picture = {"bytes": b"\xff\xd8\xff", "path": "a.jpg"}
    rows = [
        {"image_id": f"{bucket:08x}{i:08x}", "split": "train", "image": picture}
        for i in range(ROWS)
    ]
    examples = pa.Table.from_pylist(rows, EXAMPLE)
    path = str(folder / f"{form}-{bucket}")
    kind = find_format(form).shared if is_shared else find_format(form)
    writer = kind.open_part(path, Content(example_columns()))
    writer.write(examples)
    return BuiltPart(form, "train", bucket, 0, **writer.close()._asdict())


def flip(path: Path | str, at: int) -> None:
    """Flips a bit of a byte of a file, in place."""
    with open(path, "r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("form", FORMATS)
def test_sound_parts_become_a_shard(tmp_path: Path, form: str, parts: int):
    built = [write_part(tmp_path, form, bucket) for bucket in range(parts)]
    plans = list(plan_shards(reversed(built), 1 << 20))
    assert plans == [ShardPlan(form, "train", 0, 1, tuple(built))]
    shard = seal_shard(plans[0], str(tmp_path / "version"), DEFAULT_SETTINGS)
    data = (tmp_path / "version" / shard.path).read_bytes()
    assert (shard.num_examples, shard.bytes) == (ROWS * parts, len(data))
    assert shard.sha256 == hashlib.sha256(data).hexdigest()
    # A retry, or a second attempt at the same time, ends in the same.
    assert seal_shard(plans[0], str(tmp_path / "version"), DEFAULT_SETTINGS) == shard
    assert [path.name for path in (tmp_path / "version" / shard.path).parent.iterdir()] == [
        Path(shard.path).name
    ]


@pytest.mark.parametrize(
    ("sizes", "shards"),
    [
        ([99, 99, 99], [[99, 99, 99]]),  # small ones are put together
        ([100, 99, 99], [[100], [99, 99]]),  # an eighth is a shard by itself
        ([99, 100, 99], [[99], [100], [99]]),  # and parts keep their order
        ([1600, 50, 1600], [[1600], [50], [1600]]),
        ([90] * 12, [[90] * 11, [90]]),  # small ones up to a quarter above the target
        ([799] * 2, [[799], [799]]),
    ],
)
@pytest.mark.parametrize("form", FORMATS)
def test_which_parts_make_a_shard(form: str, sizes: list[int], shards: list[list[int]]):
    parts = [
        BuiltPart(form, "train", bucket, 0, f"part{bucket}", 1, size, "")
        for bucket, size in enumerate(sizes)
    ]
    plans = list(plan_shards(reversed(parts), 800))
    assert [[part.bytes for part in each.parts] for each in plans] == shards
    assert [part for each in plans for part in each.parts] == parts
    assert [(each.index, each.shards) for each in plans] == [
        (index, len(shards)) for index in range(len(shards))
    ]


def test_shared_files_make_the_last_shard_of_a_split():
    parts = [
        BuiltPart("coco", split, bucket, 0, f"{split}-{bucket}-{examples}", examples, 800, "")
        for split in ("test", "train")
        for bucket in range(2)
        for examples in (0, 9)
    ]
    plans = list(plan_shards(parts, 800))
    assert [(each.split, each.index, each.shards) for each in plans] == [
        (split, index, 3) for split in ("test", "train") for index in range(3)
    ]
    assert [[part.path for part in each.parts] for each in plans[:3]] == [
        ["test-0-9"],
        ["test-1-9"],
        ["test-0-0", "test-1-0"],
    ]


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize(
    ("form", "is_shared"),
    [*((form, False) for form in FORMATS), ("coco", True), ("openimages", True)],
)
@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 1.0])
def test_a_part_with_a_flipped_bit_is_refused(
    tmp_path: Path, form: str, is_shared: bool, parts: int, place: float
):
    built = [write_part(tmp_path, form, bucket, is_shared=is_shared) for bucket in range(parts)]
    damaged = built[-1]
    flip(damaged.path, int(place * (damaged.bytes - 1)))
    with pytest.raises(DamagedPartError, match=damaged.path):
        seal_shard(
            ShardPlan(form, "train", 0, 1, tuple(built)),
            str(tmp_path / "version"),
            DEFAULT_SETTINGS,
        )
    assert [path for path in (tmp_path / "version").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("form", FORMATS)
def test_a_part_cut_short_is_refused(tmp_path: Path, form: str):
    part = write_part(tmp_path, form, 0)
    os.truncate(part.path, part.bytes - 1)
    with pytest.raises(DamagedPartError):
        seal_shard(
            ShardPlan(form, "train", 0, 1, (part,)), str(tmp_path / "version"), DEFAULT_SETTINGS
        )


@pytest.mark.parametrize("form", FORMATS)
def test_a_part_of_fewer_examples_than_reported_is_refused(tmp_path: Path, form: str):
    part = write_part(tmp_path, form, 0)._replace(num_examples=ROWS + 1)
    with pytest.raises(DamagedPartError, match="number of examples"):
        seal_shard(
            ShardPlan(form, "train", 0, 1, (part,)), str(tmp_path / "version"), DEFAULT_SETTINGS
        )
    left = {path for path in (tmp_path / "version").rglob("*") if path.is_file()}
    if find_format(form).has_loose_files:  # without their list they are nothing
        shard = find_format(form).shard_path(DEFAULT_SETTINGS, "train", 0, 1)
        left &= {tmp_path / "version" / shard}
    assert not left


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    path = tmp_path / "train-labels.csv"
    rows = (f"{i:016x},machine,/m/01,1\n" for i in range(ROWS))
    path.write_text("ImageID,Source,LabelName,Confidence\n" + "".join(rows))
    return path


@pytest.fixture
def build_to_commit(inputs: Path, tmp_path: Path) -> Callable[[Path], tuple[Publication, list]]:
    """Makes a build whose shards are sealed and not yet published."""

    def make(work: Path, name: str = "it") -> tuple[Publication, list[Shard]]:
        arguments = ["--annotations", inputs, "--images", "none", "--output", tmp_path / "out"]
        flags, _ = build_flags.parse([str(argument) for argument in arguments])
        config = dataclasses.replace(plan.make_plan(flags, str(work)), version=name)
        parts = [write_part(Path(config.work.parts), form, 0) for form in DEFAULT]
        plans = plan_shards(parts, 1 << 20)
        return config, [seal_shard(p, config.version_folder, config.settings) for p in plans]

    return make


def commit(config: Publication, shards: list[Shard], failed: int = 0) -> Outcome:
    counts = [BucketCount(0, ROWS + failed, failed, rows=(), orphans=())]
    return publish.commit(config, shards, [], counts, [], [b"[]"], [frozenset({"/m/01"})])


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_commit_may_come_again(build_to_commit: Callable, tmp_path: Path):
    output = tmp_path / "out"
    with workspace.workspace(str(output), fingerprint="") as (work, _):
        config, shards = build_to_commit(Path(work))
        outcome = commit(config, shards)
        published = files_below(output / "versions") | files_below(output / "latest")
        assert commit(config, shards) == outcome
        # The first attempt may have been killed between its two renames.
        (output / "latest").unlink()
        assert commit(config, shards) == outcome
    assert files_below(output / "versions") | files_below(output / "latest") == published
    version = latest_version(output)
    version.assert_whole()
    assert outcome.version == version.folder.name
    assert version.manifest["splits"]["train"]["num_examples"] == ROWS
    assert json.loads((version.folder / "classes.json").read_text())[0]["label"] == "/m/01"


def fail_at_call(patch: pytest.MonkeyPatch, number: int) -> None:
    """Lets the number-th call that changes the disk fail, and all after it."""
    calls = itertools.count()

    def guard(function: Callable) -> Callable:
        def guarded(*arguments: Any, **options: Any) -> Any:
            if next(calls) >= number:
                raise OSError("cut off")
            return function(*arguments, **options)

        return guarded

    for name in ("makedirs", "rename", "replace", "fsync"):
        patch.setattr(os, name, guard(getattr(os, name)))


def test_a_commit_that_is_cut_off_anywhere_leaves_the_version_before(
    build_to_commit: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    output = tmp_path / "out"
    with workspace.workspace(str(output), fingerprint="") as (work, _):
        commit(*build_to_commit(Path(work)))
    before = latest_version(output).folder
    for number in range(100):
        with workspace.workspace(str(output), fingerprint="") as (work, _):
            config, shards = build_to_commit(Path(work), f"attempt-{number}")
            with monkeypatch.context() as patch:
                fail_at_call(patch, number)
                try:
                    commit(config, shards)
                except OSError as error:
                    assert str(error) == "cut off"
                    succeeded = False
                else:
                    succeeded = True
        now = latest_version(output)
        now.assert_whole()
        assert sorted(path.name for path in output.iterdir()) == ["README.md", "latest", "versions"]
        for folder in (output / "versions").iterdir():
            Version(folder).assert_whole()
        if now.folder != before:
            break
    assert now.folder.name == config.version
    assert number > 8
    # Only the call after the last rename, which makes it safe from a power cut, may fail in vain.
    assert not succeeded


def test_shards_are_on_the_disk_when_their_bundle_is_done(
    build_to_commit: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    parts_folder = tmp_path / "work" / "parts"
    parts_folder.mkdir(parents=True)
    config, _ = build_to_commit(tmp_path / "work")
    parts = [write_part(parts_folder, form, n) for form in FORMATS for n in range(3)]
    plans = list(plan_shards(parts, 1))
    flushed: list[int] = []
    fsync = os.fsync

    def note(file: int) -> None:
        fsync(file)
        flushed.append(os.fstat(file).st_ino)

    monkeypatch.setattr(os, "fsync", note)
    sealing = publish.SealShardFn(config)
    for _ in range(2):
        flushed.clear()
        sealing.start_bundle()
        shards = [shard for each in plans for shard in sealing.process(each)]
        inodes = [Path(config.version_folder, each.path).stat().st_ino for each in shards]
        large = [
            inode
            for inode, shard in zip(inodes, shards, strict=True)
            if not find_format(shard.format).has_loose_files
        ]
        assert set(flushed).issuperset(large[:-1])
        sealing.finish_bundle()
        assert flushed == inodes


def test_too_many_failures_commit_nothing(build_to_commit: Callable, tmp_path: Path):
    output = tmp_path / "out"
    with workspace.workspace(str(output), fingerprint="") as (work, _):
        config, shards = build_to_commit(Path(work))
        assert commit(config, shards, failed=1).version is None
        assert commit(config, []).version is None
        assert sorted(path.name for path in output.iterdir()) == [".work"]


def test_a_part_damaged_during_a_build_fails_it(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    output = tmp_path / "out"
    flags = ["--annotations", inputs, "--images", "none", "--output", output]
    assert run_build(*flags).returncode == 0
    before: Version = latest_version(output)

    def damage_and_seal(shard_plan: ShardPlan, *arguments: str) -> Shard:
        flip(shard_plan.parts[0].path, shard_plan.parts[0].bytes // 2)
        return seal_shard(shard_plan, *arguments)

    monkeypatch.setattr(publish, "seal_shard", damage_and_seal)
    built = run_build(*flags, "--rebuild")
    assert built.returncode == 1
    (line,) = built.stderr.splitlines()
    assert "not read back as it was written" in line
    assert "--output" in line
    assert latest_version(output).folder == before.folder
    before.assert_whole()
    assert sorted(path.name for path in output.iterdir()) == ["README.md", "latest", "versions"]
