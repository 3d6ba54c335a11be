"""Bulk annotations, read with csv and json only."""

import base64
import csv
import hashlib
import itertools
import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from pipelines import synthesize

IMAGES = 20_000
SPLITS = ("train", "validation", "test")
PER_IMAGE = {
    "*images*rotation.csv": 1.0,
    "*annotations-bbox.csv": 1.7,
    "*human-imagelabels.csv": 7.0,
    "*machine-imagelabels.csv": 18.0,
    "*point-labels.csv": 7.0,
    "*object-segmentation.csv": 0.3,
    "*vrd.csv": 0.36,
}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(output: Path, *flags: str) -> Path:
    arguments = ["--output", str(output), "--pixels", "none", *flags]
    assert synthesize.main(arguments) == 0
    return output / "annotations"


@pytest.fixture(scope="module")
def bulk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("bulk"), "--images", str(IMAGES), "--num_workers", "1")


def test_proportions_are_the_published_ones(bulk: Path) -> None:
    for pattern, mean in PER_IMAGE.items():
        rows = sum(len(table(path)) for path in bulk.glob(pattern))
        assert rows == pytest.approx(mean * IMAGES, rel=0.1), pattern
    # Of all 9,178,275.
    for pattern, images in (("validation-images*", 41_620), ("test-images*", 125_436)):
        rows = sum(len(table(path)) for path in bulk.glob(pattern))
        assert rows == pytest.approx(images / 9_178_275 * IMAGES, abs=1), pattern
    lines = [
        line
        for path in bulk.glob("*narratives*.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    assert len(lines) == pytest.approx(0.07 * IMAGES, rel=0.1)
    assert sum(map(len, lines)) / len(lines) == pytest.approx(3000, rel=0.1)
    for record in map(json.loads, lines[::50]):
        assert record["image_id"] in record["voice_recording"]
        assert record["traces"][0]


def test_images_are_valid_and_odd(bulk: Path) -> None:
    rows = [row for path in bulk.glob("*images*rotation.csv") for row in table(path)]
    assert len({row["ImageID"] for row in rows}) == IMAGES
    assert {row["ImageID"][0] for row in rows} == set("0123456789abcdef")
    for row in rows:
        assert len(row["ImageID"]) == 16
        assert len(base64.b64decode(row["OriginalMD5"], validate=True)) == 16
        assert int(row["OriginalSize"]) > 0
        assert row["OriginalURL"].endswith("_o.jpg")
    assert {row["Rotation"] for row in rows} == {"0.0", "90.0", "180.0", "270.0", "", "nan"}
    empty = sum(row["Thumbnail300KURL"] == "" for row in rows)
    assert empty == pytest.approx(0.025 * IMAGES, rel=0.2)
    titles = [row["Title"] for row in rows]
    assert all(any(mark in title for title in titles) for mark in '",\n夏🎉')


def test_boxes_are_valid_and_masks_and_relationships_use_them(bulk: Path) -> None:
    names = {"train": "oidv6-train-annotations-bbox.csv"}
    for split in SPLITS:
        ids = {row["ImageID"] for path in bulk.glob(f"{split}-images*") for row in table(path)}
        rows = table(bulk / names.get(split, f"{split}-annotations-bbox.csv"))
        counts = Counter(row["ImageID"] for row in rows)
        assert counts.keys() <= ids
        assert len(counts) < 0.25 * len(ids)
        assert len(set(counts.values())) > 10
        known = defaultdict(set)
        for row in rows:
            edges = [float(row[f]) for f in ("XMin", "XMax", "YMin", "YMax")]
            assert 0 <= edges[0] < edges[1] <= 1
            assert 0 <= edges[2] < edges[3] <= 1
            clicks = [float(row[f]) for f in row if f.startswith("XClick")]
            if clicks and row["Source"] == "xclick":
                assert (min(clicks[:4]), max(clicks[:4])) == (edges[0], edges[1])
                assert (min(clicks[4:]), max(clicks[4:])) == (edges[2], edges[3])
            else:
                assert set(clicks) <= {-1}
            known[row["ImageID"]].add((row["LabelName"], *(round(edge, 4) for edge in edges)))
        masks = table(bulk / f"{split}-annotations-object-segmentation.csv")
        classes = set((bulk / "classes-segmentation.txt").read_text().split())
        assert {row["LabelName"] for row in masks} <= classes
        assert len({row["MaskPath"] for row in masks}) == len(masks)
        boxes = [(row, "", "LabelName", "Box") for row in masks]
        for row in table(bulk / f"oidv6-{split}-annotations-vrd.csv"):
            boxes.append((row, "1", "LabelName1", ""))
            if row["RelationshipLabel"] == "is":
                assert row["XMin1"] == row["XMin2"]
            else:
                boxes.append((row, "2", "LabelName2", ""))
        fields = ("XMin", "XMax", "YMin", "YMax")
        for row, suffix, label, prefix in boxes:
            edges = [round(float(row[f"{prefix}{f}{suffix}"]), 4) for f in fields]
            near = {
                box
                for box in known[row["ImageID"]]
                if box[0] == row[label]
                and all(abs(a - b) < 2e-4 for a, b in zip(box[1:], edges, strict=True))
            }
            assert near


def test_labels_are_many_skewed_and_rarely_twice(bulk: Path) -> None:
    rows = table(bulk / "oidv7-train-annotations-machine-imagelabels.csv")
    classes = Counter(row["LabelName"] for row in rows)
    common = sum(count for _, count in classes.most_common(len(classes) // 10))
    assert common > 0.5 * len(rows)
    assert len(classes) > 10_000
    pairs = Counter((row["ImageID"], row["LabelName"]) for row in rows)
    assert len(pairs) > 0.99 * len(rows)
    assert {"1", "1.0", "0.7"} <= {row["Confidence"] for row in rows}
    ids = [row["ImageID"] for row in rows]
    assert sum(a == b for a, b in itertools.pairwise(ids)) < 0.01 * len(ids)


def test_line_ends_are_odd(bulk: Path) -> None:
    human = (bulk / "oidv7-test-annotations-human-imagelabels.csv").read_bytes()
    assert human.count(b"\r\n") == human.count(b"\n")
    assert not (bulk / "validation-annotations-bbox.csv").read_bytes().endswith(b"\n")
    assert b"\n\n" in (bulk / "oidv7-val-annotations-point-labels.csv").read_bytes()


def test_the_workers_do_not_change_the_bytes(tmp_path: Path) -> None:
    digests = []
    for workers in ("1", "2"):
        annotations = write(
            tmp_path / workers, "--images", "3000", "--num_workers", workers, "--seed", "7"
        )
        files = sorted(annotations.iterdir())
        digests.append([(f.name, hashlib.md5(f.read_bytes()).hexdigest()) for f in files])
    assert digests[0] == digests[1]


@pytest.mark.parametrize("images", ["1", "60"])
def test_few_images_are_enough(tmp_path: Path, images: str) -> None:
    annotations = write(tmp_path, "--images", images, "--num_workers", "1")
    rows = [row for path in annotations.glob("*images*rotation.csv") for row in table(path)]
    assert len(rows) == int(images)


def test_v3_has_its_own_layout(tmp_path: Path) -> None:
    folder = (
        write(tmp_path, "--images", "3000", "--release", "v3", "--num_workers", "1") / "2017_11"
    )
    assert len(table(folder / "train/images.csv")) == 2945
    assert len(table(folder / "train/annotations-human-bbox.csv")[0]) == 8
    assert len(table(folder / "validation/annotations-human-bbox.csv")[0]) == 13
    sources = {row["Source"] for row in table(folder / "train/annotations-human-bbox.csv")}
    assert sources == {"xclick", "activemil", "verification"}
    assert len(table(folder / "test/annotations-machine.csv")) == 18 * 41
