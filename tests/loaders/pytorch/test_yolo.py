"""YOLO as Ultralytics reads it: without a warning, wherever the folder lies, and to train by."""

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as coco
from ultralytics import YOLO
from ultralytics.data.dataset import YOLODataset
from ultralytics.data.utils import check_det_dataset
from ultralytics.utils import LOGGER

from tests.builds import Build, Version

IMAGES = 30
FOLDERS = {"train": "train", "validation": "val", "test": "test"}

Builder = Callable[..., Version]


@pytest.fixture
def build_yolo(
    make_corpus: Callable[[str, int], Path], run_build: Callable[..., Build], tmp_path: Path
) -> Builder:
    """Builds a corpus with flags."""

    def build(*flags: str) -> Version:
        corpus = make_corpus("v7", IMAGES)
        done = run_build(
            *("--annotations", corpus / "annotations", "--images", corpus / "images"),
            *("--masks", corpus / "masks", "--output", tmp_path / "output"),
            *("--format", "yolo,parquet", *flags),
        )
        assert done.returncode == 0, done.stderr
        return done.version

    return build


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """Returns the warnings of Ultralytics, and its remarks on single files."""
    found: list[str] = []
    handler = logging.Handler()

    def note(record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.WARNING or "duplicate" in text or "corrupt image" in text:
            found.append(text)

    handler.emit = note
    LOGGER.addHandler(handler)
    yield found
    LOGGER.removeHandler(handler)


def read(data: dict, split: str, task: str) -> dict[str, dict]:
    """Returns the labels that Ultralytics has of each image of a split, by ImageID."""
    dataset = YOLODataset(
        img_path=data[FOLDERS[split]], data=data, task=task, imgsz=64, augment=False
    )
    return {Path(each["im_file"]).stem: each for each in dataset.labels}


@pytest.mark.parametrize("place", ["as published", "moved"])
def test_boxes(
    build_yolo: Builder,
    warnings: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
):
    version = build_yolo()
    folder = version.folder / "yolo"
    if place == "moved":
        folder = shutil.copytree(folder, tmp_path / "elsewhere" / "data")
        monkeypatch.chdir(tmp_path)  # and named by a relative path
        folder = folder.relative_to(tmp_path)
    data = check_det_dataset(str(folder / "data.yaml"))
    numbers = {name: number for number, name in data["names"].items()}
    assert len(numbers) == data["nc"]
    names = {each["label"]: each["name"] or each["label"] for each in classes(version)}
    for split in FOLDERS:
        found = read(data, split, "detect")
        examples = {k: v for k, v in version.examples.items() if v["split"] == split}
        assert found.keys() == examples.keys()
        for image_id, example in examples.items():
            labels, boxes = found[image_id], example["bboxes"]
            assert labels["shape"] == (example["height"], example["width"])
            classes_found = [data["names"][int(number)] for number in labels["cls"][:, 0]]
            assert classes_found == [names[box["label"]] for box in boxes]
            expected = [
                [
                    (box["xmin"] + box["xmax"]) / 2,
                    (box["ymin"] + box["ymax"]) / 2,
                    box["xmax"] - box["xmin"],
                    box["ymax"] - box["ymin"],
                ]
                for box in boxes
            ]
            np.testing.assert_allclose(
                labels["bboxes"], np.array(expected).reshape(-1, 4), atol=1.6e-6
            )
    assert warnings == []


def classes(version: Version) -> list[dict]:
    return json.loads((version.folder / "classes.json").read_text())


def test_masks(build_yolo: Builder, warnings: list[str]):
    version = build_yolo("--yolo_task", "segment")
    data = check_det_dataset(str(version.folder / "yolo" / "data.yaml"))
    compared = 0
    for split in FOLDERS:
        for image_id, labels in read(data, split, "segment").items():
            example = version.examples[image_id]
            size = example["height"], example["width"]
            assert len(labels["segments"]) == len(labels["bboxes"]) == len(example["masks"])
            for points, mask in zip(labels["segments"], example["masks"], strict=True):
                pixels = coco.decode({"counts": mask["counts"], "size": [*size]})
                drawn = np.zeros(size, np.uint8)
                cv2.fillPoly(drawn, [(points * (size[1], size[0])).astype(np.int32)], 1)
                assert np.all(cv2.erode(drawn & ~pixels, np.ones((3, 3))) == 0)
                assert np.count_nonzero(pixels & ~drawn) <= 0.01 * mask["area"]
                compared += 1
    assert compared
    assert warnings == []


@pytest.mark.parametrize(
    ("task", "model"), [("detect", "yolo11n.yaml"), ("segment", "yolo11n-seg.yaml")]
)
def test_trains(build_yolo: Builder, tmp_path: Path, task: str, model: str):
    version = build_yolo("--yolo_task", task)
    torch.set_num_threads(1)
    YOLO(model).train(
        data=str(version.folder / "yolo" / "data.yaml"),
        epochs=1,
        imgsz=64,
        batch=8,
        workers=0,
        device="cpu",
        plots=False,
        project=str(tmp_path / "runs"),
    )
    assert [*(tmp_path / "runs").rglob("last.pt")]
