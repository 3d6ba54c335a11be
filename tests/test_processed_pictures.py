"""Builds that change pictures, in size, direction and format, and what belongs to them along."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from tests import builds

IMAGES = 40


@pytest.fixture(scope="module")
def corpus(make_corpus: Callable[[str, int], Path]) -> Path:
    return make_corpus("v7", IMAGES)


@pytest.fixture(scope="module")
def stored(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    return build(corpus, tmp_path_factory.mktemp("stored")).version.examples


def build(corpus: Path, output: Path, *flags: object, form: str = "parquet") -> builds.Build:
    parts = ("annotations", "images", "masks")
    inputs = [text for part in parts for text in (f"--{part}", corpus / part)]
    return builds.run_build(*inputs, "--format", form, "--output", output, *flags)


def processed(corpus: Path, output: Path, *flags: object) -> dict[str, dict]:
    built = build(corpus, output, *flags)
    assert built.returncode == 0, built.stderr
    assert built.version.failures == []
    return built.version.examples


def picture(example: dict) -> Image.Image:
    return Image.open(io.BytesIO(example["image"]["bytes"]))


def turned_point(x: float, y: float, rotation: int) -> tuple[float, float]:
    """Where a point comes to by quarters of a turn counter-clockwise, one after the other."""
    for _ in range(rotation // 90):
        x, y = y, 1 - x
    return x, y


def test_resized_to_the_shortest_side(
    corpus: Path, stored: dict[str, dict], tmp_path: Path
) -> None:
    small = processed(corpus, tmp_path, "--resize", "shortest", "--image_size", 160)
    assert small.keys() == stored.keys()
    for image_id, example in small.items():
        before = stored[image_id]
        size = (example["width"], example["height"])
        assert picture(example).size == size
        assert min(size) == 160
        assert (example["original_width"], example["original_height"]) == (
            before["width"],
            before["height"],
        )
        assert example["bboxes"] == before["bboxes"]
        whole = picture(before).resize(size, Image.Resampling.BOX)
        difference = np.asarray(picture(example), int) - np.asarray(whole, int)
        assert np.abs(difference).mean() < 4


def test_turned_upright(corpus: Path, stored: dict[str, dict], tmp_path: Path) -> None:
    flags = ("--apply_rotation", "--image_encoding", "png", "--mask_maps", "instance")
    turned = processed(corpus, tmp_path, *flags)
    pngs = {}
    for archive in (corpus / "masks").glob("*.zip"):
        with zipfile.ZipFile(archive) as opened:
            pngs |= {name: opened.read(name) for name in opened.namelist()}
    seen, masks, people = set(), 0, 0
    for image_id, example in turned.items():
        before = stored[image_id]
        rotation = before["rotation"] or 0
        assert example["published_rotation"] == before["published_rotation"] == before["rotation"]
        assert example["rotation"] == (None if before["rotation"] is None else 0)
        seen.add(rotation)
        pixels = np.rot90(np.asarray(picture(before).convert("RGB")), rotation // 90)
        assert picture(example).format == "PNG"
        assert np.abs(np.asarray(picture(example), int) - pixels).max() <= 2
        people += len(before["person_boxes"])
        boxes = [*example["bboxes"], *example["person_boxes"]]
        for box, old in zip(boxes, [*before["bboxes"], *before["person_boxes"]], strict=True):
            one = turned_point(old["xmin"], old["ymin"], rotation)
            two = turned_point(old["xmax"], old["ymax"], rotation)
            corners = (box["xmin"], box["xmax"], box["ymin"], box["ymax"])
            wanted = (*sorted((one[0], two[0])), *sorted((one[1], two[1])))
            assert corners == pytest.approx(wanted, abs=1e-6)
        for point, old in zip(example["points"], before["points"], strict=True):
            wanted = turned_point(old["x"], old["y"], rotation)
            assert (point["x"], point["y"]) == pytest.approx(wanted, abs=1e-6)
        for mask in example["masks"]:
            (name,) = (name for name in pngs if name.endswith(f"_{mask['box_id']}.png"))
            png = Image.open(io.BytesIO(pngs[name])).convert("L")
            size = (before["width"], before["height"])
            drawn = np.asarray(png.resize(size, Image.Resampling.NEAREST)) > 0
            wanted = np.rot90(drawn, rotation // 90)
            actual = coco.decode({"size": mask["size"], "counts": mask["counts"]})
            assert np.array_equal(actual, wanted)
            masks += 1
        instance = Image.open(io.BytesIO(example["instance_map"]["bytes"]))
        assert instance.size == (example["width"], example["height"])
    assert seen == {0, 90, 180, 270}
    assert masks > 20
    assert people > 10


def test_annotations_alone_are_turned(corpus: Path, tmp_path: Path) -> None:
    """Rotation is what is left to turn of them, and unknown stays unknown."""

    def built(*flags: str) -> dict[str, dict]:
        inputs = ("--annotations", corpus / "annotations", "--images", "none", *flags)
        outputs = ("--output", tmp_path / "-".join(["out", *flags]), "--format", "parquet")
        done = builds.run_build(*inputs, *outputs, "--num_workers", "1")
        assert done.returncode == 0, done.stderr
        return done.version.examples

    before, after = built(), built("--apply_rotation")
    published = {image_id: row["published_rotation"] for image_id, row in before.items()}
    assert {*published.values()} == {None, 0, 90, 180, 270}
    assert {image_id: row["rotation"] for image_id, row in before.items()} == published
    assert {i: row["published_rotation"] for i, row in after.items()} == published
    assert {i: row["rotation"] for i, row in after.items()} == {
        image_id: None if degrees is None else 0 for image_id, degrees in published.items()
    }
    for image_id, row in after.items():
        assert (row["original_width"], row["original_height"]) == (None, None)
        for box, old in zip(row["person_boxes"], before[image_id]["person_boxes"], strict=True):
            turned = turned_point(old["xmin"], old["ymin"], published[image_id] or 0)
            assert turned[0] == pytest.approx(box["xmin"], abs=1e-6) or turned[0] == pytest.approx(
                box["xmax"], abs=1e-6
            )


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--resize", "shortest"), "--resize and --image_size go together"),
        (("--image_size", "256"), "--resize and --image_size go together"),
        (("--quality", "101"), "from 1 to 100"),
        (("--quality", "9" * 5000), "a number of 5,000 digits is too large"),
        (("--image_encoding", "webp"), "TensorFlow can't decode it"),
    ],
)
def test_contradictions_are_one_line(
    corpus: Path, tmp_path: Path, flags: tuple[str, ...], words: str
) -> None:
    built = build(corpus, tmp_path, *flags, form="tfrecord")
    assert built.returncode == 2
    assert words in built.stderr
    assert built.stderr.count("\n") == 1
