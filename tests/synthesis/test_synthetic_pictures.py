"""The corpus with pictures, read with csv, json, zipfile and Pillow only."""

import base64
import csv
import hashlib
import itertools
import json
import tarfile
import zipfile
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines import synthesize

SPLITS = ("train", "validation", "test")
SHORT = {"train": "train", "validation": "val", "test": "test"}
BOXES = {
    "train": "oidv6-train-annotations-bbox.csv",
    "validation": "validation-annotations-bbox.csv",
    "test": "test-annotations-bbox.csv",
}
IMAGES = {
    "train": "train-images-boxable-with-rotation.csv",
    "validation": "validation-images-with-rotation.csv",
    "test": "test-images-with-rotation.csv",
}
# As the publisher's own files begin.
BOXES_13 = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,"
    "IsDepiction,IsInside"
)
HEADERS = {
    IMAGES["train"]: (
        "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,"
        "OriginalSize,OriginalMD5,Thumbnail300KURL,Rotation"
    ),
    BOXES["train"]: (
        f"{BOXES_13},XClick1X,XClick2X,XClick3X,XClick4X,XClick1Y,XClick2Y,XClick3Y,XClick4Y"
    ),
    BOXES["validation"]: BOXES_13,
    BOXES["test"]: BOXES_13,
    "open_images_extended_miap_boxes_val.csv": (
        "ImageID,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,"
        "IsDepictionOf,IsInsideOf,GenderPresentation,AgePresentation"
    ),
    "train-annotations-object-segmentation.csv": (
        "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks"
    ),
    "oidv6-test-annotations-vrd.csv": (
        "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,"
        "RelationshipLabel"
    ),
    "oidv7-val-annotations-point-labels.csv": (
        "ImageId,X,Y,Label,EstimatedYesNo,Source,YesVotes,NoVotes,UnsureVotes,TextLabel"
    ),
    "oidv7-val-annotations-human-imagelabels.csv": "ImageID,Source,LabelName,Confidence",
    "oidv7-train-annotations-machine-imagelabels.csv": "ImageID,Source,LabelName,Confidence",
    "oidv7-class-descriptions.csv": "LabelName,DisplayName",
}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(f.relative_to(folder)): hashlib.md5(f.read_bytes()).hexdigest() for f in files}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("corpus")
    assert synthesize.main(["--output", str(output), "--images", "50", "--num_workers", "1"]) == 0
    return output


def all_rows(corpus: Path, names: dict[str, str]) -> list[dict[str, str]]:
    return [row for split in SPLITS for row in table(corpus / "annotations" / names[split])]


def test_the_workers_do_not_change_the_bytes(tmp_path: Path) -> None:
    for pixels, workers in (("zip", "1"), ("zip", "2"), ("tar", "1")):
        output = str(tmp_path / pixels / workers)
        flags = ["--output", output, "--images", "10", "--pixels", pixels]
        assert synthesize.main([*flags, "--num_workers", workers]) == 0
    assert digest(tmp_path / "zip/1") == digest(tmp_path / "zip/2")
    with zipfile.ZipFile(tmp_path / "zip/1/images/train.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with tarfile.open(tmp_path / "tar/1/images/train.tar") as archive:
        same = {member.name: archive.extractfile(member).read() for member in archive}
    assert members == same
    assert len(members) == 8
    assert all(name.startswith("train/") and name.endswith(".jpg") for name in members)


def test_headers_are_the_published_ones(corpus: Path) -> None:
    for name, header in HEADERS.items():
        text = (corpus / "annotations" / name).read_text(encoding="utf-8")
        assert text.splitlines()[0] == header, name
    annotations = corpus / "annotations"
    boxable = (annotations / "class-descriptions-boxable.csv").read_text().splitlines()
    assert len(boxable) == 601
    assert boxable[0].startswith("/m/")


def test_every_image_has_one_row_and_a_jpeg(corpus: Path) -> None:
    ids = []
    for split in SPLITS:
        rows = table(corpus / "annotations" / IMAGES[split])
        assert rows
        for row in rows:
            assert row["Subset"] == split
            assert len(row["ImageID"]) == 16
            assert set(row["ImageID"]) <= set("0123456789abcdef")
            assert len(base64.b64decode(row["OriginalMD5"], validate=True)) == 16
            with Image.open(corpus / "images" / split / f"{row['ImageID']}.jpg") as picture:
                picture.load()
                assert picture.format == "JPEG"
                assert 320 <= max(picture.size) <= 768
        ids += [row["ImageID"] for row in rows]
    assert len(set(ids)) == len(ids) == 50
    assert len(list((corpus / "images").rglob("*.jpg"))) == 50
    assert {image_id[0] for image_id in ids} == set("0123456789abcdef")


def test_rows_are_valid(corpus: Path) -> None:
    ids = {row["ImageID"] for row in all_rows(corpus, IMAGES)}
    for row in all_rows(corpus, BOXES):
        assert row["ImageID"] in ids
        assert 0 <= float(row["XMin"]) < float(row["XMax"]) <= 1
        assert 0 <= float(row["YMin"]) < float(row["YMax"]) <= 1
        assert {row[f] for f in row if f.startswith("Is")} <= {"-1", "0", "1"}
        clicks = [float(row[f]) for f in row if f.startswith("XClick")]
        if clicks and row["Source"] == "xclick":
            assert min(clicks[:4]) == float(row["XMin"])
            assert max(clicks[4:]) == float(row["YMax"])
        else:
            assert set(clicks) <= {-1}
    points = {split: f"oidv7-{SHORT[split]}-annotations-point-labels.csv" for split in SPLITS}
    for row in all_rows(corpus, points):
        assert 0 <= float(row["X"]) <= 1
        assert 0 <= float(row["Y"]) <= 1
        votes = [int(row[f]) for f in ("YesVotes", "NoVotes", "UnsureVotes")]
        answer = ("yes", "no", "unsure").index(row["EstimatedYesNo"])
        assert max(votes) == votes[answer]


@pytest.mark.parametrize("seed", [0, 1])
def test_quirks_are_there(corpus: Path, tmp_path: Path, seed: int) -> None:
    if seed:
        corpus = tmp_path
        flags = [
            "--output",
            str(corpus),
            "--images",
            "50",
            "--num_workers",
            "1",
            "--seed",
            f"{seed}",
        ]
        assert synthesize.main(flags) == 0
    photos = all_rows(corpus, IMAGES)
    titles, authors = ["".join(row[f] for row in photos) for f in ("Title", "Author")]
    assert all(mark in titles for mark in '",\n夏🎉')
    assert all(mark in authors for mark in '",例')
    assert {row["Rotation"] for row in photos} == {"0.0", "90.0", "180.0", "270.0", "", "nan"}
    assert any(row["Thumbnail300KURL"] == "" for row in photos)

    boxes = all_rows(corpus, BOXES)
    assert {row["Source"] for row in boxes} == {"xclick", "activemil"}
    assert any(row["IsDepiction"] == "-1" for row in boxes)
    assert any(row["IsGroupOf"] == "1" for row in boxes)
    assert any(len(row["XMin"]) > 14 for row in boxes)
    annotated = {row["ImageID"] for row in boxes}
    assert len(annotated) < 50

    machine = table(corpus / "annotations/oidv7-train-annotations-machine-imagelabels.csv")
    assert {"1", "1.0", "0.7"} <= {row["Confidence"] for row in machine}
    masks = table(corpus / "annotations/train-annotations-object-segmentation.csv")
    assert any(row["BoxID"].isdigit() for row in masks)
    assert any(row["PredictedIoU"] == "" for row in masks)
    points = table(corpus / "annotations/oidv7-train-annotations-point-labels.csv")
    assert any("," in row["TextLabel"] for row in points)
    related = table(corpus / "annotations/oidv6-train-annotations-vrd.csv")
    for row in related:
        one, two = ([row[f"{f}{n}"] for f in ("XMin", "XMax", "YMin", "YMax")] for n in "12")
        assert (one == two) == (row["RelationshipLabel"] == "is")
    assert {"is", "at", "on", "holds", "wears", "under"} >= {
        r["RelationshipLabel"] for r in related
    }
    with (corpus / "annotations/oidv7-point-classes.csv").open(encoding="utf-8") as file:
        assert len({len(row) for row in csv.reader(file)}) > 2

    annotations = corpus / "annotations"
    assert b"\r\n" in (annotations / "bbox_labels_600_hierarchy.json").read_bytes()
    human = (annotations / "oidv7-test-annotations-human-imagelabels.csv").read_bytes()
    assert human.count(b"\r\n") == human.count(b"\n") > 5
    assert not (annotations / "validation-annotations-bbox.csv").read_bytes().endswith(b"\n")
    points_text = (annotations / "oidv7-val-annotations-point-labels.csv").read_bytes()
    assert b"\n\n" in points_text.strip()


def test_rows_are_shuffled(corpus: Path) -> None:
    ids = [row["ImageID"] for row in table(corpus / "annotations" / BOXES["train"])]
    assert ids != sorted(ids)
    runs = 1 + sum(a != b for a, b in itertools.pairwise(ids))
    assert runs > 2 * len(set(ids))


def test_masks_agree_with_boxes_and_clicks(corpus: Path) -> None:
    other_size = members = total = 0
    for split in SPLITS:
        rows = table(corpus / f"annotations/{split}-annotations-object-segmentation.csv")
        boxes = Counter(
            (
                row["ImageID"],
                row["LabelName"],
                *(round(float(row[f]), 5) for f in ("XMin", "XMax", "YMin", "YMax")),
            )
            for row in table(corpus / "annotations" / BOXES[split])
        )
        total += len(rows)
        for row in rows:
            label = row["LabelName"].replace("/", "")
            assert row["MaskPath"] == f"{row['ImageID']}_{label}_{row['BoxID']}.png"
            archive = corpus / f"masks/{split}-masks-{row['ImageID'][0]}.zip"
            with zipfile.ZipFile(archive) as opened:
                png = Image.open(BytesIO(opened.read(row["MaskPath"])))
            picture = Image.open(corpus / f"images/{split}/{row['ImageID']}.jpg")
            assert png.mode == "1"
            other_size += png.size != picture.size
            mask = np.asarray(png.resize(picture.size, Image.Resampling.NEAREST))
            height, width = mask.shape
            x, y = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
            found = (x[0] / width, (x[-1] + 1) / width, y[0] / height, (y[-1] + 1) / height)
            box = [float(row[f"Box{f}"]) for f in ("XMin", "XMax", "YMin", "YMax")]
            assert np.allclose(found, box, atol=0.011 + 3 / min(mask.shape)), row["MaskPath"]
            near = [round(value, 5) for value in box]
            assert any(
                key[:2] == (row["ImageID"], row["LabelName"])
                and np.allclose(key[2:], near, atol=2e-5)
                for key in boxes
            )
    for archive in (corpus / "masks").iterdir():
        with zipfile.ZipFile(archive) as opened:
            names = opened.namelist()
            members += len(names)
            assert all(name[0] == archive.stem[-1] for name in names)
    assert members == total
    assert other_size > 0.6 * total


def test_clicks_and_points_lie_on_masks(corpus: Path) -> None:
    rows = table(corpus / "annotations/train-annotations-object-segmentation.csv")
    right = total = 0
    for row in rows:
        with zipfile.ZipFile(corpus / f"masks/train-masks-{row['ImageID'][0]}.zip") as opened:
            mask = np.asarray(Image.open(BytesIO(opened.read(row["MaskPath"]))))
        for click in row["Clicks"].split(";"):
            x, y, kind = click.split()
            at = int(float(y) * mask.shape[0]), int(float(x) * mask.shape[1])
            right += mask[at] == (kind == "1")
            total += 1
    # Scaling moves outlines by a fraction of a pixel.
    assert right > 0.96 * total


def test_narratives_hover_over_the_picture(corpus: Path) -> None:
    outside = 0
    files = sorted((corpus / "annotations").glob("*localized_narratives*.jsonl"))
    assert [file.name for file in files] == [
        "open_images_test_localized_narratives.jsonl",
        "open_images_train_v6_localized_narratives-00000-of-00010.jsonl",
        "open_images_train_v6_localized_narratives-00001-of-00010.jsonl",
        "open_images_validation_localized_narratives.jsonl",
    ]
    for file in files:
        lines = file.read_text().splitlines()
        assert lines
        for record in map(json.loads, lines):
            assert record["caption"] == " ".join(u["utterance"] for u in record["timed_caption"])
            places = [place for stroke in record["traces"] for place in stroke]
            times = [place["t"] for place in places]
            assert times == sorted(times)
            outside += sum(not 0 <= p[axis] <= 1 for p in places for axis in "xy")
            assert record["image_id"] in record["voice_recording"]
    assert outside


def test_v3_has_its_own_layout(tmp_path: Path) -> None:
    flags = ["--output", str(tmp_path), "--images", "30", "--release", "v3", "--pixels", "zip"]
    assert synthesize.main([*flags, "--num_workers", "1"]) == 0
    folder = tmp_path / "annotations/2017_11"
    photos = table(folder / "train/images.csv")
    assert "Rotation" not in photos[0]
    assert len(photos) == 24
    assert '","' in (folder / "train/images.csv").read_text(encoding="utf-8")
    assert list(table(folder / "train/annotations-human-bbox.csv")[0]) == BOXES_13.split(",")[:8]
    assert list(table(folder / "test/annotations-human-bbox.csv")[0]) == BOXES_13.split(",")
    sources = {
        row["Source"]
        for split in SPLITS
        for row in table(folder / split / "annotations-human-bbox.csv")
    }
    assert sources == {"xclick", "activemil", "freeform", "verification"}
    assert len((folder / "classes-bbox.txt").read_text().splitlines()) == 601
    assert (folder / "class-descriptions.csv").read_text(encoding="utf-8").startswith("/m/")
    assert not (tmp_path / "masks").exists()


def test_wrong_use_is_one_line(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert synthesize.main(["--output", str(corpus)]) == 2
    error = capsys.readouterr().err
    assert "--output" in error
    assert error.count("\n") == 1
    with pytest.raises(SystemExit, match="2"):
        synthesize.main(["--output", "x", "--imges", "5"])
    error = capsys.readouterr().err
    assert "--imges" in error
    assert error.count("\n") == 1
