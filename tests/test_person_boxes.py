"""MIAP annotates the people of the box tables once more: its boxes have a column of their own."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import builds, compare, oracle

A, B, C = "000000000000000a", "000000000000000b", "000000000000000c"
IMAGES = "ImageID,Subset,Rotation\n" + "".join(f"{each},train,0.0\n" for each in (A, B, C))
BOXES = f"""ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded
{A},xclick,/m/01g317,1,0.1,0.4,0.1,0.9,0
{A},xclick,/m/0k4j,1,0.5,0.9,0.2,0.8,1
{C},activemil,/m/0k4j,0.8,0,1,0,1,-1
"""
MIAP = f"""ImageID,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,\
IsDepictionOf,IsInsideOf,GenderPresentation,AgePresentation
{A},/m/01g317,1,0.11,0.39,0.1,0.9,0,0,0,0,0,Predominantly Feminine,Young
{B},/m/01g317,1,0.5,0.75,0.25,1,1,0,-1,1,0,Unknown,Unknown
"""
WITH_SOURCE = f"""ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,GenderPresentation,\
AgePresentation
{A},miap,/m/01g317,1,0.11,0.39,0.1,0.9,Unknown,Middle
"""

Publish = Callable[..., builds.Version]


@pytest.fixture
def publish(tmp_path: Path) -> Publish:
    """Builds files without pictures, and compares what comes out with the oracle's answer."""

    def publish(*flags: str, **files: str) -> builds.Version:
        folder = tmp_path / "annotations"
        folder.mkdir()
        for name, text in files.items():
            (folder / f"{name}.csv").write_text(text)
        inputs = ("--annotations", folder, "--images", "none", "--num_workers", "1")
        built = builds.run_build(*inputs, "--output", tmp_path / "output", *flags)
        assert built.returncode == 0, built.stderr
        wanted = oracle.expected_examples(folder)["train"]
        compare.assert_examples_equal(built.version.table, wanted)
        return built.version

    return publish


def labels(version: builds.Version, column: str) -> dict[str, list[str] | None]:
    return {
        image_id: None if row[column] is None else [each["label"] for each in row[column]]
        for image_id, row in version.examples.items()
    }


def test_boxes_and_miap_are_not_mixed(publish: Publish) -> None:
    version = publish(images=IMAGES, train_boxes=BOXES, miap_train=MIAP)
    assert labels(version, "bboxes") == {A: ["/m/01g317", "/m/0k4j"], B: [], C: ["/m/0k4j"]}
    assert labels(version, "person_boxes") == {A: ["/m/01g317"], B: ["/m/01g317"], C: []}
    assert version.examples[B]["person_boxes"] == [
        {
            "label": "/m/01g317",
            "source": None,
            "confidence": 1.0,
            "xmin": 0.5,
            "xmax": 0.75,
            "ymin": 0.25,
            "ymax": 1.0,
            "is_occluded": 1,
            "is_truncated": 0,
            "is_group_of": -1,
            "is_depiction": 1,
            "is_inside": 0,
            "gender_presentation": "Unknown",
            "age_presentation": "Unknown",
        }
    ]
    assert not {"gender_presentation", "age_presentation"} & {*version.examples[A]["bboxes"][0]}
    assert [version.source(f"{name}.csv")["rows"] for name in ("train_boxes", "miap_train")] == [
        3,
        2,
    ]
    records = version.shards("train", "tfrecord")
    compare.assert_tfrecord_equals_parquet(records, version.table)

    import tensorflow_datasets as tfds  # slow to import

    folder = version.folder / "tfrecord"
    data = tfds.load("open_images/v7", split="train", data_dir=folder, shuffle_files=False)
    found = {datum["image_id"].decode(): datum for datum in tfds.as_numpy(data)}
    assert found[A]["bboxes"]["bbox"].shape == (2, 4)
    assert found[B]["person_boxes"]["bbox"].tolist() == [[0.25, 0.5, 1.0, 0.75]]
    assert found[A]["person_boxes"]["age_presentation"].tolist() == [b"Young"]
    assert found[C]["person_boxes"]["label"].tolist() == []

    import datasets

    shards = [str(path) for path in version.shards("train", "parquet")]
    rows = datasets.load_dataset(
        "parquet", data_files=shards, split="train", cache_dir=str(version.folder.parents[2])
    )
    assert rows.features["person_boxes"].feature["gender_presentation"].dtype == "string"
    assert "gender_presentation" not in rows.features["bboxes"].feature
    assert {row["image_id"]: len(row["person_boxes"]) for row in rows} == {A: 1, B: 1, C: 0}


def test_miap_alone(publish: Publish) -> None:
    """Without an image table too, as its images are known by it."""
    version = publish("--format", "parquet", miap_train=MIAP)
    assert labels(version, "bboxes") == {A: None, B: None}
    assert labels(version, "person_boxes") == {A: ["/m/01g317"], B: ["/m/01g317"]}


def test_no_miap(publish: Publish) -> None:
    version = publish("--format", "parquet", images=IMAGES, train_boxes=BOXES)
    assert labels(version, "person_boxes") == {A: None, B: None, C: None}
    assert labels(version, "bboxes")[A] == ["/m/01g317", "/m/0k4j"]


def test_a_source_is_kept_where_there_is_one(publish: Publish) -> None:
    version = publish("--format", "parquet", "--rebuild", miap_train=WITH_SOURCE)
    (person,) = version.examples[A]["person_boxes"]
    assert (person["source"], person["age_presentation"]) == ("miap", "Middle")
    assert person["is_occluded"] is None


def test_bad_rows_and_orphans_count_for_their_own_file(publish: Publish) -> None:
    bad = MIAP + f"{B},/m/01g317,1,0.5,0.25,0,1,0,0,0,0,0,Unknown,Unknown\n"
    stranger = "00000000000000ff,/m/01g317,1,0,1,0,1,0,0,0,0,0,Unknown,Unknown\n"
    files = {"images": IMAGES, "train_boxes": BOXES, "miap_train": bad + stranger}
    version = publish("--format", "parquet", "--max_bad_rate", "0.5", **files)
    source = version.source("miap_train.csv")
    assert (source["kind"], source["rows"]) == ("person_boxes", 4)
    assert (source["bad_rows"], source["orphans"]) == (1, 1)
    assert version.source("train_boxes.csv")["orphans"] == 0
    assert [row["image_id"] for row in version.failures] == [B]


def test_a_person_box_that_changes_is_the_only_change(publish: Publish, tmp_path: Path) -> None:
    """Buckets are taken over where MIAP hasn't changed, and built where it has."""
    first = publish("--format", "parquet", images=IMAGES, train_boxes=BOXES, miap_train=MIAP)
    folder = tmp_path / "annotations"
    (folder / "miap_train.csv").unlink()
    text = MIAP.replace("Young", "Older")
    (folder / "miap_train.csv.gz").write_bytes(gzip.compress(text.encode()))
    inputs = ("--annotations", folder, "--images", "none", "--num_workers", "1")
    built = builds.run_build(*inputs, "--format", "parquet", "--output", tmp_path / "output")
    assert built.returncode == 0, built.stderr
    after = built.version
    assert after.folder != first.folder
    assert after.examples[A]["person_boxes"][0]["age_presentation"] == "Older"
    assert after.table.drop_columns("person_boxes").equals(first.table.drop_columns("person_boxes"))
