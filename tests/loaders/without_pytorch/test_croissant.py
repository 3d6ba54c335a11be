"""`croissant.json` as its reference implementation, mlcroissant, validates and reads it."""

import itertools
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import absl.logging
import mlcroissant
import pyarrow.parquet as pq
import pytest

from tests.builds import Build, Version

SPLITS = ("train", "validation", "test")
FORMATS = ("parquet", "jsonl", "huggingface")


@pytest.fixture(scope="module")
def version(
    make_corpus: Callable[[str, int], Path],
    run_build: Callable[..., Build],
    tmp_path_factory: pytest.TempPathFactory,
) -> Version:
    corpus = make_corpus("v7", 30)
    built = run_build(
        *("--annotations", corpus / "annotations", "--images", corpus / "images"),
        *("--masks", corpus / "masks", "--format", "parquet,jsonl,huggingface,tfrecord,yolo"),
        *("--num_shards", "2", "--objects", "--mask_maps", "semantic"),
        *("--output", tmp_path_factory.mktemp("output")),
    )
    assert built.returncode == 0, built.stderr
    return built.version


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """Returns the warnings of mlcroissant."""
    found: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: found.append(record.getMessage())
    loggers = absl.logging.get_absl_logger(), logging.getLogger()
    for logger in loggers:
        logger.addHandler(handler)
    yield found
    for logger in loggers:
        logger.removeHandler(handler)


@pytest.fixture
def dataset(version: Version) -> mlcroissant.Dataset:
    return mlcroissant.Dataset(str(version.folder / "croissant.json"))


def rows_of(version: Version, form: str) -> list[dict]:
    """Rows in the order in which mlcroissant reads files: by name."""
    shards = sorted(shard for split in SPLITS for shard in version.shards(split, form))
    return [row for shard in shards for row in pq.read_table(shard).to_pylist()]


def text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def test_it_is_valid_without_a_warning(version: Version, warnings: list[str]):
    dataset = mlcroissant.Dataset(str(version.folder / "croissant.json"))
    assert warnings == []
    assert [each.id for each in dataset.metadata.record_sets] == ["splits", "classes", *FORMATS]
    assert dataset.metadata.ctx.conforms_to.value == "http://mlcommons.org/croissant/1.1"
    assert dataset.metadata.data_collection.startswith("Pictures were collected from Flickr")


def test_the_first_record_of_each_record_set_is_read(dataset: mlcroissant.Dataset):
    for each in dataset.metadata.record_sets:
        first = next(iter(dataset.records(each.id)))
        assert {field.id for field in each.fields} <= first.keys()


def test_records_are_the_rows_of_parquet(dataset: mlcroissant.Dataset, version: Version):
    rows = rows_of(version, "parquet")
    records = [*dataset.records("parquet")]
    for record, row in zip(records, rows, strict=True):
        assert text(record["parquet/image_id"]) == row["image_id"]
        assert text(record["parquet/split"]) == row["split"]
        assert text(record["parquet/license"]) == row["license"]
        assert record["parquet/image"].size == (row["width"], row["height"])
        assert record["parquet/semantic_map"].size == (row["width"], row["height"])
        for box, other in zip(record["parquet/bboxes"], row["bboxes"], strict=True):
            assert text(box["parquet/bboxes/label"]) == other["label"]
            for name in ("xmin", "ymax", "is_group_of", "confidence"):
                assert box[f"parquet/bboxes/{name}"] == other[name]
        for mask, other in zip(record["parquet/masks"], row["masks"], strict=True):
            assert mask["parquet/masks/size"] == other["size"]
            assert mask["parquet/masks/counts"] == other["counts"]
    assert sum(len(row["masks"]) for row in rows) > 10


def test_records_of_jsonl(dataset: mlcroissant.Dataset, version: Version):
    rows = rows_of(version, "parquet")
    for record, row in zip(dataset.records("jsonl"), rows, strict=True):
        assert text(record["jsonl/image_id"]) == row["image_id"]
        labels = [text(each["jsonl/image_labels/label"]) for each in record["jsonl/image_labels"]]
        assert labels == [each["label"] for each in row["image_labels"]]


def test_objects_are_read(dataset: mlcroissant.Dataset, version: Version):
    rows = rows_of(version, "huggingface")
    for record, row in zip(dataset.records("huggingface"), rows, strict=True):
        assert record["huggingface/image_id"] == row["image_id"]
        objects = record["huggingface/objects"]
        assert objects["huggingface/objects/category"] == row["objects"]["category"]
        assert objects["huggingface/objects/bbox"] == row["objects"]["bbox"]


def test_one_split_is_read_by_itself(dataset: mlcroissant.Dataset, version: Version):
    for split in SPLITS:
        records = dataset.records("parquet", {"parquet/split": split})
        expected = [row["image_id"] for row in rows_of(version, "parquet") if row["split"] == split]
        assert [text(record["parquet/image_id"]) for record in records] == expected


def test_classes_are_read(dataset: mlcroissant.Dataset, version: Version):
    classes = json.loads((version.folder / "classes.json").read_text())
    for record, other in itertools.zip_longest(dataset.records("classes"), classes):
        assert text(record["classes/label"]) == other["label"]
        assert record["classes/index"] == other["index"]
        assert text(record["classes/name"]) == other["name"]
        assert [text(each) for each in record["classes/parents"]] == other["parents"]
