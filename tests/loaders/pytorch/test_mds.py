"""MosaicML Streaming as it reads the shards: in order, shuffled, and from where it was left."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streaming import StreamingDataLoader, StreamingDataset
from streaming.base.util import clean_stale_shared_memory

from tests.builds import Version, build_corpus
from tests.formats.sealed import as_json
from tests.loaders.snippets import run_snippets

IMAGES = 30
BATCH = 4


@pytest.fixture(scope="module")
def version(
    make_corpus: Callable[[str, int], Path], tmp_path_factory: pytest.TempPathFactory
) -> Version:
    flags = ("--mask_maps", "instance,semantic", "--format", "mds,parquet", "--num_shards", "4")
    return build_corpus(make_corpus("v7", IMAGES), tmp_path_factory.mktemp("output"), *flags)


@pytest.fixture(autouse=True)
def shared_memory() -> None:
    clean_stale_shared_memory()


def open_split(version: Version, split: str, **flags: object) -> StreamingDataset:
    return StreamingDataset(
        local=str(version.folder / "mds"), split=split, batch_size=BATCH, **flags
    )


def encoded(picture: Image.Image) -> bytes:
    picture.fp.seek(0)
    return picture.fp.read()


def test_samples_are_the_rows_of_parquet(version: Version):
    for split in version.manifest["splits"]:
        dataset = open_split(version, split)
        rows = [each for each in version.examples.values() if each["split"] == split]
        assert len(dataset) == len(rows)
        for number, row in enumerate(rows):
            sample, row = dataset[number], dict(row)
            numbers = sample.pop("label_numbers")
            assert numbers.keys() == {"positive", "negative"}
            assert sample.pop("image_path") == row["image"]["path"]
            assert encoded(sample.pop("image")) == row.pop("image")["bytes"]
            for name in ("instance_map", "semantic_map"):
                drawn = sample.pop(name)
                assert encoded(drawn) == row.pop(name)["bytes"]
                assert np.asarray(drawn).shape == (row["height"], row["width"])
            assert sample == as_json(row)


def test_hashes_are_those_of_the_shards(version: Version, tmp_path: Path):
    """It copies the shards as from a server, and holds them against the index."""
    dataset = StreamingDataset(
        remote=str(version.folder / "mds"),
        local=str(tmp_path),
        split="train",
        batch_size=BATCH,
        validate_hash="sha256",
    )
    rows = [each for each in version.examples.values() if each["split"] == "train"]
    assert [dataset[n]["image_id"] for n in range(len(dataset))] == [r["image_id"] for r in rows]


def ids(samples: list[dict]) -> list[str]:
    return [each["image_id"] for each in samples]


def collate(samples: list[dict]) -> dict[str, list[str]]:
    """A dictionary, by which the loader counts samples; of a list it would count letters."""
    return {"image_id": ids(samples)}


def test_shuffled_reading_goes_on_where_it_was_left(version: Version):
    def open_loader() -> StreamingDataLoader:
        dataset = open_split(version, "train", shuffle=True, shuffle_seed=7)
        return StreamingDataLoader(dataset, batch_size=BATCH, collate_fn=collate, num_workers=0)

    rows = [each for each in version.examples.values() if each["split"] == "train"]
    every = [image_id for batch in open_loader() for image_id in batch["image_id"]]
    assert sorted(every) == sorted(ids(rows))
    assert every != ids(rows)
    clean_stale_shared_memory()
    loader = open_loader()
    state, read = {}, []
    for batch in loader:
        read += batch["image_id"]
        if len(read) == 2 * BATCH:
            state = json.loads(json.dumps(loader.state_dict()))
            break
    clean_stale_shared_memory()
    resumed = open_loader()
    resumed.load_state_dict(state)
    assert read + [image_id for batch in resumed for image_id in batch["image_id"]] == every


def test_the_documented_way(version: Version):
    names = run_snippets("formats/mds.md", version.folder)
    batch = names["batch"]
    assert len(batch["image_id"]) == 8  # of 24 in batches of 16, the second one
    for image_id, picture, boxes in zip(*batch.values(), strict=True):
        row = version.examples[image_id]
        assert picture.size == (row["width"], row["height"])
        assert boxes == as_json(row["bboxes"])
