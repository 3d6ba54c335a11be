"""The page on loading: what loads into PyTorch, and Ray Data."""

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import datasets
import numpy as np
import pytest
import ray

from tests.builds import Version, run_build
from tests.loaders.snippets import run_sections

PAGE = "guide/loading.md"
IMAGES = 60


@pytest.fixture(scope="module")
def version(
    make_corpus: Callable[[str, int], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Version]:
    """The version of `demo/dataset` in the working directory."""
    corpus, folder = make_corpus("v7", IMAGES), tmp_path_factory.mktemp("pasted")
    done = run_build(
        *("--annotations", corpus / "annotations", "--images", corpus / "images"),
        *("--masks", corpus / "masks", "--output", folder / "demo" / "dataset"),
        *("--format", "parquet,webdataset,mds,coco", "--num_shards", "4"),
    )
    assert done.returncode == 0, done.stderr
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(folder):
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
        yield done.version


def rows_of(version: Version) -> list[dict]:
    return [row for row in version.examples.values() if row["split"] == "train"]


def image_ids(rows: list[dict]) -> list[str]:
    return [row["image_id"] for row in rows]


def test_pytorch_by_number_and_as_a_stream(version: Version):
    names = run_sections(PAGE, ["Hugging Face datasets", "By number", "As a stream"])
    rows = rows_of(version)
    assert len(names["dataset"]) == len(rows)
    assert names["batch"][0][0].width  # a Pillow image
    names["collate"] = image_ids
    every = [each for batch in names["open_epoch"](0) for each in batch]
    assert sorted(every) == sorted(image_ids(rows))
    assert [each for batch in names["open_epoch"](1) for each in batch] != every
    loader, read = names["open_epoch"](0), []
    for batch in loader:
        read += batch
        if len(read) > len(rows) / 2:
            state = loader.state_dict()
            break
    loader = names["open_epoch"](0)
    loader.load_state_dict(state)
    rest = [each for batch in loader for each in batch]
    assert rest
    assert read + rest == every


def test_webdataset(version: Version):
    names = run_sections(PAGE, ["WebDataset"])
    row = version.examples[names["sample"]["__key__"]]
    assert names["image"].size == (row["width"], row["height"])
    assert [box["label"] for box in names["boxes"]] == [box["label"] for box in row["bboxes"]]
    assert sorted(each["__key__"] for each in names["samples"]) == image_ids(
        sorted(rows_of(version), key=lambda row: row["image_id"])
    )


def test_mosaicml_streaming(version: Version):
    names = run_sections(PAGE, ["MosaicML Streaming"])
    first = rows_of(version)[0]
    assert [box["label"] for box in names["boxes"]] == [box["label"] for box in first["bboxes"]]
    assert len(names["samples"]) == len(rows_of(version))


def test_torchvision(version: Version):
    pictures = run_sections(PAGE, ["torchvision"])["pictures"]
    path = version.folder / "coco" / "annotations" / "instances_train.json"
    boxes = Counter(each["image_id"] for each in json.loads(path.read_text())["annotations"])
    assert len(pictures) == len(rows_of(version))
    for image, target in pictures:
        number = target["image_id"]
        (entry,) = pictures.coco.loadImgs(number)
        assert image.size == (entry["width"], entry["height"])
        assert len(target.get("boxes", ())) == boxes[number]


def test_ray_data(version: Version):
    ray.init(num_cpus=2, include_dashboard=False)
    try:
        names = run_sections(PAGE, ["Ray Data"])
        assert names["rows"].count() == len(rows_of(version))
    finally:
        ray.shutdown()
    assert names["pictures"].shape[1:] == (224, 224, 3)
    assert names["pictures"].dtype == np.uint8
    labels = {box["label"] for row in rows_of(version) for box in row["bboxes"]}
    assert {each for some in names["labels"] for each in some} <= labels
