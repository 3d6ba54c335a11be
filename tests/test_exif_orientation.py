"""Pictures with an EXIF orientation: whatever reader shows them, their boxes are in place."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import cv2
import datasets
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from pipelines import verify
from tests.builds import Version, run_build
from tests.examples.imaging.oriented import HEIGHT, TURNED, UPRIGHT, WIDTH
from transforms.examples.imaging.process import ImageSpec
from transforms.examples.pictures import fetch_pictures
from transforms.sources.answers import Answer

CASES = TURNED | UPRIGHT
IDS = {name: f"{number:016x}" for number, name in enumerate(CASES)}
BOX = (0, 0, 10, 10)  # the red corner, in pixels as stored


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """The flags that build all cases, each with a box."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "images").mkdir()
    for name, data in CASES.items():
        (folder / "images" / f"{IDS[name]}.jpg").write_bytes(data)
    table = folder / "train-annotations-bbox.csv"
    with open(table, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax"]
        )
        left, top, right, bottom = BOX
        edges = (left / WIDTH, right / WIDTH, top / HEIGHT, bottom / HEIGHT)
        writer.writerows((image_id, "xclick", "/m/0cmf2", 1, *edges) for image_id in IDS.values())
    return ["--annotations", table, "--images", folder / "images"]


@pytest.fixture(scope="module")
def version(inputs: list[object], tmp_path_factory: pytest.TempPathFactory) -> Version:
    built = run_build(*inputs, "--output", tmp_path_factory.mktemp("output"))
    assert built.returncode == 0, built.stderr
    return built.version


def is_red_in_its_box(shown: np.ndarray, box: dict) -> bool:
    """Whether the inner part of a box is red, and what is right of it isn't."""
    height, width, _ = shown.shape
    x, y = (box["xmin"] + box["xmax"]) / 2 * width, (box["ymin"] + box["ymax"]) / 2 * height
    return shown[int(y), int(x), 0] > 200 > 100 > shown[int(y), int(3 * x), 0]


def by_datasets(version: Version) -> Iterator[tuple[str, np.ndarray, dict]]:
    files = [str(path) for path in version.shards("train", "parquet")]
    for row in datasets.Dataset.from_parquet(files, cache_dir=str(version.folder.parents[1] / "c")):
        yield row["image_id"], np.asarray(row["image"].convert("RGB")), row["bboxes"][0]


def by_pillow(version: Version) -> Iterator[tuple[str, np.ndarray, dict]]:
    for image_id, example in version.examples.items():
        with Image.open(io.BytesIO(example["image"]["bytes"])) as picture:
            shown = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
        yield image_id, shown, example["bboxes"][0]


def by_opencv(version: Version) -> Iterator[tuple[str, np.ndarray, dict]]:
    for image_id, example in version.examples.items():
        data = np.frombuffer(example["image"]["bytes"], np.uint8)
        yield image_id, cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), example["bboxes"][0]


def by_tensorflow(version: Version) -> Iterator[tuple[str, np.ndarray, dict]]:
    shards = [str(path) for path in version.shards("train", "tfrecord")]
    for record in tf.data.TFRecordDataset(shards):
        example = tf.train.Example.FromString(record.numpy()).features.feature
        edges = example["bboxes/bbox"].float_list.value
        box = dict(zip(("ymin", "xmin", "ymax", "xmax"), edges, strict=True))
        (image_id,), (data,) = (example[name].bytes_list.value for name in ("image_id", "image"))
        shown = tf.io.decode_image(data, 3, expand_animations=False).numpy()
        yield image_id.decode(), shown, box


@pytest.mark.parametrize("read", [by_datasets, by_pillow, by_opencv, by_tensorflow])
def test_boxes_are_in_place(version: Version, read):
    found = {image_id: is_red_in_its_box(shown, box) for image_id, shown, box in read(version)}
    assert len(found) == len(CASES)
    assert [name for name, image_id in IDS.items() if not found[image_id]] == []


def test_what_is_upright_keeps_its_bytes(version: Version):
    for name, data in CASES.items():
        stays = version.examples[IDS[name]]["image"]["bytes"] == data
        assert stays == (name in UPRIGHT), name


def test_what_was_published_is_whole(version: Version):
    assert (
        verify.main([str(version.folder.parents[1]), "--sample", "all", "--num_workers", "1"]) == 0
    )


def test_the_orientation_may_be_kept(inputs: list[object], tmp_path: Path):
    flags = ["--keep_exif_orientation", "--format", "parquet", "--output", tmp_path]
    built = run_build(*inputs, *flags)
    assert built.returncode == 0, built.stderr
    assert built.version.manifest["config"]["keep_exif_orientation"] is True
    for name, data in CASES.items():
        assert built.version.examples[IDS[name]]["image"]["bytes"] == data


def test_pictures_that_are_encoded_again_have_none(inputs: list[object], tmp_path: Path):
    """And those that are made exact can be stacked, though all were smaller on one side."""
    flags = ["--resize", "exact", "--image_size", "32", "--format", "parquet"]
    built = run_build(*inputs, *flags, "--output", tmp_path)
    assert built.returncode == 0, built.stderr
    assert np.stack([shown for _, shown, _ in by_pillow(built.version)]).shape[1:] == (32, 32, 3)
    assert all(is_red_in_its_box(shown, box) for _, shown, box in by_pillow(built.version))
    for example in built.version.examples.values():
        assert (example["width"], example["height"]) == (32, 32)
        assert (example["original_width"], example["original_height"]) == (WIDTH, HEIGHT)
        assert not Image.open(io.BytesIO(example["image"]["bytes"])).getexif()


class Pictures:
    """A source of the cases."""

    def ask(self, images: pa.Table) -> Iterator[Iterator[Answer]]:
        for data in CASES.values():
            yield iter([Answer("cases", data)])

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        (ImageSpec(), len(TURNED)),
        (ImageSpec(keep_exif_orientation=True), 0),
        (ImageSpec("longest", 30), 0),
    ],
)
def test_they_are_counted(spec: ImageSpec, count: int):
    rotations = pa.nulls(len(IDS), pa.int16())
    images = {"image_id": [*IDS.values()], "split": ["train"] * len(IDS), "rotation": rotations}
    pieces = fetch_pictures(pa.table(images), [Pictures()], False, spec, held_bytes=5000)
    assert sum(piece.exif_reset for piece in pieces) == count
