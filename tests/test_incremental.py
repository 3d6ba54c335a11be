"""Builds that take over what hasn't changed: with the bytes of a build from nothing, and no more
work than needed."""

import json
import os
import shutil
import signal
import subprocess
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

import numpy as np
import pyarrow.parquet as pq
import pytest

from open_images.building import plan
from tests.builds import COMMAND, Version, latest_version
from tests.changing import (
    CHANGES,
    Corpus,
    edit_row,
    flip,
    remove_picture,
    replace_picture,
)
from tests.moments import watched
from tests.serving import served
from transforms.dataset.elements import BuiltPart
from transforms.formats.part import Crc32
from transforms.formats.registry import DEFAULT
from transforms.reuse.previous import Previous, take_out
from transforms.reuse.recording import ROW
from transforms.storage.stores import ObjectOptions

IMAGES = 60
#: Builds bear failed pictures and have parts of about a fourth of a shard.
FLAGS = ("--max_failure_rate", "0.5", "--shard_size", "1MiB")


@pytest.fixture(autouse=True)
def many_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_BUCKET_IMAGES", 5)


@pytest.fixture(scope="module")
def small_pictures(
    make_corpus: Callable[[str, int], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return make_corpus("v7", IMAGES)


@pytest.fixture
def corpus(small_pictures: Path, tmp_path: Path) -> Corpus:
    return Corpus(small_pictures, tmp_path, *FLAGS)


@pytest.mark.parametrize(
    ("seed", "flags"),
    [
        (1, ("--num_workers", "2")),
        (2, ("--mask_maps", "semantic", "--apply_rotation", "--resize=exact", "--image_size=64")),
    ],
)
def test_generations_of_changes(corpus: Corpus, seed: int, flags: tuple[str, ...]):
    corpus.flags += flags
    random = Random(seed)
    corpus.build()
    changes = random.sample(CHANGES, len(CHANGES))
    for some in (changes[:2], changes[2:]):
        for change in some:
            change(corpus, random)
        taken = corpus.build_again()
        assert taken["pictures"] >= IMAGES - 3 * len(some)
    flip(latest_version(corpus.output).shards("train", "parquet")[0], 0.4)
    edit_row(corpus, random)
    corpus.build_again()


def test_what_has_not_changed_is_not_built_again(corpus: Corpus):
    corpus.flags += ("--shard_size", "100KiB")  # every part is a shard
    before = corpus.build().version
    edit_row(corpus, Random(0))
    assert corpus.build_again() == {"buckets": 7, "pictures": IMAGES}
    after = latest_version(corpus.output)
    parts = [pq.read_table(version.folder / "lineage/parts.parquet") for version in (before, after)]
    rows = zip(*(table.to_pylist() for table in parts), strict=True)
    shared = Counter()
    for old, new in rows:
        if new["format"] != "lineage":
            is_same = os.path.samefile(before.folder / old["path"], after.folder / new["path"])
            assert is_same == (old["digest"] == new["digest"]), new
            shared[is_same] += 1
    assert 0 < shared[False] < shared[True]
    told = json.loads(corpus.build("--rebuild", "--report", "json").stdout)
    assert told["taken_over"] == {"buckets": 0, "pictures": 0}


def test_pictures_and_masks_are_not_read_again(corpus: Corpus):
    pictures = {str(path) for path in corpus.pictures()}
    with watched(corpus.folder) as moments:
        corpus.build()
    assert pictures < {*moments.opened}
    assert any(path.endswith(".png") for path in moments.opened)
    kept = shutil.copytree(corpus.folder / "output", corpus.folder / "kept")
    for table in ("train-annotations-bbox", "test-annotations-bbox", "validation-annotations-bbox"):
        rows = corpus.table(table).read_text().splitlines(keepends=True)
        # Of every image, and so in every bucket.
        corpus.table(table).write_text("".join(row.replace(",0,0,0,", ",0,0,1,") for row in rows))
    with watched(corpus.folder) as moments:
        after = corpus.build("--report", "json")
    assert moments.opened
    assert not any(path.endswith((".jpg", ".png")) for path in moments.opened)
    assert json.loads(after.stdout)["taken_over"]["pictures"] == IMAGES
    assert after.version.failures == []
    before = latest_version(kept)
    for column in ("image", "width", "original_height", "masks"):
        assert after.version.table[column].equals(before.table[column])
    assert not after.version.table["bboxes"].equals(before.table["bboxes"])


class Pictures(SimpleHTTPRequestHandler):
    """Serves a folder, and takes note of what was asked for."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(corpus: Corpus) -> Iterator[ThreadingHTTPServer]:
    class Handler(Pictures):
        asked: list[str] = []  # noqa: RUF012 - all requests share it

        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(corpus.folder / "images"))

    with served(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        corpus.images = (f"http://127.0.0.1:{server.server_port}/{{split}}/{{image_id}}.jpg",)
        corpus.flags += ("--allow_private_hosts",)
        yield server


def test_only_what_failed_is_asked_for_again(corpus: Corpus, server: ThreadingHTTPServer):
    asked = server.RequestHandlerClass.asked
    missing = corpus.pictures()[7]
    missing.rename(missing.with_suffix(".away"))
    corpus.build()
    assert len(asked) == IMAGES
    asked.clear()
    edit_row(corpus, Random(0))
    corpus.build()
    name = f"/{missing.parent.name}/{missing.name}"
    assert asked == [name]
    asked.clear()
    missing.with_suffix(".away").rename(missing)
    edit_row(corpus, Random(1))
    built = corpus.build()
    assert asked == [name]
    assert missing.stem in built.version.examples
    asked.clear()
    edit_row(corpus, Random(2))
    corpus.build("--rebuild")
    assert len(asked) == IMAGES


def test_archives(corpus: Corpus):
    """Of a zip members count by themselves, of a tar all together."""
    folder = corpus.folder / "archives"
    folder.mkdir()
    corpus.images = (folder,)

    def pack(pictures: list[Path]) -> None:
        with zipfile.ZipFile(folder / "pictures.zip", "w") as archive:
            for path in pictures:
                archive.write(path, path.name)

    pack(corpus.pictures())
    corpus.build()
    replace_picture(corpus, Random(0))
    pack(corpus.pictures()[::-1])
    assert corpus.build_again()["pictures"] == IMAGES - 1


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 9)


DAMAGE: dict[str, Callable[[Version], object]] = {
    "a picture": lambda version: flip(version.shards("train", "parquet")[0], 0.3),
    "a footer": lambda version: flip(version.shards("train", "parquet")[0], 0.99),
    "a shard's end": lambda version: _cut(version.shards("train", "parquet")[-1]),
    "records": lambda version: flip(version.shards("train", "tfrecord")[0], 0.5),
    "a shard": lambda version: version.shards("validation", "parquet")[0].unlink(),
    "rows": lambda version: flip(version.folder / "lineage" / "train-00000-of-00001", 0.5),
    "no rows": lambda version: (version.folder / "lineage" / "train-00000-of-00001").unlink(),
    "parts": lambda version: flip(version.folder / "lineage" / "parts.parquet", 0.2),
    "half of the parts": lambda version: _cut(version.folder / "lineage" / "parts.parquet"),
    "no lineage": lambda version: shutil.rmtree(version.folder / "lineage"),
}


def test_nothing_damaged_is_taken_over(corpus: Corpus, tmp_path: Path):
    original = corpus.build().version
    told = pq.read_table(original.folder / "lineage/parts.parquet").to_pylist()
    known = {(row["bucket"], row["digest"]) for row in told}
    images = Counter(
        {
            bucket: sum(
                row["num_examples"]
                for row in told
                if (row["bucket"], row["format"]) == (bucket, "parquet")
            )
            for bucket, _ in known
        }
    )
    rows = np.fromfile(original.folder / "lineage/train-00000-of-00001", ROW)

    def offered(version: Version, name: str) -> Iterator[list[BuiltPart] | None]:
        """What a version has for each bucket, and for single images, if anything."""
        work = tmp_path / f"work {name}"
        work.mkdir()
        previous = Previous.open(str(version.folder), str(work), ObjectOptions())
        if previous is None:
            yield None
            return
        for bucket, digest in known:
            yield previous.bucket(bucket, 8, digest, images[bucket], DEFAULT)
        match = previous.match("train", rows)
        yield match and match.parts

    assert all(offered(original, "whole"))
    for name, damage in DAMAGE.items():
        folder = tmp_path / name / "versions" / original.folder.name
        shutil.copytree(original.folder, folder)
        damage(Version(folder))
        offers = list(offered(Version(folder), name))
        assert not all(offers), name
        for part in (part for parts in offers for part in parts or ()):
            taken = take_out(part, str(tmp_path / "part"), ObjectOptions())
            crc = Crc32()
            crc.update(Path(taken.path).read_bytes())
            assert crc.hexdigest() == part.crc32, name


def test_other_flags_take_nothing_over(corpus: Corpus):
    corpus.build()
    corpus.flags += ("--resize", "longest", "--image_size", "100")
    assert corpus.build_again() == {"buckets": 0, "pictures": 0}


def test_annotations_alone(corpus: Corpus, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plan, "BUCKET_BYTES", 10_000)
    corpus.images = ("none",)
    corpus.build()
    edit_row(corpus, Random(0))
    taken = corpus.build_again()
    parts = pq.read_table(latest_version(corpus.output).folder / "lineage/parts.parquet")
    with_images = len(parts["bucket"].unique())
    assert with_images >= 8
    assert taken == {"buckets": with_images - 1, "pictures": 0}


def test_another_number_of_buckets(corpus: Corpus, monkeypatch: pytest.MonkeyPatch):
    corpus.build()
    monkeypatch.setattr(plan, "_BUCKET_IMAGES", 20)
    edit_row(corpus, Random(0))
    assert corpus.build_again() == {"buckets": 0, "pictures": IMAGES}


def test_a_build_that_was_stopped_goes_on(corpus: Corpus):
    # In processes of their own, which don't have the many buckets of the others.
    corpus.flags += ("--chunk_size", "4096", "--num_workers", "2")
    command = [*COMMAND, "--annotations", corpus.folder / "annotations", "--images"]
    command += [corpus.folder / "images", "--masks", corpus.folder / "masks", *corpus.flags]
    subprocess.run([*command, "--output", corpus.output], check=True, stdout=subprocess.DEVNULL)
    random = Random(5)
    edit_row(corpus, random)
    remove_picture(corpus, random)
    with subprocess.Popen([*command, "--output", corpus.output]) as process:
        while len([*corpus.output.glob(".work/*/journal/bucket-0")]) < 1:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    edited = subprocess.run(
        [*command, "--output", corpus.output], check=True, capture_output=True, text=True
    )
    assert "going on from" in edited.stdout
    assert "taken over from" in edited.stdout
    whole = corpus.folder / "from nothing"
    subprocess.run([*command, "--output", whole], check=True, stdout=subprocess.DEVNULL)
    assert latest_version(corpus.output).digests() == latest_version(whole).digests()
    assert sorted(path.name for path in corpus.output.iterdir()) == [
        "README.md",
        "latest",
        "versions",
    ]
