"""Records as TFDS's open_images_v4 has them: TFDS reads what Parquet holds of the same images."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.datasets.open_images_v4 import open_images_v4_dataset_builder as theirs

from tests.builds import Version, run_build
from transforms.dataset.classes import ClassTable
from transforms.formats.format import Content
from transforms.formats.tfds_v4 import DATASET, FORMAT
from transforms.formats.tfrecord.records import parse_example, read_records
from transforms.kinds.boxes import FLAGS
from transforms.kinds.registry import EXAMPLE, example_columns

NAME = "tfds_v4"
PAGE = Path(__file__).parents[2] / "docs" / "formats" / "tfds_v4.md"
SOURCES = theirs.IMAGE_LEVEL_SOURCES + theirs.BBOX_SOURCES
CORNERS = ("ymin", "xmin", "ymax", "xmax")


@pytest.fixture(scope="module")
def version(
    make_corpus: Callable[[str, int], Path], tmp_path_factory: pytest.TempPathFactory
) -> Version:
    corpus = make_corpus("v7", 30)
    inputs = (f"--{name}={corpus / name}" for name in ("annotations", "images"))
    folder = tmp_path_factory.mktemp("build")
    _, *classes = (corpus / "annotations" / "oidv7-class-descriptions.csv").read_text().splitlines()
    for name, some in (("trainable", classes[::2]), ("bbox-trainable", classes)):
        text = "".join(f"{line.partition(',')[0]}\n" for line in some)
        (folder / f"oidv7-classes-{name}.txt").write_text(text)
    lists = (f"--annotations={path}" for path in folder.glob("*.txt"))
    output = folder / "output"
    built = run_build(*inputs, *lists, "--output", output, "--format", f"parquet,{NAME}")
    assert built.returncode == 0, built.stderr
    return built.version


def classes_of(version: Version) -> list[dict[str, Any]]:
    return json.loads((version.folder / "classes.json").read_text())


def objects(labels: list[dict[str, Any]], names: list[str]) -> dict[str, list]:
    """The labels of some classes."""
    kept = [each for each in labels if each["label"] in names]
    return {
        "label": [names.index(each["label"]) for each in kept],
        "confidence": [int(round(each["confidence"] * 10, 4)) for each in kept],
        "source": [SOURCES.index(each["source"]) for each in kept],
    }


def test_tfds_reads_what_parquet_holds(version: Version):
    dataset, info = tfds.load(
        "open_images_v4/v7",
        split="train",
        data_dir=version.folder / NAME,
        with_info=True,
        shuffle_files=True,
    )
    classes = classes_of(version)
    names = [each["label"] for each in classes]
    trainable = [each["label"] for each in classes if any(map(is_trainable, each["lists"]))]
    features = info.features
    assert features["objects"]["label"].names == features["bobjects"]["label"].names == names
    assert features["objects_trainable"]["label"].names == trainable
    for feature in ("objects", "objects_trainable", "bobjects"):
        assert features[feature]["source"].names == SOURCES
    seen: Counter[str] = Counter()
    for datum in tfds.as_numpy(dataset):
        image_id, extension = datum["image/filename"].decode().split(".")
        row = version.examples[image_id]
        assert (row["split"], extension) == ("train", "jpg")
        assert (datum["image"] == tf.io.decode_jpeg(row["image"]["bytes"]).numpy()).all()
        labels, boxes = row["image_labels"] or [], row["bboxes"] or []
        for feature, some in (("objects", names), ("objects_trainable", trainable)):
            found = {name: values.tolist() for name, values in datum[feature].items()}
            assert found == objects(labels, some)
            seen[feature] += len(found["label"])
        found = {name: values.tolist() for name, values in datum["bobjects"].items()}
        assert found == {
            "label": [names.index(box["label"]) for box in boxes],
            "source": [SOURCES.index(box["source"]) for box in boxes],
            "bbox": [[box[name] for name in CORNERS] for box in boxes],
            **{flag: [box[flag] for box in boxes] for flag in FLAGS},
        }
        seen["unknown"] += found["is_occluded"].count(-1)
        seen["examples"] += 1
    assert seen["examples"] == version.manifest["splits"]["train"]["num_examples"]
    assert seen["objects"] > seen["objects_trainable"] > 0
    assert seen["unknown"] > 0


def is_trainable(name: str) -> bool:
    return name.endswith("-trainable") and not name.endswith("-bbox-trainable")


def test_files_are_those_that_tfds_writes(version: Version, tmp_path: Path):
    """But for the classes."""
    folder = version.folder / DATASET.folder("v7")
    tfds.builder("open_images_v4", data_dir=tmp_path).info.features.save_config(tmp_path)
    found = json.loads((folder / "features.json").read_text())
    declared = json.loads((tmp_path / "features.json").read_text())
    ours, our_classes = without_classes(found)
    their_features, their_classes = without_classes(declared)
    assert ours == their_features
    assert our_classes.keys() == their_classes.keys()
    names = {path.name for path in folder.glob("*.labels.txt")}
    assert names == {path.name for path in tmp_path.glob("*.labels.txt")}
    for feature in ("objects", "objects_trainable", "bobjects"):
        lines = (folder / f"{feature}-label.labels.txt").read_text().splitlines()
        assert our_classes[f"/{feature}/label"] == str(len(lines))
        source = f"{feature}-source.labels.txt"
        assert (folder / source).read_bytes() == (tmp_path / source).read_bytes()


def without_classes(content: dict[str, Any], key: str = "") -> tuple[dict[str, Any], dict]:
    """A FeatureConnector without the numbers of classes, and these by feature."""
    if "classLabel" in content:
        return {**content, "classLabel": {}}, {key: content["classLabel"]["numClasses"]}
    found: dict[str, str] = {}
    changed = dict(content)
    if "featuresDict" in content:
        members = {}
        for name, child in content["featuresDict"]["features"].items():
            members[name], classes = without_classes(child, f"{key}/{name}")
            found |= classes
        changed["featuresDict"] = {"features": members}
    if "sequence" in content:
        inner, found = without_classes(content["sequence"]["feature"], key)
        changed["sequence"] = {**content["sequence"], "feature": inner}
    return changed, found


def test_what_is_dropped_is_told(version: Version):
    lost = {
        name.replace("_", " "): sum(len(row[name] or ()) for row in version.examples.values())
        for name in ("masks", "relationships", "narratives", "points", "person_boxes")
    }
    found = version.manifest["dropped"][NAME]
    assert found.pop("confidences between tenths", 1) > 0
    assert found == {what: number for what, number in lost.items() if number}


CLASSES = ClassTable(
    [
        {"index": 1, "label": "/m/cat", "name": None, "lists": ["classes-bbox-trainable"]},
        {"index": 2, "label": "/m/dog", "name": None, "lists": ["oidv7-classes-trainable"]},
        {"index": None, "label": "/m/owl", "name": None, "lists": ["classes-trainable"]},
    ]
)


def write(path: Path, content: Content, *rows: dict[str, Any]) -> tuple[list[dict], dict[str, int]]:
    """The records of rows, as lists by feature, and what is dropped."""
    given = [{"image_id": f"{n:016x}", "split": "train", **row} for n, row in enumerate(rows)]
    writer = FORMAT.open_part(str(path), content)
    writer.write(pa.Table.from_pylist(given, EXAMPLE))
    part = writer.close()
    found = [
        {key: [*feature.values] for key, feature in parse_example(record).items()}
        for record in read_records(str(path))
    ]
    return found, dict(part.dropped)


def test_rows_that_v4_does_not_have(tmp_path: Path):
    """Classes without an index, other sources, and no pictures."""
    content = Content(example_columns(with_image=False), classes=CLASSES)
    labels = [
        {"label": label, "source": source, "confidence": confidence}
        for label, source, confidence in (
            *(("/m/owl", "machine", 0.5), ("/m/cat", "human", 1.0), ("/m/dog", None, 0.75)),
            ("/m/dog", "verification", 0.0),
            *(("/m/cat", "machine", -0.5), ("/m/cat", "machine", 1e30)),
        )
    ]
    box = {
        "xmin": 0.25,
        "xmax": 0.75,
        "ymin": 0.0,
        "ymax": 0.5,
        "is_inside": None,
        "is_occluded": 1,
    }
    boxes = [{"label": "/m/owl", **box}, {"label": "/m/dog", "source": "xclick", **box}]
    (first, second), dropped = write(
        tmp_path / "part", content, {"image_labels": labels, "bboxes": boxes}, {}
    )
    assert first == {
        "image/filename": [b"0000000000000000.jpg"],
        "objects/label": [0, 1, 1, 0, 0],
        "objects/confidence": [10, 7, 0, -5, (1 << 31) - 1],
        "objects/source": [-1, -1, 0, 2, 2],
        "objects_trainable/label": [0, 0],
        "objects_trainable/confidence": [7, 0],
        "objects_trainable/source": [-1, 0],
        "bobjects/label": [1],
        "bobjects/source": [4],
        "bobjects/bbox": [0.0, 0.25, 0.5, 0.75],
        **{f"bobjects/{flag}": [-1] for flag in FLAGS},
        "bobjects/is_occluded": [1],
    }
    assert not any(values for key, values in second.items() if key != "image/filename")
    assert dropped == {
        "boxes of classes without an index": 1,
        "confidences between tenths": 2,
        "image labels of classes without an index": 1,
        "sources that V4 doesn't have": 1,
    }


def test_confidences_are_truncated_as_tfds_does(tmp_path: Path):
    texts = [f"{number / 1000:.3f}" for number in range(1001)]
    labels = [{"label": "/m/cat", "confidence": float(text)} for text in texts]
    content = Content(example_columns(with_image=False), classes=CLASSES)
    (row,), dropped = write(tmp_path / "part", content, {"image_labels": labels})
    assert row["objects/confidence"] == [int(float(text) * 10) for text in texts]
    assert dropped["confidences between tenths"] == 990


def test_the_code_of_its_page_runs(version: Version):
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    found: dict[str, Any] = {"V": version.folder}
    exec(code, found)
    assert found["names"] == [each["label"] for each in classes_of(version)]
    assert found["boxes"].shape == (len(found["labels"]), 4)


def test_wrong_use(make_corpus: Callable[[str, int], Path], tmp_path: Path, version: Version):
    annotations = make_corpus("v7", 30) / "annotations"
    flags = ("--annotations", annotations, "--output", tmp_path / "out", "--format", NAME)
    webp = ("--image_encoding=webp", "--image_size=64", "--resize=shortest")
    images = make_corpus("v7", 30) / "images"
    built = run_build(*flags, "--images", images, *webp)
    assert built.returncode == 2
    wanted = "TensorFlow can't decode it: leave tfds_v4 out (--format parquet), or use jpeg\n"
    assert built.stderr.endswith(wanted)
    # Without a config TFDS takes its own code, and would download V4.
    own = tfds.builder("open_images_v4", data_dir=version.folder / NAME)
    assert own.info.splits == {}
