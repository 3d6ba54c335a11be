"""What TensorFlow Datasets makes of the shards and their metadata."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from tests.formats.reference import encoded
from transforms.dataset.schema import MAP_COLUMNS
from transforms.formats.format import Content, ShardSize
from transforms.formats.settings import DEFAULT_SETTINGS
from transforms.formats.tfrecord.format import DATASET, FORMAT
from transforms.formats.tfrecord.tfds import CITATION, HOMEPAGE
from transforms.formats.tfrecord.writer import TFRecordWriter
from transforms.kinds.boxes import FLAGS
from transforms.kinds.registry import EXAMPLE, example_columns

F = tfds.features
NUM_BYTES = 12345


def _declared(*, with_image: bool, maps: tuple[str, ...]) -> F.FeaturesDict:
    """The features as one would write them in a builder."""
    text, f32, i32, i64 = F.Text(), np.float32, np.int32, np.int64
    png = {"dtype": np.uint16, "encoding_format": "png"}
    optional = {name: F.Image(shape=(None, None, 1), **png) for name in maps}
    if with_image:
        optional["image"] = F.Image()
    return F.FeaturesDict(
        {
            **optional,
            "image_id": text,
            "split": text,
            "width": i32,
            "height": i32,
            "original_width": i32,
            "original_height": i32,
            "rotation": np.int16,
            "published_rotation": np.int16,
            "original_url": text,
            "original_landing_url": text,
            "license": text,
            "author_profile_url": text,
            "author": text,
            "title": text,
            "thumbnail_300k_url": text,
            "original_size": i64,
            "original_md5": text,
            "image_labels": F.Sequence({"label": text, "source": text, "confidence": f32}),
            "bboxes": F.Sequence(
                {
                    "label": text,
                    "source": text,
                    "confidence": f32,
                    "bbox": F.BBoxFeature(),
                    **dict.fromkeys(FLAGS, np.int8),
                    "extreme_points": F.Sequence({"x": f32, "y": f32}),
                }
            ),
            "person_boxes": F.Sequence(
                {
                    "label": text,
                    "source": text,
                    "confidence": f32,
                    "bbox": F.BBoxFeature(),
                    **dict.fromkeys(FLAGS, np.int8),
                    "gender_presentation": text,
                    "age_presentation": text,
                }
            ),
            "masks": F.Sequence(
                {
                    "label": text,
                    "box_id": text,
                    "bbox": F.BBoxFeature(),
                    "predicted_iou": f32,
                    "clicks": F.Sequence({"x": f32, "y": f32, "t": np.int8}),
                    "size": F.Sequence(i32),
                    "counts": np.object_,
                    "area": i64,
                }
            ),
            "relationships": F.Sequence(
                {
                    "label1": text,
                    "label2": text,
                    "relationship": text,
                    "bbox1": F.BBoxFeature(),
                    "bbox2": F.BBoxFeature(),
                }
            ),
            "narratives": F.Sequence(
                {
                    "annotator_id": i64,
                    "caption": text,
                    "timed_caption": F.Sequence(
                        {"utterance": text, "start_time": f32, "end_time": f32}
                    ),
                    "traces": F.Sequence(F.Sequence({"x": f32, "y": f32, "t": f32})),
                    "voice_recording": text,
                    "voice": np.object_,
                }
            ),
            "points": F.Sequence(
                {
                    "x": f32,
                    "y": f32,
                    "label": text,
                    "estimated_yes_no": text,
                    "source": text,
                    "yes_votes": i32,
                    "no_votes": i32,
                    "unsure_votes": i32,
                    "text_label": text,
                }
            ),
        }
    )


def _encoded(pixels: np.ndarray, form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def _box(ymin: float, xmin: float, ymax: float, xmax: float, suffix: str = "") -> dict[str, float]:
    corners = {"ymin": ymin, "xmin": xmin, "ymax": ymax, "xmax": xmax}
    return {corner + suffix: value for corner, value in corners.items()}


def _row(number: int, split: str) -> dict[str, Any]:
    """An example with something in every column, or with nothing but nulls and empty lists."""
    random = np.random.default_rng(number)
    height, width = 8 + number, 16
    picture = random.integers(0, 256, (height, width, 3), np.uint8)
    instances = random.integers(0, 1 << 16, (height, width), np.uint16)
    row = dict.fromkeys(EXAMPLE.names) | {
        "image_id": f"{number:016x}",
        "split": split,
        "image": {"bytes": _encoded(picture, "JPEG"), "path": f"{number:016x}.jpg"},
        "width": width,
        "height": height,
        "instance_map": {"bytes": _encoded(instances, "PNG")},
        "semantic_map": {"bytes": _encoded(instances // 2, "PNG")},
    }
    if number % 2:
        return row | {"bboxes": [], "narratives": []}
    clicks = [{"x": 0.25, "y": 0.5, "t": 1}, {"x": 0.5, "y": 0.75, "t": 0}]
    box = {"label": "/m/01g317", "source": "xclick", "confidence": 1.0, **dict.fromkeys(FLAGS, -1)}
    mask = {"label": "/m/0k4j", "box_id": "b1", "predicted_iou": 0.5, "area": 1 << 40}
    said = [{"utterance": "a", "start_time": 0.5, "end_time": 1.5}, {"utterance": "café"}]
    trace = [{"x": -0.5, "y": 0.25, "t": 0.0}, {"x": 0.125, "y": 1.5, "t": 0.5}]
    return row | {
        "original_width": 640,
        "original_height": 480,
        "rotation": 0,
        "published_rotation": 270,
        "title": "Ein schönes Bild",
        "original_size": 1 << 33,
        "image_labels": [{"label": "/m/01", "source": "machine", "confidence": 0.75}],
        "bboxes": [
            box | _box(0.0, 0.25, 0.5, 1.0) | {"extreme_points": [{"x": 0.25, "y": 0.5}] * 4},
            box | _box(0.125, 0.25, 0.5, 0.75) | {"extreme_points": [], "source": None},
            box | _box(0.0, 0.0, 1.0, 1.0) | {"is_inside": 1},
        ],
        "person_boxes": [
            box | _box(0.25, 0.0, 0.75, 0.5) | {"source": None, "gender_presentation": "Unknown"},
        ],
        "masks": [
            mask | _box(0.0, 0.25, 0.5, 1.0) | {"clicks": clicks, "size": [height, width]},
            mask | _box(0.5, 0.25, 0.75, 1.0) | {"clicks": [], "counts": b"\x00\xff`1"},
        ],
        "relationships": [
            {"label1": "/m/01", "label2": "/m/02", "relationship": "at"}
            | _box(0.0, 0.25, 0.5, 1.0, "1")
            | _box(0.5, 0.125, 0.625, 0.25, "2")
        ],
        "narratives": [
            {"annotator_id": 7, "caption": "é", "timed_caption": said, "traces": [trace, []]},
            {"annotator_id": 8, "caption": "", "traces": [trace[:1], trace, trace]},
            {"annotator_id": 9},
        ],
        "points": [{"x": 0.5, "y": 0.25, "label": "/m/02", "yes_votes": 3, "text_label": ""}],
    }


ROWS = {"train": [_row(n, "train") for n in range(5)], "validation": [_row(6, "validation")]}
SHARDS = {"train": [2, 0, 3], "validation": [1]}


def _publish(data_dir: Path, names: tuple[str, ...]) -> Path:
    """Shards and metadata of `ROWS`; the folder they are in."""
    folder = data_dir / DATASET.folder("v7")
    folder.mkdir(parents=True)
    for split, lengths in SHARDS.items():
        table = pa.Table.from_pylist(ROWS[split], schema=EXAMPLE)
        for shard, length in enumerate(lengths):
            path = data_dir / FORMAT.shard_path(DEFAULT_SETTINGS, split, shard, len(lengths))
            writer = TFRecordWriter(str(path), Content(names))
            start = sum(lengths[:shard])
            writer.write(table[start : start + length])
            writer.close()
    _write_metadata(folder, names)
    return folder


def _write_metadata(folder: Path, names: tuple[str, ...]) -> None:
    shards = {
        split: [
            ShardSize(length, NUM_BYTES if n == 0 else 0, "") for n, length in enumerate(lengths)
        ]
        for split, lengths in SHARDS.items()
    }
    for path, content in FORMAT.documents(Content(names), shards).items():
        (folder / Path(path).name).write_text(json.dumps(content), encoding="utf-8")


def _for_tfds(value: Any, feature: Any) -> Any:
    """A value of a row as one would give it to a TFDS builder."""
    if isinstance(feature, F.Sequence):
        return [_for_tfds(each, feature.feature) for each in value or []]
    if isinstance(feature, F.FeaturesDict):
        value = value or {}
        return {
            name: F.BBox(*(value[c + name[4:]] for c in ("ymin", "xmin", "ymax", "xmax")))
            if isinstance(child, F.BBoxFeature)
            else _for_tfds(value.get(name), child)
            for name, child in feature.items()
        }
    if isinstance(feature, F.Image):
        return io.BytesIO(value["bytes"])
    if value is not None:
        return value
    return {"i": -1, "f": np.nan, "O": b""}[np.dtype(feature.np_dtype).kind]


def _features(record: bytes) -> dict[str, bytes]:
    features = tf.train.Example.FromString(record).features.feature
    return {key: feature.SerializeToString() for key, feature in features.items()}


CHOICES = [(True, ()), (True, MAP_COLUMNS), (False, ("semantic_map",)), (False, ())]


@pytest.mark.parametrize(("with_image", "maps"), CHOICES)
def test_metadata_is_what_tfds_itself_writes(tmp_path, with_image, maps):
    names = example_columns(with_image=with_image, maps=maps)
    _write_metadata(tmp_path, names)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    info = tfds.core.DatasetInfo(
        builder=tfds.core.dataset_info.DatasetIdentity(
            name="open_images",
            version="1.0.0",
            data_dir=str(theirs),
            module_name="",
            config_name="v7",
        ),
        features=_declared(with_image=with_image, maps=maps),
        description=DATASET.description,
        citation=CITATION,
        homepage=HOMEPAGE,
    )
    info.set_file_format("tfrecord")
    template = tfds.core.ShardedFileTemplate(
        data_dir=theirs, dataset_name="open_images", filetype_suffix="tfrecord"
    )
    splits = [
        tfds.core.SplitInfo(
            name=split, shard_lengths=lengths, num_bytes=NUM_BYTES, filename_template=template
        )
        for split, lengths in SHARDS.items()
    ]
    info.set_splits(tfds.core.splits.SplitDict(splits))
    info.write_to_directory(theirs)
    for name in ("features.json", "dataset_info.json"):
        assert json.loads((tmp_path / name).read_text(encoding="utf-8")) == json.loads(
            (theirs / name).read_text(encoding="utf-8")
        )


def test_examples_are_what_tfds_itself_writes():
    names = example_columns(maps=MAP_COLUMNS)
    features = _declared(with_image=True, maps=MAP_COLUMNS)
    serializer = tfds.core.example_serializer.ExampleSerializer(features.get_serialized_info())
    table = pa.Table.from_pylist(ROWS["train"], schema=EXAMPLE)
    for ours, row in zip(encoded(table, names), ROWS["train"], strict=True):
        theirs = serializer.serialize_example(features.encode_example(_for_tfds(row, features)))
        assert _features(ours) == _features(theirs)


def test_tfds_loads_it_by_name(tmp_path):
    _publish(tmp_path / "x", example_columns(maps=MAP_COLUMNS))
    dataset = tfds.load("open_images/v7", split="train", data_dir=tmp_path / "x" / "tfrecord")
    found = {bytes(each["image_id"].numpy()).decode(): each for each in dataset}
    assert found.keys() == {row["image_id"] for row in ROWS["train"]}
    for row in ROWS["train"]:
        datum = found[row["image_id"]]
        assert (datum["image"].numpy() == tf.io.decode_jpeg(row["image"]["bytes"]).numpy()).all()
        for name in MAP_COLUMNS:
            pixels = np.asarray(Image.open(io.BytesIO(row[name]["bytes"])))
            assert datum[name].dtype == tf.uint16
            assert (datum[name].numpy()[..., 0] == pixels).all()
        assert datum["bboxes"]["bbox"].shape == (len(row["bboxes"]), 4)

    full, empty = found[ROWS["train"][0]["image_id"]], found[ROWS["train"][1]["image_id"]]
    boxes, masks, narratives = full["bboxes"], full["masks"], full["narratives"]
    assert boxes["bbox"].numpy().tolist() == [
        [0.0, 0.25, 0.5, 1.0],
        [0.125, 0.25, 0.5, 0.75],
        [0.0, 0.0, 1.0, 1.0],
    ]
    assert boxes["source"].numpy().tolist() == [b"xclick", b"", b"xclick"]
    assert boxes["is_inside"].numpy().tolist() == [-1, -1, 1]
    assert boxes["extreme_points"]["x"].to_list() == [[0.25] * 4, [], []]
    assert masks["size"].to_list() == [[8, 16], []]
    assert masks["counts"].numpy().tolist() == [b"", b"\x00\xff`1"]
    assert masks["clicks"]["t"].to_list() == [[1, 0], []]
    assert full["relationships"]["bbox2"].numpy().tolist() == [[0.5, 0.125, 0.625, 0.25]]
    assert narratives["traces"]["x"].to_list() == [
        [[-0.5, 0.125], []],
        [[-0.5], [-0.5, 0.125], [-0.5, 0.125]],
        [],
    ]
    assert narratives["timed_caption"]["utterance"].to_list() == [[b"a", "café".encode()], [], []]
    assert np.isnan(narratives["timed_caption"]["end_time"][0].numpy()[1])
    assert full["original_size"].numpy() == 1 << 33
    assert (empty["rotation"].numpy(), empty["title"].numpy()) == (-1, b"")
    assert empty["narratives"]["traces"]["t"].to_list() == []
    assert empty["points"]["x"].numpy().tolist() == []


def test_tfds_loads_annotations_alone_from_the_folder(tmp_path):
    folder = _publish(tmp_path, example_columns(with_image=False))
    builder = tfds.builder_from_directory(folder)
    assert builder.info.full_name == "open_images/v7/1.0.0"
    assert builder.info.splits["train"].shard_lengths == SHARDS["train"]
    assert builder.info.splits["train"].num_bytes == NUM_BYTES
    assert "Kuznetsova" in builder.info.citation
    # Numbers of examples in shards are what lets TFDS read a part of a split.
    last = builder.as_dataset(split="train[-2:]")
    ids = [each["image_id"].numpy().decode() for each in last]
    assert ids == [row["image_id"] for row in ROWS["train"][-2:]]
    (datum,) = builder.as_dataset(split="validation")
    assert "image" not in datum
    assert datum["points"]["yes_votes"].numpy().tolist() == [3]
