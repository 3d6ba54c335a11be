"""Whole builds: what is published equals the oracle's answer, byte for byte the same every time."""

import csv
import gzip
import json
import random
import shutil
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from open_images.building import plan
from tests import builds, compare, oracle, spoiled
from tests.conftest import drop_unused_classes

SPLITS = ("train", "validation", "test")
FORMATS = ("parquet", "tfrecord")
REASONS = {
    *("bad_row", "bad_rotation", "unsafe_path", "conflict", "missing", "empty", "not_image"),
    *("truncated", "format_not_allowed", "mask_missing", "mask_corrupt"),
}
Publish = Callable[..., builds.Version]


@pytest.fixture(scope="module", autouse=True)
def _several_buckets() -> Iterator[None]:
    """Cuts 200 images into several buckets, where one would do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "_BUCKET_IMAGES", 32)
        yield


@pytest.fixture(scope="module")
def publish(tmp_path_factory: pytest.TempPathFactory) -> Publish:
    """Builds, by default from all that a corpus has, and returns the version."""

    def publish(
        corpus: Path,
        *flags: object,
        annotations: list[Path] | None = None,
        images: Path | None = None,
    ) -> builds.Version:
        arguments = [*flags, "--output", tmp_path_factory.mktemp("output"), "--images"]
        arguments += [images or corpus / "images", "--max_failure_rate", "0.1"]
        arguments += ["--max_bad_rate", "1"]
        for path in annotations or [corpus / "annotations"]:
            arguments += ["--annotations", path]
        if (corpus / "masks").exists():
            arguments += ["--masks", corpus / "masks"]
        done = builds.run_build(*arguments)
        assert done.returncode == 0, done.stderr
        return done.version

    return publish


@pytest.fixture(scope="module")
def spoiled_corpus(corpus_v7: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With those classes alone that it uses; the clean one has all."""
    folder = tmp_path_factory.mktemp("spoiled")
    shutil.copytree(corpus_v7, folder / "sound")
    drop_unused_classes(folder / "sound" / "annotations")
    spoiled.spoil(folder / "sound", folder / "corpus")
    return folder / "corpus"


@pytest.fixture(scope="module")
def version(publish: Publish, spoiled_corpus: Path) -> builds.Version:
    """The build that others are compared with."""
    return publish(spoiled_corpus)


@pytest.fixture(scope="module")
def wanted(spoiled_corpus: Path) -> oracle.Expected:
    return expect(spoiled_corpus)


def expect(corpus: Path, **how: object) -> oracle.Expected:
    masks = corpus / "masks"
    return oracle.expected(
        corpus / "annotations", corpus / "images", masks if masks.exists() else None, **how
    )


def read_split(version: builds.Version, split: str) -> pa.Table:
    return pa.concat_tables(pq.read_table(shard) for shard in version.shards(split, "parquet"))


def assert_as_expected(version: builds.Version, wanted: oracle.Expected) -> None:
    """Asserts that examples, failures, counts and classes are the oracle's."""
    assert version.manifest["splits"].keys() == wanted.examples.keys()
    for split, examples in wanted.examples.items():
        compare.assert_examples_equal(read_split(version, split), examples)
        assert version.manifest["splits"][split]["num_examples"] == len(examples)

    failures = Counter((f["image_id"], f["stage"], f["reason"]) for f in version.failures)
    assert failures == wanted.failures
    reasons: Counter[str] = Counter()
    for (_, _, reason), count in wanted.failures.items():
        reasons[reason] += count
    assert version.manifest["failures"] == reasons

    accounts = {
        name: (rows, wanted.repeats[name], wanted.orphans[name], wanted.bad_rows[name])
        for name, rows in wanted.rows.items()
    }
    assert accounts_of(version) == accounts

    classes = json.loads((version.folder / "classes.json").read_text())
    assert [entry | {"points": None} for entry in classes] == [
        entry | {"points": None} for entry in wanted.classes
    ]


def accounts_of(version: builds.Version) -> dict[str, tuple[int, ...]]:
    """Rows, repeats, orphans and bad rows of each table, by its path in the annotations folder."""
    return {
        s["path"].rpartition("annotations/")[2]: tuple(
            s[name] for name in ("rows", "repeats", "orphans", "bad_rows")
        )
        for s in version.manifest["sources"]
        if s["kind"] in plan.TABLES
    }


def digests(version: builds.Version) -> list[tuple[str, str]]:
    return [
        (shard["path"], shard["sha256"])
        for split in version.manifest["splits"].values()
        for shard in split["shards"]
    ]


def test_v7_equals_oracle(version: builds.Version, wanted: oracle.Expected) -> None:
    reasons = {reason for _, _, reason in wanted.failures}
    assert reasons == REASONS, "the corpus isn't spoiled as meant"
    assert sum(wanted.orphans.values()) == 6
    assert_as_expected(version, wanted)


def test_failures_name_their_line(version: builds.Version) -> None:
    """Where a row failed, the line that is given holds it."""
    found = 0
    for failure in version.failures:
        if failure["line"] and failure["image_id"]:
            lines = Path(failure["source"]).read_text().split("\n")
            assert failure["image_id"] in lines[failure["line"] - 1], failure
            found += 1
    assert found >= 20


@pytest.mark.parametrize("split", SPLITS)
def test_tfrecord_equals_parquet(version: builds.Version, split: str) -> None:
    compare.assert_tfrecord_equals_parquet(
        version.shards(split, "tfrecord"), read_split(version, split)
    )


def test_v3_equals_oracle(
    publish: Publish, corpus_v3: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "_BUCKET_IMAGES", 256)
    version, wanted = publish(corpus_v3), expect(corpus_v3)
    assert not wanted.failures
    assert_as_expected(version, wanted)
    for split in SPLITS:
        shards = version.shards(split, "tfrecord")
        assert all("open_images/v3/1.0.0" in str(shard) for shard in shards)
        compare.assert_tfrecord_equals_parquet(shards, read_split(version, split))


def test_mask_maps_equal_oracle(publish: Publish, corpus_v7: Path) -> None:
    """A clean corpus, with maps; and two of the three splits, whose masks are few."""
    flags = ("--mask_maps", "instance,semantic", "--splits", "validation,test")
    version = publish(corpus_v7, *flags)
    wanted = expect(corpus_v7, maps=("instance", "semantic"), splits=("validation", "test"))
    assert not wanted.failures
    assert not wanted.orphans
    assert_as_expected(version, wanted)
    for split in ("validation", "test"):
        compare.assert_tfrecord_equals_parquet(
            version.shards(split, "tfrecord"), read_split(version, split)
        )


def test_one_split_equals_oracle(publish: Publish, spoiled_corpus: Path) -> None:
    version = publish(spoiled_corpus, "--splits", "validation", "--format", "parquet")
    wanted = expect(spoiled_corpus, splits=("validation",))
    assert list(wanted.examples) == ["validation"]
    assert_as_expected(version, wanted)


def test_without_image_tables(publish: Publish, spoiled_corpus: Path, tmp_path: Path) -> None:
    """The images are those that some annotation speaks of, their split that of its file."""
    annotations = tmp_path / "annotations"
    shutil.copytree(
        spoiled_corpus / "annotations",
        annotations,
        ignore=shutil.ignore_patterns("*images*with-rotation*"),
    )
    spoiled.add_rows(annotations / "test-annotations-bbox.csv", {"ImageID": spoiled.ORPHAN})
    version = publish(spoiled_corpus, "--format", "parquet", annotations=[annotations])
    wanted = oracle.expected(annotations, spoiled_corpus / "images", spoiled_corpus / "masks")
    assert wanted.failures[spoiled.ORPHAN, "join", "conflict"] == 1
    assert not wanted.orphans
    assert_as_expected(version, wanted)


def test_gzipped_annotations(
    publish: Publish, spoiled_corpus: Path, version: builds.Version, tmp_path: Path
) -> None:
    for path in (spoiled_corpus / "annotations").iterdir():
        # Two members, since files put together of several are gzip too.
        middle = path.stat().st_size // 2
        parts = path.read_bytes()[:middle], path.read_bytes()[middle:]
        (tmp_path / f"{path.name}.gz").write_bytes(b"".join(map(gzip.compress, parts)))
    gzipped = publish(spoiled_corpus, "--format", "parquet", annotations=[tmp_path])
    for split in SPLITS:
        assert read_split(gzipped, split).equals(read_split(version, split))
    assert sorted(accounts_of(gzipped).values()) == sorted(accounts_of(version).values())
    assert gzipped.manifest["failures"] == version.manifest["failures"]


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(("--num_workers", "2"), id="two workers"),
        pytest.param(("--exchange", "engine"), id="engine exchange"),
        pytest.param(("--chunk_size", "4096"), id="small chunks"),
    ],
)
def test_same_bytes_however_it_runs(
    publish: Publish, spoiled_corpus: Path, version: builds.Version, flags: tuple[str, ...]
) -> None:
    again = publish(spoiled_corpus, *flags)
    assert digests(again) == digests(version)
    assert again.failures == version.failures
    assert again.manifest["sources"] == version.manifest["sources"]
    assert again.manifest["fingerprint"] == version.manifest["fingerprint"]


@pytest.mark.parametrize("form", ["tar", "tar.gz", "zip"])
def test_same_bytes_from_archives_and_files_in_any_order(
    publish: Publish, spoiled_corpus: Path, version: builds.Version, tmp_path: Path, form: str
) -> None:
    for folder in (spoiled_corpus / "images").iterdir():
        if form != "zip":
            archive = tmp_path / f"{folder.name}.{form}"
            with tarfile.open(archive, "w:gz" if form == "tar.gz" else "w") as tar:
                tar.add(folder, folder.name)
        else:
            with zipfile.ZipFile(
                tmp_path / f"{folder.name}.zip", "w", zipfile.ZIP_DEFLATED
            ) as zip_:
                for picture in folder.iterdir():
                    zip_.write(picture, f"{folder.name}/{picture.name}")
    files = sorted((spoiled_corpus / "annotations").iterdir())
    random.Random(form).shuffle(files)
    again = publish(spoiled_corpus, annotations=files, images=tmp_path)
    assert digests(again) == digests(version)
    assert accounts_of(again) == accounts_of(version)
    assert again.manifest["failures"] == version.manifest["failures"]


@pytest.fixture(scope="module")
def small_shards(publish: Publish, spoiled_corpus: Path) -> builds.Version:
    return publish(spoiled_corpus, "--shard_size", "1MiB")


def test_small_shards_hold_the_same_in_order(
    small_shards: builds.Version, version: builds.Version
) -> None:
    for split in SPLITS:
        assert read_split(small_shards, split).equals(read_split(version, split))
    compare.assert_tfrecord_equals_parquet(
        small_shards.shards("train", "tfrecord"), read_split(version, "train")
    )


@pytest.mark.parametrize("form", FORMATS)
def test_small_shards_are_near_the_target(small_shards: builds.Version, form: str) -> None:
    sizes = [shard.stat().st_size / (1 << 20) for shard in small_shards.shards("train", form)]
    assert len(sizes) > 4
    assert max(sizes) < 1.6, sizes
    assert min(sizes[:-1]) > 0.5, sizes


def test_manifest_equals_the_disk(small_shards: builds.Version) -> None:
    small_shards.assert_whole()
    metadata = {"manifest.json", "classes.json", "croissant.json"}
    metadata.add("failures/failures-00000-of-00001.parquet")
    tfds = "tfrecord/open_images/v7/1.0.0"
    metadata |= {f"{tfds}/{name}.json" for name in ("features", "dataset_info")}
    listed = [
        shard for split in small_shards.manifest["splits"].values() for shard in split["shards"]
    ]
    files = {
        path.relative_to(small_shards.folder).as_posix()
        for path in small_shards.folder.rglob("*")
        if path.is_file()
    }
    lineage = {file["path"] for file in small_shards.manifest["reuse"]}
    assert files == metadata | lineage | {shard["path"] for shard in listed}
    for shard in listed:
        path = small_shards.folder / shard["path"]
        if shard["format"] == "parquet":
            assert pq.read_metadata(path).num_rows == shard["num_examples"]
        else:
            assert len(compare.tfrecord_to_rows([path])) == shard["num_examples"]


@pytest.mark.parametrize("form", FORMATS)
def test_shards_are_named_in_order(small_shards: builds.Version, form: str) -> None:
    name = {
        "parquet": "parquet/{split}-{i:05d}-of-{n:05d}.parquet",
        "tfrecord": "tfrecord/open_images/v7/1.0.0/open_images-{split}.tfrecord-{i:05d}-of-{n:05d}",
    }[form]
    for split in SPLITS:
        shards = small_shards.shards(split, form)
        wanted = [name.format(split=split, i=i, n=len(shards)) for i in range(len(shards))]
        assert [shard.relative_to(small_shards.folder).as_posix() for shard in shards] == wanted


def test_rows_are_unique_and_in_key_order(small_shards: builds.Version) -> None:
    ids: list[str] = []
    for split in SPLITS:
        keys = [
            oracle.order_key(i) for i in read_split(small_shards, split)["image_id"].to_pylist()
        ]
        assert keys == sorted(keys)
        ids += read_split(small_shards, split)["image_id"].to_pylist()
    assert len(set(ids)) == len(ids) > 190


def test_classes_hold_counts_of_points(version: builds.Version, spoiled_corpus: Path) -> None:
    """What the oracle leaves aside: the columns of the point classes."""
    classes = json.loads((version.folder / "classes.json").read_text())
    with open(spoiled_corpus / "annotations" / "oidv7-point-classes.csv", newline="") as file:
        _, *rows = csv.reader(file)
    wanted = {
        label: {
            "yes_points": int(yes),
            "points": int(points),
            "text_mentions": [mention for mention in mentions if mention],
        }
        for label, _, yes, points, *mentions in rows
    }
    assert {c["label"]: c["points"] for c in classes if "points" in c} == wanted
