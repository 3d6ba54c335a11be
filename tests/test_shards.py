"""How many shards a split has: enough for the workers of a data loader, or as many as asked for."""

import collections
import csv
import os
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pyarrow as pa
import pytest
import tensorflow_datasets as tfds

from open_images.building import plan
from tests.builds import Build, Version, run_build
from transforms.dataset.elements import BuiltPart
from transforms.examples.write import PartWriter
from transforms.formats import shard_count
from transforms.formats.format import Content
from transforms.formats.registry import DEFAULT, FORMATS, find_format
from transforms.formats.settings import DEFAULT_SETTINGS
from transforms.kinds.registry import EXAMPLE, example_columns
from transforms.releases.shards import ShardPlan, plan_shards, seal_shard
from transforms.storage.files import DEFAULTS

IMAGES = {"train": 640, "validation": 200, "test": 3}
LOADER_WORKERS = 8


def write_tables(folder: Path, images: dict[str, int] = IMAGES, title: str = "") -> Path:
    """Image tables of so many images; the first of train has this title."""
    folder.mkdir(exist_ok=True)
    for number, (split, count) in enumerate(images.items()):
        with open(folder / f"{split}-images-with-rotation.csv", "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("ImageID", "Subset", "Title", "Rotation"))
            for i in range(count):
                rows.writerow((f"{number:08x}{i:08x}", split, "" if i else title, "0.0"))
    return folder


def build(folder: Path, *more: object) -> Build:
    tables = write_tables(folder / "tables")
    built = run_build(
        *("--annotations", tables, "--images", "none", "--output", folder / "output"), *more
    )
    assert built.returncode == 0, built.stderr
    return built


def counts(version: Version) -> dict[tuple[str, str], int]:
    """Shards by split and format."""
    found: collections.Counter[tuple[str, str]] = collections.Counter()
    for split, account in version.manifest["splits"].items():
        found.update((split, shard["format"]) for shard in account["shards"])
    return dict(found)


def of_both_formats(**wanted: int) -> dict[tuple[str, str], int]:
    return {(split, form): n for split, n in wanted.items() for form in DEFAULT}


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return build(tmp_path_factory.mktemp("default"))


def test_a_split_of_some_hundred_images_has_eight(default: Build):
    assert counts(default.version) == of_both_formats(train=8, validation=8, test=1)
    for split in ("train", "validation"):
        sizes = {}
        for shard in default.version.manifest["splits"][split]["shards"]:
            sizes.setdefault(shard["format"], []).append(shard["num_examples"])
        assert sizes["parquet"] == sizes["tfrecord"] == [IMAGES[split] // 8] * 8


def test_each_worker_of_a_loader_has_a_shard(default: Build, tmp_path: Path):
    """By `datasets` as PyTorch's loader asks it, and by TFDS as `tf.distribute` does."""
    loaded = datasets.load_dataset(
        str(default.output), split="validation", streaming=True, cache_dir=str(tmp_path)
    )
    assert loaded.num_shards >= LOADER_WORKERS
    shares = [
        [row["image_id"] for row in loaded.shard(LOADER_WORKERS, worker)]
        for worker in range(LOADER_WORKERS)
    ]
    assert min(map(len, shares)) == IMAGES["validation"] // LOADER_WORKERS
    seen = [image_id for share in shares for image_id in share]
    assert len(seen) == len(set(seen)) == IMAGES["validation"]
    builder = tfds.builder_from_directory(default.version.folder / "tfrecord/open_images/v7/1.0.0")
    assert builder.info.splits["train"].num_shards == LOADER_WORKERS
    assert builder.as_dataset(split="train").cardinality() == IMAGES["train"]


@pytest.mark.parametrize("number", [1, 3, 13, 100])
def test_as_many_as_asked_for(number: int, tmp_path: Path, default: Build):
    built = build(tmp_path, "--num_shards", number)
    wanted = {split: min(number, images) for split, images in IMAGES.items()}
    assert counts(built.version) == of_both_formats(**wanted)
    assert built.version.table.equals(default.version.table)  # in the same order
    said = f"--num_shards {number}: test has no more shards than images, 3"
    assert (said in built.stdout) == (number > 3)
    assert built.version.manifest["config"]["num_shards"] == number


def test_large_splits_have_more_of_a_small_size(tmp_path: Path):
    of_size = build(tmp_path, "--shard_size", "1KiB", "--format", "parquet").version
    assert counts(of_size)["train", "parquet"] >= 8


@pytest.mark.parametrize("number", ["0", "-1", "many"])
def test_a_number_that_is_none(number: str, tmp_path: Path):
    tables = write_tables(tmp_path / "tables")
    output = tmp_path / "output"
    flags = ["--annotations", tables, "--images", "none", "--output", output]
    built = run_build(*flags, f"--num_shards={number}")
    assert (built.returncode, len(built.stderr.splitlines())) == (2, 1)
    assert "--num_shards" in built.stderr
    both = run_build(*flags, "--num_shards", 4, "--shard_size", "1MiB")
    assert (both.returncode, len(both.stderr.splitlines())) == (2, 1)
    assert "--num_shards" in both.stderr
    assert "--shard_size" in both.stderr


def test_workers_make_no_difference_and_neither_does_a_rebuild(tmp_path: Path, default: Build):
    other = build(tmp_path, "--num_workers", 2).version
    assert other.digests() == default.version.digests()
    # One image has changed: a build that takes over what hasn't has the bytes of one that doesn't.
    flags = [
        "--annotations",
        write_tables(tmp_path / "tables", title="another"),
        "--images",
        "none",
    ]
    more = run_build(*flags, "--output", tmp_path / "output")
    assert "taken over from version" in more.stdout
    fresh = run_build(*flags, "--output", tmp_path / "fresh")
    assert more.version.digests() == fresh.version.digests()
    assert counts(more.version) == of_both_formats(train=8, validation=8, test=1)


def test_shards_that_nothing_changed_in_are_taken_over_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Of a build in several buckets: their parts are put together to eight shards."""
    monkeypatch.setattr(plan, "_count_buckets", lambda *_: 32)
    first = build(tmp_path).version
    assert counts(first) == of_both_formats(train=8, validation=8, test=1)
    tables = write_tables(tmp_path / "tables", title="another")
    flags = ["--annotations", tables, "--images", "none", "--output", tmp_path / "output"]
    again = run_build(*flags).version
    shards = [path for split in IMAGES for form in DEFAULT for path in first.shards(split, form)]
    linked = [
        path for path in shards if path.samefile(again.folder / path.relative_to(first.folder))
    ]
    # The image that changed is in one shard of train in each format, and others may share its
    # bucket.
    assert len(shards) == 34
    assert 34 - len(linked) in (2, 4, 6, 8)
    first.assert_whole()
    again.assert_whole()


@pytest.mark.parametrize("buckets", [1, 2, 3, 5, 8, 16, 64, 488])
@pytest.mark.parametrize("number", [None, 1, 8, 50])
def test_buckets_are_cut_into_enough_parts(buckets: int, number: int | None):
    """Whatever the images of a split, and however they fall among buckets."""
    rng = np.random.default_rng(buckets)
    at_least = number or LOADER_WORKERS
    for images in (at_least, at_least + 1, 60, 200, 500, 5_000, 100_000):
        if number is None and images < 200:
            continue
        for _ in range(20):
            some = rng.multinomial(images, [1 / buckets] * buckets)
            parts = sum(shard_count.parts_at_least(int(n), buckets, number) for n in some if n)
            assert parts >= min(at_least, images)
            if images == 100_000:  # and large splits into hardly more than before
                assert parts <= max(buckets, 2 * at_least + 2 * buckets * (at_least > buckets / 2))


@pytest.mark.parametrize("form", FORMATS)
def test_images_that_fail_take_no_shard_away(form: str, tmp_path: Path):
    """Pieces of 5 images, of which some fail; as many parts all the same, nothing lost."""
    config = SimpleNamespace(
        parts_folder=str(tmp_path),
        object_options=DEFAULTS,
        shard_size=1 << 30,
        buckets=1,
        num_shards=6,
    )
    writer = PartWriter(config, Content(example_columns()), form, "train", 0, 30)
    ids = [f"{i:016x}" for i in range(10)]
    frame = {"split": "train", "width": 8, "height": 8}
    rows = [
        {"image_id": each, "image": {"bytes": b"\xff\xd8\xff", "path": f"{each}.jpg"}} | frame
        for each in ids
    ]
    for start, failed in ((0, 3), (2, 4), (3, 5), (3, 4), (4, 3), (6, 1)):
        stop = start + 5 - failed
        writer.write(pa.Table.from_pylist(rows[start:stop], EXAMPLE), failed)
    parts = writer.close()
    assert [part.sequence for part in parts] == list(range(6))
    assert sum(part.num_examples for part in parts) == 10
    plans = [ShardPlan(form, "train", n, 6, (part,)) for n, part in enumerate(parts)]
    version = str(tmp_path / "version")
    shards = [seal_shard(plan, version, DEFAULT_SETTINGS) for plan in plans]
    paths = [os.path.join(version, shard.path) for shard in shards]
    examples = [some for path in paths for some in find_format(form).read(path)]
    found = [image_id for some in examples for image_id in some.image_ids.to_pylist()]
    assert found == ids


@pytest.mark.parametrize(
    ("examples", "shards", "wanted"),
    [
        ([40, 40, 40], 8, [[40], [40], [40]]),  # no more than parts
        ([10] * 20, 8, [[10] * n for n in (3, 2, 3, 2, 3, 2, 3, 2)]),
        ([100, 1, 1, 1], 3, [[100], [1], [1, 1]]),  # none is empty
        ([1, 1, 1, 100], 3, [[1], [1], [1, 100]]),
        ([500], 8, [[500]]),
    ],
)
def test_which_parts_make_a_number_of_shards(
    examples: list[int], shards: int, wanted: list[list[int]]
):
    parts = [
        BuiltPart("parquet", "train", number, 0, f"{number}", count, 10, "", "")
        for number, count in enumerate(examples)
    ]
    for number in (None, shards):
        plans = list(plan_shards(reversed(parts), 1 << 20, number))
        assert [plan.index for plan in plans] == list(range(len(plans)))
        assert {plan.shards for plan in plans} == {len(plans)}
        assert [part for plan in plans for part in plan.parts] == parts
        found = [[part.num_examples for part in plan.parts] for plan in plans]
        if number:
            assert len(found) == len(wanted)
            assert [len(group) for group in found] == pytest.approx(
                [len(group) for group in wanted], abs=1
            )


def test_what_is_kept_for_the_next_build_is_in_one_file(default: Build):
    names = os.listdir(default.version.folder / "lineage")
    assert sorted(name for name in names if name.startswith("train")) == ["train-00000-of-00001"]
