"""YOLO: labels and pictures against the Parquet of the same build; polygons drawn again."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from tests.builds import Build, run_build
from transforms.dataset.classes import ClassTable
from transforms.formats.format import Content
from transforms.formats.loose import read_files
from transforms.formats.settings import FormatSettings
from transforms.formats.yolo import labels
from transforms.formats.yolo.data_yaml import FOLDERS, describe
from transforms.formats.yolo.format import FORMAT
from transforms.formats.yolo.polygons import trace_mask
from transforms.kinds.registry import EXAMPLE

IMAGES = 30


@pytest.fixture(scope="module")
def inputs(make_corpus: Callable[[str, int], Path]) -> list[str]:
    corpus = make_corpus("v7", IMAGES)
    return [f"--{name}={corpus / name}" for name in ("annotations", "images", "masks")]


def build(inputs: list[str], output: Path, *flags: str) -> Build:
    built = run_build(*inputs, "--output", output, "--format", "yolo,parquet", *flags)
    assert built.returncode == 0, built.stderr
    return built


@pytest.fixture(scope="module")
def boxes(inputs: list[str], tmp_path_factory: pytest.TempPathFactory) -> Build:
    return build(inputs, tmp_path_factory.mktemp("boxes"), "--yolo_drop", "group_of,depiction")


@pytest.fixture(scope="module")
def masks(inputs: list[str], tmp_path_factory: pytest.TempPathFactory) -> Build:
    return build(inputs, tmp_path_factory.mktemp("masks"), "--yolo_task", "segment")


def class_names(built: Build) -> list[str]:
    classes = json.loads((built.version.folder / "classes.json").read_text())
    return [each["label"] for each in classes]


def read_labels(built: Build, example: dict) -> list[tuple[str, np.ndarray]]:
    """The MID and numbers of each line of an image."""
    folder = built.version.folder / "yolo" / "labels" / FOLDERS[example["split"]]
    lines = (folder / f"{example['image_id']}.txt").read_text().splitlines()
    mids = class_names(built)
    words = [line.split(" ") for line in lines]
    assert all(len(word) == len("0.123456") for each in words for word in each[1:])
    return [(mids[int(each[0])], np.array(each[1:], float)) for each in words]


def test_every_picture_is_there_as_it_is(boxes: Build):
    version = boxes.version
    folder = version.folder / "yolo"
    expected = {"data.yaml"}
    for example in version.examples.values():
        place = f"{FOLDERS[example['split']]}/{example['image_id']}"
        picture = folder / "images" / f"{place}.jpg"
        assert picture.read_bytes() == example["image"]["bytes"]
        expected |= {f"images/{place}.jpg", f"labels/{place}.txt"}
    expected |= {f"files/{split}-00000-of-00001.sha256" for split in FOLDERS}
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == expected


#: Columns by what the report calls their annotations.
NOUNS = {
    "boxes": "bboxes",
    **{
        name.replace("_", " "): name
        for name in ("image_labels", "person_boxes", "masks", "relationships", "narratives")
    },
    "points": "points",
}


def count_others(built: Build, held: str) -> Counter[str]:
    """How many annotations examples have outside of a column."""
    counts = {
        noun: sum(len(each[column] or ()) for each in built.version.examples.values())
        for noun, column in NOUNS.items()
        if column != held
    }
    return +Counter(counts)


def test_a_line_a_box(boxes: Build):
    dropped = count_others(boxes, "bboxes")
    assert dropped
    for example in boxes.version.examples.values():
        wanted = []
        for box in example["bboxes"]:
            flags = [name for name in ("group_of", "depiction") if box[f"is_{name}"] == 1]
            dropped.update(f"boxes with is_{name}" for name in flags[:1])
            if not flags:
                wanted.append(box)
        found = read_labels(boxes, example)
        assert [mid for mid, _ in found] == [box["label"] for box in wanted]
        for (_, (x, y, width, height)), box in zip(found, wanted, strict=True):
            sides = [x - width / 2, x + width / 2, y - height / 2, y + height / 2]
            published = [box[name] for name in ("xmin", "xmax", "ymin", "ymax")]
            np.testing.assert_allclose(sides, published, atol=1.6e-6)
            assert min(sides) >= -1e-12
            assert max(sides) <= 1 + 1e-12
    assert any(what.startswith("boxes with") for what in dropped)
    assert boxes.version.manifest["dropped"] == {"yolo": dict(dropped)}
    for what, count in dropped.items():
        assert any(line.split() == ["yolo", *what.split(), f"{count:,}"] for line in lines(boxes))


def lines(built: Build) -> list[str]:
    return built.stdout.splitlines()


def test_a_line_a_mask(masks: Build):
    drawn = 0
    for example in masks.version.examples.values():
        size = example["height"], example["width"]
        found = read_labels(masks, example)
        assert [mid for mid, _ in found] == [mask["label"] for mask in example["masks"]]
        for (_, numbers), mask in zip(found, example["masks"], strict=True):
            points = np.floor(numbers.reshape(-1, 2) * (size[1], size[0]))
            pixels = coco.decode({"counts": mask["counts"], "size": [*size]})
            found_pixels = draw(points, size)
            # Bridges between parts, and parts that are left out.
            assert np.all(cv2.erode(found_pixels & ~pixels, np.ones((3, 3))) == 0)
            assert np.count_nonzero(pixels & ~found_pixels) <= 0.01 * mask["area"]
            drawn += 1
    assert drawn
    assert masks.version.manifest["dropped"] == {"yolo": dict(count_others(masks, "masks"))}


def draw(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Draws a polygon as Ultralytics does."""
    drawn = np.zeros(size, np.uint8)
    cv2.fillPoly(drawn, [points.astype(np.int32)], 1)
    return drawn


def trace(mask: np.ndarray) -> np.ndarray | None:
    counts = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    return trace_mask(counts, mask.shape)


def rectangle(size: tuple[int, int], *sides: tuple[int, int, int, int]) -> np.ndarray:
    """A mask of rectangles (top, bottom, left, right), each of which inverts what is there."""
    mask = np.zeros(size, bool)
    for top, bottom, left, right in sides:
        mask[top:bottom, left:right] ^= True
    return mask


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(rectangle((9, 9), (0, 9, 0, 9)), id="all of the picture"),
        pytest.param(rectangle((40, 50), (5, 35, 5, 45), (10, 20, 10, 20)), id="a hole"),
        pytest.param(
            rectangle((60, 60), (0, 60, 0, 60), (9, 19, 9, 19), (9, 19, 40, 50), (40, 50, 9, 19)),
            id="three holes",
        ),
        pytest.param(
            rectangle((60, 60), (0, 60, 0, 60), (10, 50, 10, 50), (20, 40, 20, 40)),
            id="a part in a hole",
        ),
    ],
)
def test_holes_are_kept(mask: np.ndarray):
    missing = draw(trace(mask), mask.shape) != mask
    # A bridge from a part to the hole that it lies in is a pixel wide.
    assert np.count_nonzero(missing) <= 10


def test_parts_are_joined_by_bridges_a_pixel_wide():
    mask = rectangle((50, 90), (5, 25, 5, 25), (5, 25, 60, 80), (30, 45, 30, 45))
    drawn = draw(trace(mask), mask.shape).astype(bool)
    assert np.all(drawn[mask])
    bridges = drawn & ~mask
    assert 0 < np.count_nonzero(bridges) < 80
    assert np.all(cv2.erode(bridges.astype(np.uint8), np.ones((3, 3))) == 0)


def test_specks_are_left_out():
    mask = rectangle((100, 100), (0, 80, 0, 80), (90, 92, 90, 92), (40, 41, 40, 41))
    mask[95, 5] = True  # a pixel
    found = trace(mask)
    assert np.all(found.max(axis=0) == 79)  # the part of 4 pixels is below a thousandth, too
    assert np.all(draw(found, mask.shape)[:80, :80])


@pytest.mark.parametrize("pixels", [np.s_[3, 3], np.s_[3, 2:6], np.s_[2:6, 3]])
def test_a_mask_without_any_width_has_no_polygon(pixels: tuple):
    mask = np.zeros((9, 9), bool)
    mask[pixels] = True
    assert trace(mask) is None
    assert trace(np.zeros((9, 9), bool)) is None


def test_a_mask_of_noise_takes_little_time():
    mask = np.random.default_rng(0).random((1024, 1024)) < 0.4
    assert len(trace(mask)) > 3


unit = st.floats(0, 1, width=32)


@given(st.lists(st.tuples(unit, unit, unit, unit), max_size=8))
def test_no_box_leaves_the_picture(corners: list[tuple[float, ...]]):
    drawn = np.array(corners, np.float32).reshape(-1, 2, 2)
    given_corners = np.hstack([drawn.min(axis=1), drawn.max(axis=1)])
    units = labels.box_units(given_corners)
    doubled = np.hstack([2 * units[:, :2] - units[:, 2:], 2 * units[:, :2] + units[:, 2:]])
    assert np.all((doubled >= 0) & (doubled <= 2_000_000))
    np.testing.assert_allclose(doubled / 2e6, given_corners, atol=1.6e-6)
    numbers = np.arange(len(units)) * 997
    expected = [
        f"{number} {' '.join(f'{value / 1e6:.6f}' for value in row)}\n"
        for number, row in zip(numbers, units, strict=True)
    ]
    lines = labels.box_lines(numbers, units).to_pylist()
    assert [line.decode() for line in lines] == expected


NAMES = [
    *("yes", "null", "~", "1.0", "0x1F", "a: b", "# no comment", "- x", "{", "'", '"', "\\", ""),
    *("Café", "猫", "😀", "tab\there", "a\nb", "\x85", "\u2028", "\ufeff", "\x7f", "\x00", " a "),
]


@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.CSafeLoader])
def test_any_name_is_read_back(loader: type):
    text = describe(["train", "validation"], NAMES)
    assert yaml.load(text, loader) == {
        "train": "images/train",
        "val": "images/val",
        "nc": len(NAMES),
        "names": dict(enumerate(NAMES)),
    }
    alone = yaml.load(describe(["test"], NAMES), loader)
    assert (alone["train"], alone["val"], alone["test"]) == (None, None, "images/test")


def test_classes_are_those_of_the_build(boxes: Build):
    described = yaml.safe_load((boxes.version.folder / "yolo" / "data.yaml").read_text())
    classes = json.loads((boxes.version.folder / "classes.json").read_text())
    assert described["nc"] == len(classes)
    assert described["names"] == {
        each["index"] - 1: each["name"] or each["label"] for each in classes
    }
    assert "path" not in described


BOX = {"label": "/m/a", "xmin": 0.25, "xmax": 0.5, "ymin": 0.25, "ymax": 0.5}
CLASSES = ClassTable(
    [
        {"index": 1, "label": "/m/b", "name": "B"},
        {"index": 2, "label": "/m/a", "name": "A"},
        {"index": None, "label": "/m/none", "name": "None"},
    ]
)


def write(folder: Path, rows: list[dict], **settings: object) -> tuple[dict[str, bytes], dict]:
    """The files of some examples by path, and what was dropped."""
    content = Content(EXAMPLE.names, FormatSettings(**settings), CLASSES)
    writer = FORMAT.open_part(str(folder / "part"), content)
    for place, row in enumerate(rows):
        row |= {"image_id": f"{place:016x}", "split": "train"}
        row["image"] = {"bytes": b"picture", "path": f"{place:016x}.png"}
    writer.write(pa.Table.from_pylist(rows, EXAMPLE))
    part = writer.close()
    files = {file.path: bytes(file.data) for file in read_files(part.path) if file.path}
    return files, dict(part.dropped)


def test_boxes_that_no_line_can_hold(tmp_path: Path):
    rows = [
        BOX,
        BOX | {"is_occluded": 1},  # the same line
        BOX | {"label": "/m/none"},
        BOX | {"xmax": 0.25},
        BOX | {"ymax": 0.25 + 1e-7},
        BOX | {"is_group_of": 1},
        BOX | {"label": "/m/b", "is_group_of": -1},
    ]
    files, dropped = write(tmp_path, [{"bboxes": rows}, {"bboxes": []}, {}], yolo_drop=["group_of"])
    assert {path: text.decode() for path, text in files.items() if path.endswith(".txt")} == {
        f"yolo/labels/train/{0:016x}.txt": "1 0.375000 0.375000 0.250000 0.250000\n"
        "0 0.375000 0.375000 0.250000 0.250000\n",
        f"yolo/labels/train/{1:016x}.txt": "",
        f"yolo/labels/train/{2:016x}.txt": "",
    }
    assert files[f"yolo/images/train/{0:016x}.png"] == b"picture"
    assert dropped == {
        "boxes of classes without an index": 1,
        "boxes that repeat another one": 1,
        "boxes with is_group_of": 1,
        "boxes without an area": 2,
    }


def test_masks_that_no_line_can_hold(tmp_path: Path):
    def mask(pixels: np.ndarray, label: str = "/m/a") -> dict:
        counts = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))["counts"]
        return {"label": label, "size": [4, 8], "counts": counts}

    square = mask(rectangle((4, 8), (0, 4, 0, 4)))
    speck = mask(rectangle((4, 8), (0, 1, 0, 1)))
    rows = [square, speck, {"label": "/m/a"}, square | {"label": "/m/none"}, square]
    files, dropped = write(tmp_path, [{"masks": rows, "bboxes": [BOX]}], yolo_task="segment")
    number, *points = files[f"yolo/labels/train/{0:016x}.txt"].decode().split()
    assert number == "1"
    assert {*zip(points[::2], points[1::2], strict=True)} == {
        (x, y) for x in ("0.062500", "0.437500") for y in ("0.125000", "0.875000")
    }
    assert dropped == {
        "boxes": 1,
        "masks of a pixel or a line of pixels": 1,
        "masks of classes without an index": 1,
        "masks that repeat another one": 1,
        "masks without pixels": 1,
    }


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ((1, "--images=none"), "--format yolo: its labels go with pictures: name them by --images"),
        (
            (2, "--label_types=masks"),
            "--format yolo: its labels are boxes: name a file of them by --annotations",
        ),
        (
            (2, "--yolo_task=segment"),
            "--format yolo: --yolo_task segment writes masks: name their table by --annotations "
            "and their PNGs by --masks",
        ),
        (
            (3, "--yolo_task=segment", "--yolo_drop=group_of"),
            "leave images of such boxes out by --where_images 'boxes.is_group_of != 1'",
        ),
        ((3, "--yolo_drop=groups"), "--yolo_drop: "),
    ],
)
def test_wrong_use_is_one_line(inputs: list[str], tmp_path: Path, change: tuple, expected: str):
    kept, *flags = change
    built = run_build(*inputs[:kept], *flags, "--output", tmp_path / "output", "--format", "yolo")
    assert built.returncode == 2
    (line,) = built.stderr.splitlines()
    assert expected in line
