"""WebDataset, and `wids` of its releases up to 0.2, as they read the archives."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import webdataset
from PIL import Image

from tests.builds import Version, build_corpus
from tests.formats.sealed import as_json
from tests.loaders.snippets import run_snippets
from transforms.kinds.registry import EXAMPLE

IMAGES = 30
PICTURES = ("image", "instance_map", "semantic_map")


@pytest.fixture(scope="module")
def version(
    make_corpus: Callable[[str, int], Path], tmp_path_factory: pytest.TempPathFactory
) -> Version:
    flags = (
        "--mask_maps",
        "instance,semantic",
        "--format",
        "webdataset,parquet",
        "--num_shards",
        "4",
    )
    return build_corpus(make_corpus("v7", IMAGES), tmp_path_factory.mktemp("output"), *flags)


def open_split(version: Version, split: str, **flags: Any) -> webdataset.WebDataset:
    shards = [str(path) for path in version.shards(split, "webdataset")]
    return webdataset.WebDataset(shards, shardshuffle=False, **flags)


def test_samples_are_the_rows_of_parquet(version: Version):
    for split in version.manifest["splits"]:
        samples = list(open_split(version, split))
        rows = [each for each in version.examples.values() if each["split"] == split]
        assert [each["__key__"] for each in samples] == [each["image_id"] for each in rows]
        for sample, row in zip(samples, rows, strict=True):
            assert sample[row["image"]["path"].split(".")[1]] == row["image"]["bytes"]
            for name in PICTURES[1:]:
                assert sample[f"{name}.png"] == row[name]["bytes"]
            plain = {name: row[name] for name in EXAMPLE.names if name not in PICTURES}
            assert json.loads(sample["json"]) == as_json(plain)


def decode_map(key: str, data: bytes) -> np.ndarray | None:
    if key.endswith("_map.png"):
        return np.asarray(Image.open(io.BytesIO(data)))
    return None


def test_samples_are_decoded(version: Version):
    for sample in open_split(version, "train").decode(decode_map, "pil"):
        row = version.examples[sample["__key__"]]
        picture = sample["jpg"] if "jpg" in sample else sample["png"]
        assert (picture.mode, picture.size) == ("RGB", (row["width"], row["height"]))
        assert sample["instance_map.png"].max() <= len(row["masks"])
        assert sample["semantic_map.png"].shape == (row["height"], row["width"])
        assert sample["json"]["image_id"] == row["image_id"]
        assert all(type(number) is int for number in sample["labels.json"]["positive"])


def test_workers_share_the_shards(version: Version):
    dataset = open_split(version, "train").to_tuple("__key__")
    loader = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=2)
    rows = [each for each in version.examples.values() if each["split"] == "train"]
    assert sorted(key for (key,) in loader) == sorted(each["image_id"] for each in rows)


def test_the_documented_way(version: Version):
    """Shuffled, and from where an epoch was left."""
    names = run_snippets("formats/webdataset.md", version.folder)
    row, target, weight = names["row"], names["target"], names["weight"]
    assert row["image_id"] in version.examples
    assert target.sum() == len(names["labels"]["positive"]) > 0
    assert weight.sum() == target.sum() + len(names["labels"]["negative"])

    def read(epoch: int, done: int = 0) -> list[str]:
        return [sample["__key__"] for sample in names["open_epoch"](epoch, done)]

    whole = read(1)
    assert read(1, done=10) == whole[10:]
    assert sorted(read(2)) == sorted(whole)
    assert read(2) != whole
