"""What the readers of the ecosystem make of a published version, as the README says it is used."""

import csv
import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import datasets
import duckdb
import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image
from pycocotools import mask as coco

from tests import builds

#: The contract's table of columns, as DuckDB writes types.
POINT = "STRUCT(x FLOAT, y FLOAT)"
CORNERS = "xmin FLOAT, xmax FLOAT, ymin FLOAT, ymax FLOAT"
BOX = (
    f"label VARCHAR, source VARCHAR, confidence FLOAT, {CORNERS}, is_occluded TINYINT, "
    "is_truncated TINYINT, is_group_of TINYINT, is_depiction TINYINT, is_inside TINYINT"
)
TEXTS = (
    *("image_id", "split", "original_url", "original_landing_url", "license"),
    *("author_profile_url", "author", "title", "thumbnail_300k_url", "original_md5"),
)
PICTURES = ("image", "instance_map", "semantic_map")
TYPES = {
    **dict.fromkeys(TEXTS, "VARCHAR"),
    **dict.fromkeys(PICTURES, "STRUCT(bytes BLOB, path VARCHAR)"),
    **dict.fromkeys(("width", "height", "original_width", "original_height"), "INTEGER"),
    **dict.fromkeys(("rotation", "published_rotation"), "SMALLINT"),
    "original_size": "BIGINT",
    "image_labels": "STRUCT(label VARCHAR, source VARCHAR, confidence FLOAT)[]",
    "bboxes": f"STRUCT({BOX}, extreme_points {POINT}[])[]",
    "person_boxes": f"STRUCT({BOX}, gender_presentation VARCHAR, age_presentation VARCHAR)[]",
    "masks": f"STRUCT(label VARCHAR, box_id VARCHAR, {CORNERS}, predicted_iou FLOAT, "
    "clicks STRUCT(x FLOAT, y FLOAT, t TINYINT)[], size INTEGER[], counts BLOB, area BIGINT)[]",
    "relationships": "STRUCT(label1 VARCHAR, label2 VARCHAR, relationship VARCHAR, "
    "xmin1 FLOAT, xmax1 FLOAT, ymin1 FLOAT, ymax1 FLOAT, "
    "xmin2 FLOAT, xmax2 FLOAT, ymin2 FLOAT, ymax2 FLOAT)[]",
    "narratives": "STRUCT(annotator_id BIGINT, caption VARCHAR, timed_caption "
    "STRUCT(utterance VARCHAR, start_time FLOAT, end_time FLOAT)[], "
    "traces STRUCT(x FLOAT, y FLOAT, t FLOAT)[][], voice_recording VARCHAR, "
    "voice STRUCT(bytes BLOB, path VARCHAR))[]",
    "points": "STRUCT(x FLOAT, y FLOAT, label VARCHAR, estimated_yes_no VARCHAR, source VARCHAR, "
    "yes_votes INTEGER, no_votes INTEGER, unsure_votes INTEGER, text_label VARCHAR)[]",
}


@pytest.fixture(scope="module")
def version(corpus_v7: Path, tmp_path_factory: pytest.TempPathFactory) -> builds.Version:
    """All of the corpus, with instance maps, in shards of a MiB."""
    done = builds.run_build(
        *("--annotations", corpus_v7 / "annotations", "--images", corpus_v7 / "images"),
        *("--masks", corpus_v7 / "masks", "--mask_maps", "instance", "--shard_size", "1MiB"),
        *("--output", tmp_path_factory.mktemp("output")),
    )
    assert done.returncode == 0, done.stderr
    return done.version


@pytest.fixture(scope="module")
def train(version: builds.Version) -> list[dict]:
    """Rows of the train split, by pyarrow alone."""
    shards = version.shards("train", "parquet")
    return [row for shard in shards for row in pq.read_table(shard).to_pylist()]


@pytest.fixture(scope="module")
def boxes_by_class(corpus_v7: Path) -> Counter:
    """How many boxes the table of the train split has of each class, by display name."""
    folder = corpus_v7 / "annotations"
    # The file of the boxable classes has no header.
    names = dict(rows_of(folder / "class-descriptions-boxable.csv"))
    labels = labels_of(folder / "oidv6-train-annotations-bbox.csv")
    return Counter(names[label] for label in labels)


def rows_of(path: Path) -> Iterator[list[str]]:
    with open(path, newline="") as file:
        yield from csv.reader(file)


def labels_of(path: Path) -> Iterator[str]:
    with open(path, newline="") as file:
        yield from (row["LabelName"] for row in csv.DictReader(file))


def decode(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def glob(version: builds.Version, split: str) -> str:
    return str(version.folder / "parquet" / f"{split}-*.parquet")


def test_tfds_load(version: builds.Version, train: list[dict]) -> None:
    """The line of the V7 page."""
    data = tfds.load(
        "open_images/v7",
        split="train",
        data_dir=version.folder / "tfrecord",
        # By default TFDS reads several shards in turns; here they are to come in order.
        read_config=tfds.ReadConfig(interleave_cycle_length=1),
    )
    assert len(data) == len(train)
    narratives = 0
    for datum, row in zip(data, train, strict=True):
        assert datum["image_id"].numpy().decode() == row["image_id"]
        image = datum["image"].numpy()
        assert image.dtype == np.uint8
        assert image.shape == (row["height"], row["width"], 3)
        # Decoders of JPEG differ by some rounding.
        source = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB"))
        assert np.abs(image.astype(int) - source).mean() < 1.5

        corners = ("ymin", "xmin", "ymax", "xmax")
        wanted = [[box[corner] for corner in corners] for box in row["bboxes"]]
        assert datum["bboxes"]["bbox"].numpy().tolist() == wanted
        labels = [label.decode() for label in datum["bboxes"]["label"].numpy()]
        assert labels == [box["label"] for box in row["bboxes"]]

        traces = datum["narratives"]["traces"]
        assert isinstance(traces["x"], tf.RaggedTensor)
        for axis in "xyt":
            wanted = [
                [[point[axis] for point in trace] for trace in narrative["traces"]]
                for narrative in row["narratives"]
            ]
            assert traces[axis].to_list() == wanted
        words = datum["narratives"]["timed_caption"]["utterance"].to_list()
        assert [[word.decode() for word in some] for some in words] == [
            [timed["utterance"] for timed in narrative["timed_caption"]]
            for narrative in row["narratives"]
        ]
        narratives += len(row["narratives"])

        drawn = datum["instance_map"].numpy()
        assert drawn.dtype == np.uint16
        assert np.array_equal(drawn[..., 0], decode(row["instance_map"]["bytes"]))
    assert narratives > 20


def test_tfds_builder_from_directory(version: builds.Version, train: list[dict]) -> None:
    builder = tfds.builder_from_directory(version.folder / "tfrecord/open_images/v7/1.0.0")
    sizes = {name: split.num_examples for name, split in builder.info.splits.items()}
    assert sizes == {"train": 160, "validation": 20, "test": 20}
    some = builder.as_dataset(split="train[3:6]")
    ids = [datum["image_id"].decode() for datum in tfds.as_numpy(some)]
    assert ids == [row["image_id"] for row in train[3:6]]
    assert builder.as_dataset(split="validation+test").cardinality() == 40


def test_tfds_trains_in_batches(version: builds.Version) -> None:
    """What a training loop does: shards read at random, pictures of one size, ragged boxes."""
    data = tfds.load(
        "open_images/v7",
        split="train",
        data_dir=version.folder / "tfrecord",
        shuffle_files=True,
    )
    pairs = data.map(
        lambda datum: (tf.image.resize(datum["image"], (64, 64)), datum["bboxes"]["bbox"])
    )
    seen = 0
    for pictures, boxes in pairs.ragged_batch(32):
        assert pictures.shape[1:] == (64, 64, 3)
        seen += boxes.shape[0]
    assert seen == 160


def test_huggingface(
    version: builds.Version, train: list[dict], corpus_v7: Path, tmp_path: Path
) -> None:
    files = {split: glob(version, split) for split in ("train", "validation", "test")}
    loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path))
    assert {name: len(split) for name, split in loaded.items()} == {
        "train": 160,
        "validation": 20,
        "test": 20,
    }
    assert loaded["train"].features["image"] == datasets.Image()
    for example, row in zip(loaded["train"], train, strict=True):
        source = Image.open(corpus_v7 / "images" / "train" / f"{row['image_id']}.jpg")
        assert isinstance(example["image"], Image.Image)
        assert example["image"].mode == source.mode
        assert example["image"].tobytes() == source.tobytes()
        drawn = np.asarray(example["instance_map"])
        assert np.array_equal(drawn, decode(row["instance_map"]["bytes"]))
        assert example["bboxes"] == row["bboxes"]
        assert example["narratives"] == row["narratives"]
        assert example["rotation"] == row["rotation"]


def test_huggingface_streams(version: builds.Version, train: list[dict]) -> None:
    streamed = datasets.load_dataset(
        "parquet", data_files=glob(version, "train"), split="train", streaming=True
    )
    first = next(iter(streamed))
    assert first["image_id"] == train[0]["image_id"]
    assert first["image"].size == (train[0]["width"], train[0]["height"])


def test_pycocotools_decodes_masks(
    version: builds.Version, train: list[dict], corpus_v7: Path
) -> None:
    """Each mask is its PNG at the picture's size, pixel for pixel."""
    pngs = {}
    for path in sorted((corpus_v7 / "masks").glob("train-*.zip")):
        with zipfile.ZipFile(path) as archive:
            pngs |= {name.rpartition("/")[2]: archive.read(name) for name in archive.namelist()}
    compared = resized = 0
    for row in train:
        for mask in row["masks"]:
            label = mask["label"].removeprefix("/").replace("/", "")
            png = Image.open(io.BytesIO(pngs[f"{row['image_id']}_{label}_{mask['box_id']}.png"]))
            size = (row["width"], row["height"])
            wanted = np.asarray(png.resize(size, Image.Resampling.NEAREST)) > 0
            decoded = coco.decode({"size": mask["size"], "counts": mask["counts"]})
            assert np.array_equal(decoded, wanted)
            assert mask["area"] == wanted.sum() == coco.area(mask)
            compared += 1
            resized += png.size != size
    assert compared == len(pngs)
    assert resized > 10


def test_duckdb_sees_the_types_of_the_contract(version: builds.Version) -> None:
    described = duckdb.sql(f"DESCRIBE FROM '{glob(version, '*')}'").fetchall()
    assert {name: dtype.replace('"', "") for name, dtype, *_ in described} == TYPES


def test_duckdb_counts_boxes_by_class_name(
    version: builds.Version, boxes_by_class: Counter
) -> None:
    counted = duckdb.sql(
        f"""
        SELECT name, count(*) AS boxes
        FROM (SELECT unnest(bboxes, recursive := true) FROM '{glob(version, "train")}')
        JOIN '{version.folder}/classes.json' USING (label)
        GROUP BY name
        """
    ).fetchall()
    assert dict(counted) == boxes_by_class


def test_duckdb_finds_images_by_relationship(version: builds.Version, train: list[dict]) -> None:
    found = duckdb.sql(
        f"""
        SELECT DISTINCT image_id
        FROM (SELECT image_id, unnest(relationships) AS r FROM '{glob(version, "train")}')
        WHERE r.relationship = 'holds'
        """
    ).fetchall()
    wanted = {
        row["image_id"]
        for row in train
        if any(relationship["relationship"] == "holds" for relationship in row["relationships"])
    }
    assert {image_id for (image_id,) in found} == wanted
    assert wanted


def test_pandas(version: builds.Version, train: list[dict], boxes_by_class: Counter) -> None:
    frame = pd.concat(
        pd.read_parquet(shard, columns=["image_id", "width", "bboxes"])
        for shard in version.shards("train", "parquet")
    )
    assert frame["image_id"].tolist() == [row["image_id"] for row in train]
    assert frame["width"].dtype == np.int32
    boxes = pd.json_normalize(frame["bboxes"].explode().dropna().tolist())
    classes = pd.read_json(version.folder / "classes.json")
    named = boxes.merge(classes[["label", "name"]], on="label")
    assert named["name"].value_counts().to_dict() == boxes_by_class


def test_polars(version: builds.Version, boxes_by_class: Counter) -> None:
    pl = pytest.importorskip("polars")
    boxes = (
        pl.scan_parquet(glob(version, "train"))
        .select(pl.col("bboxes").explode())
        .drop_nulls()
        .unnest("bboxes")
    )
    classes = pl.DataFrame(json.loads((version.folder / "classes.json").read_text())).lazy()
    named = boxes.join(classes.select("label", "name"), on="label").collect()
    assert dict(named["name"].value_counts().iter_rows()) == boxes_by_class


class Examples:
    """Access by number, as torch.utils.data.Dataset wants it: `__len__` and `__getitem__`."""

    def __init__(self, files: str, columns: list[str]) -> None:
        self._data = ds.dataset(files.rpartition("/")[0], format="parquet").filter(
            ds.field("split") == Path(files).name.split("-")[0]
        )
        self._columns = columns
        self._length = self._data.count_rows()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, i: int) -> dict:
        return self._data.take([i], columns=self._columns).to_pylist()[0]


def test_access_by_number(version: builds.Version, train: list[dict]) -> None:
    """What a map-style data set of PyTorch needs, which isn't installed here."""
    examples = Examples(glob(version, "train"), ["image_id", "image", "bboxes"])
    assert len(examples) == 160
    for i in (159, 0, 77):
        example = examples[i]
        assert example == {name: train[i][name] for name in ("image_id", "image", "bboxes")}
        assert decode(example["image"]["bytes"]).shape[:2] == (
            train[i]["height"],
            train[i]["width"],
        )
