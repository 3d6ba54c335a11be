"""Masks and relationships, from files to a report: values of a naive evaluation in each layout."""

import base64
import csv
import json
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.builds import Version, latest_version, run_build
from tests.evaluation import oracle
from tests.evaluation.cases import box_around
from tests.evaluation.commands import run_evaluate
from tests.evaluation.oracle import Detection, Label, Pair, Truth
from transforms.dataset import rle

_CORNERS = ("xmin", "xmax", "ymin", "ymax")
_MASK_HEADER = "ImageID,LabelName,Score,ImageWidth,ImageHeight,Mask"
_PAIR_HEADER = (
    "ImageID,Score,LabelName1,XMin1,YMin1,XMax1,YMax1,LabelName2,XMin2,YMin2,XMax2,YMax2,"
)


class Corpus(NamedTuple):
    """A synthesized corpus, and a version of it with masks and without pictures."""

    annotations: Path
    dataset: Path
    version: Version


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    synthesize = (sys.executable, "-m", "pipelines.synthesize", "--images", "40")
    subprocess.run([*synthesize, "--output", str(folder / "oid")], check=True, capture_output=True)
    build = run_build(
        *("--annotations", folder / "oid" / "annotations", "--masks", folder / "oid" / "masks"),
        *("--images", "none", "--format", "parquet", "--output", folder / "dataset"),
    )
    assert build.returncode == 0, build.stderr
    dataset = folder / "dataset"
    return Corpus(folder / "oid" / "annotations", dataset, latest_version(dataset))


def _labels(version: Version) -> list[Label]:
    return [
        Label(image_id, each["label"], each["confidence"] > 0)
        for image_id, row in version.examples.items()
        for each in row["image_labels"]
        if "machine" not in each["source"]
    ]


def _above(version: Version) -> dict[str, set[str]]:
    """Returns the classes above each, the root apart."""
    parents = {
        each["label"]: each["parents"]
        for each in json.loads((version.folder / "classes.json").read_text())
    }

    def above(label: str) -> set[str]:
        direct = {each for each in parents.get(label, ()) if parents.get(each)}
        return direct.union(*map(above, direct))

    return {label: above(label) for label in parents}


def _box(row: dict, end: str = "") -> oracle.Box:
    """The box of a row, as it was published: the shortest decimals."""
    return tuple(float(str(np.float32(row[f"{name}{end}"]))) for name in _CORNERS)


def _rounded(row: dict) -> tuple[int, ...]:
    """The corners by which a mask is found to be that of a box, in millionths."""
    return tuple(round(each * 1e6) for each in _box(row))


def _text(pixels: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(rle.encode(pixels)[0])).decode()


def test_masks(corpus: Corpus, tmp_path: Path):
    rng = np.random.default_rng(3)
    truths, detections = [], []
    for image_id, row in corpus.version.examples.items():
        masks = {(each["label"], _rounded(each)): each for each in row["masks"]}
        for box in row["bboxes"]:
            mask = masks.pop((box["label"], _rounded(box)), None)
            pixels = rle.decode(mask["counts"], *mask["size"]) if mask else None
            is_group = box["is_group_of"] == 1
            truths.append((Truth(image_id, box["label"], _box(box), is_group), pixels))
            if pixels is None:
                height, width = next((each["size"] for each in row["masks"]), (60, 80))
                left, right, top, bottom = _box(box)
                pixels = np.zeros((height, width), bool)
                rows = slice(int(top * height), int(bottom * height))
                pixels[rows, int(left * width) : int(right * width)] = True
            for shift in (0, *rng.integers(1, 20, 2)):
                moved = np.roll(pixels, shift, axis=1)
                score = len(detections) * 7919 % 10_007 / 10_007
                around = box_around(moved)
                detections.append((Detection(image_id, box["label"], around, score), moved))
        # Some masks have no box, and count all the same.
        for (label, _), mask in masks.items():
            pixels = rle.decode(mask["counts"], *mask["size"])
            truths.append((Truth(image_id, label, _box(mask), False), pixels))
    expected = oracle.mask_precisions(
        truths, _labels(corpus.version), detections, _above(corpus.version), 0.5
    )
    long, strings = [_MASK_HEADER], ["ImageID,ImageWidth,ImageHeight,PredictionString"]
    by_size: dict[tuple, list[str]] = {}
    for each, pixels in detections:
        height, width = pixels.shape
        values = (each.image, each.label, repr(each.score), width, height, _text(pixels))
        long.append(",".join(map(str, values)))
        own = by_size.setdefault((each.image, width, height), [])
        own += [each.label, repr(each.score), _text(pixels)]
    strings += [
        f"{image},{width},{height},{' '.join(words)}"
        for (image, width, height), words in by_size.items()
    ]
    for name, lines in (("long.csv", long), ("strings.csv", strings)):
        found = _per_class(corpus, tmp_path, name, lines, "challenge_segmentation")
        assert found == pytest.approx(expected, abs=1e-9)
    # The same ground truth as a table with masks as text.
    header = "ImageID,LabelName,ImageWidth,ImageHeight,XMin,XMax,YMin,YMax,IsGroupOf,Mask"
    rows = []
    for truth, pixels in truths:
        height, width = (1, 1) if pixels is None else pixels.shape
        text = "" if pixels is None else _text(pixels)
        corners = ",".join(map(repr, truth.box))
        values = (truth.image, truth.label, width, height, corners, int(truth.is_group), text)
        rows.append(",".join(map(str, values)))
    folder = tmp_path / "truth"
    folder.mkdir()
    (folder / "validation-masks-bbox.csv").write_text("\n".join([header, *rows]) + "\n")
    for table in corpus.annotations.glob("*-human-imagelabels*.csv"):
        (folder / table.name).symlink_to(table)
    for table in corpus.annotations.glob("*hierarchy*.json"):
        (folder / table.name).symlink_to(table)
    found = _per_class(corpus, tmp_path, "long.csv", long, "challenge_segmentation", folder)
    assert found == pytest.approx(expected, abs=1e-9)
    matches = pq.ParquetDataset(sorted((tmp_path / "report" / "matches").iterdir())).read()
    verdicts = set(matches["verdict"].to_pylist())
    assert {"true_positive", "false_positive", "mask_unknown", "in_group"} <= verdicts


def _per_class(
    corpus: Corpus,
    folder: Path,
    name: str,
    lines: Sequence[str],
    protocol: str,
    truth: Path | None = None,
) -> dict[str, float]:
    """Evaluates lines of a file, and returns the average precision of each class."""
    (folder / name).write_text("\n".join(lines) + "\n")
    done = run_evaluate(
        *("--ground_truth", truth or corpus.dataset, "--predictions", folder / name),
        *("--protocol", protocol, "--output", folder / "report"),
    )
    assert done.code == 0, done.stderr
    with (folder / "report" / "per_class.csv").open() as file:
        return {
            row["label"]: float(row["average_precision"])
            for row in csv.DictReader(file)
            if row["average_precision"]
        }


@pytest.mark.parametrize("spelling", ["RelationshipLabel", "RelationLabel", None])
def test_relationships(corpus: Corpus, tmp_path: Path, spelling: str | None):
    rng = np.random.default_rng(5)
    truths, detections = [], []
    for image_id, row in corpus.version.examples.items():
        for each in row["relationships"]:
            boxes = _box(each, "1"), _box(each, "2")
            labels = each["label1"], each["label2"]
            truths.append(Pair(image_id, labels, each["relationship"], boxes))
            for spread in (0.0, 0.02, 0.1):
                moved = tuple(
                    tuple((np.array(box) + rng.normal(0, spread, 4)).round(6).tolist())
                    for box in boxes
                )
                score = len(detections) * 7919 % 10_007 / 10_007
                detections.append(Pair(image_id, labels, each["relationship"], moved, score))
    absent = Pair("0" * 16, ("/m/01g317", "/m/01g317"), "at", truths[0].boxes, 0.5)
    if spelling:
        lines = [_PAIR_HEADER + spelling]
        lines += [",".join((each.image, *_words(each))) for each in (*detections, absent)]
    else:
        strings: dict[str, list[str]] = {}
        for each in (*detections, absent):
            strings.setdefault(each.image, []).extend(_words(each))
        lines = ["ImageId,PredictionString"]
        lines += [f"{image},{' '.join(words)}" for image, words in strings.items()]
    (tmp_path / "relationships.csv").write_text("\n".join(lines) + "\n")
    truth = corpus.dataset if spelling else corpus.annotations
    done = run_evaluate(
        *("--ground_truth", truth, "--predictions", tmp_path / "relationships.csv"),
        *("--protocol", "relationships,phrases", "--output", tmp_path / "report"),
        *("--max_bad_rate", "0.05"),
    )
    assert done.code == 0, done.stderr
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    with (tmp_path / "report" / "per_class.csv").open() as file:
        precisions = {
            (row["protocol"], row["label"]): float(row["average_precision"])
            for row in csv.DictReader(file)
            if row["average_precision"]
        }
    for protocol, is_phrase in (("relationships", False), ("phrases", True)):
        expected = oracle.pair_metrics(truths, _labels(corpus.version), detections, 0.5, is_phrase)
        for name, value in expected.items():
            if name.startswith("AP/"):
                found = precisions[protocol, name.removeprefix("AP/")]
            else:
                found = report["metrics"][f"VRDMetric_{protocol.title()}_{name}@0.5IOU"]
            assert found == pytest.approx(value, abs=1e-6), name  # boxes are float32
    score = [
        report["metrics"][f"VRDMetric_{name}@0.5IOU"]
        for name in ("Relationships_mAP", "Relationships_Recall@50", "Phrases_mAP", "Score")
    ]
    assert score[3] == pytest.approx(0.4 * score[0] + 0.2 * score[1] + 0.4 * score[2])
    assert sum(each["other_images"] for each in report["sources"]) == 1


def _words(pair: Pair) -> list[str]:
    """Returns score, labels, boxes and relation in the order of `_PAIR_HEADER`."""
    words = [repr(pair.score)]
    for label, box in zip(pair.labels, pair.boxes, strict=True):
        words += [label, *(repr(box[at]) for at in (0, 2, 1, 3))]
    return [*words, pair.relation]


def test_the_ground_truth_finds_itself(corpus: Corpus, tmp_path: Path):
    protocols = "oid_v2,challenge,mmdet,challenge_segmentation,relationships,phrases"
    given = ("--ground_truth", corpus.dataset, "--self_check", "--protocol", protocols)
    done = run_evaluate(*given, "--output", tmp_path / "report")
    assert done.code == 0, done.stderr
    metrics = json.loads((tmp_path / "report" / "report.json").read_text())["metrics"]
    assert len(metrics) == 13
    assert set(metrics.values()) == {1.0}


def test_ground_truth_that_repeats_does_not_find_itself(tmp_path: Path):
    row = "0000000000000001,xclick,/m/01g317,1,0.1,0.5,0.1,0.5,0,0,0,0,0"
    header = (
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,"
        "IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
    )
    table = tmp_path / "validation-annotations-bbox.csv"
    table.write_text("\n".join([header, row, row]) + "\n")
    done = run_evaluate("--ground_truth", table, "--self_check", "--output", tmp_path / "report")
    assert done.code == 1
    assert "repeat each other or have no area" in done.error


@pytest.mark.parametrize(
    "text",
    [
        "no Base64",
        base64.b64encode(b"not zlib").decode(),
        base64.b64encode(zlib.compress(b"1234")).decode(),  # of another size
        base64.b64encode(zlib.compress(b"\xff" * 9)).decode(),
        base64.b64encode(zlib.compress(b"o" * 40)).decode(),  # a number without end
        base64.b64encode(zlib.compress(rle.encode(np.ones((8, 8), bool))[0])[:-3]).decode(),
    ],
)
def test_a_bad_mask_is_listed(corpus: Corpus, tmp_path: Path, text: str):
    image_id = next(iter(corpus.version.examples))
    good = _text(np.ones((8, 8), bool))
    lines = [_MASK_HEADER, *(f"{image_id},/m/01g317,0.5,8,8,{each}" for each in (good, text))]
    (tmp_path / "masks.csv").write_text("\n".join(lines) + "\n")
    done = run_evaluate(
        *("--ground_truth", corpus.dataset, "--predictions", tmp_path / "masks.csv"),
        *("--protocol", "challenge_segmentation", "--output", tmp_path / "report"),
        *("--max_bad_rate", "0.5"),
    )
    assert done.code == 0, done.stderr
    (bad,) = csv.DictReader((tmp_path / "report" / "bad_rows.csv").open())
    assert bad["line"] == "3"
    assert bad["detail"].startswith("Mask is not the Base64 of zlib")


@pytest.mark.parametrize(
    ("header", "protocol", "words"),
    [
        (_MASK_HEADER, "challenge", "--protocol challenge: it measures boxes"),
        (_PAIR_HEADER + "RelationLabel", "challenge_segmentation", "it measures masks"),
        (_MASK_HEADER, "relationships", "it measures relationships"),
        ("ImageID,LabelName,Score,Mask", "challenge_segmentation", "lacks ImageWidth, ImageHeight"),
    ],
)
def test_predictions_of_another_sort_are_refused(
    corpus: Corpus, tmp_path: Path, header: str, protocol: str, words: str
):
    (tmp_path / "predictions.csv").write_text(header + "\n")
    done = run_evaluate(
        *("--ground_truth", corpus.dataset, "--predictions", tmp_path / "predictions.csv"),
        *("--protocol", protocol, "--output", tmp_path / "report"),
    )
    assert done.code == 2
    assert words in done.error


def test_masks_are_read_of_versions(corpus: Corpus, tmp_path: Path):
    (tmp_path / "masks.csv").write_text(_MASK_HEADER + "\n")
    done = run_evaluate(
        *("--ground_truth", corpus.annotations, "--predictions", tmp_path / "masks.csv"),
        *("--protocol", "challenge_segmentation", "--output", tmp_path / "report"),
    )
    assert done.code == 2
    assert "no masks: PNGs are read by a build with --masks" in done.error
