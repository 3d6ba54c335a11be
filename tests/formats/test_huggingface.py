"""Datasets of Hugging Face: what is written, and what `datasets` and the Hub make of it."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCard
from PIL import Image

from pipelines import verify
from tests.builds import Build, Version
from transforms.dataset.classes import ClassTable
from transforms.formats.format import Content, ShardSize
from transforms.formats.huggingface.format import FORMAT
from transforms.formats.settings import FormatSettings
from transforms.kinds.registry import ANNOTATIONS, EXAMPLE, example_columns

IMAGES = 30
SPLITS = ("train", "validation", "test")
HOSTILE_NAMES = (
    *(
        "yes",
        "null",
        "~",
        "1",
        "0x1F",
        "1e3",
        "2026-11-30",
        "",
        " a ",
        "a: b",
        "a #b",
        "- a",
        "? a",
    ),
    *(
        '"',
        "'",
        "\\",
        "{a}",
        "[a]",
        "*a",
        "&a",
        "!a",
        "|",
        ">",
        "%a",
        "@a",
        "`a",
        "---",
        "...",
        "\t",
    ),
    *("a\nb", "a\u2028b", "a\x85b", "\x7f", "\ufeffa", "\ufffe", "日本", "😀", "Ball", "Ball"),
    *("Ball (/m/38)", "a, b", "<<"),
)


@pytest.fixture(scope="module")
def corpus(make_corpus: Callable[[str, int], Path]) -> Path:
    return make_corpus("v7", IMAGES)


@pytest.fixture(scope="module")
def build(
    corpus: Path, run_build: Callable[..., Build], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Version]:
    """Builds the corpus with flags."""

    def build(*flags: object) -> Version:
        done = run_build(
            *("--annotations", corpus / "annotations", "--images", corpus / "images"),
            *("--masks", corpus / "masks", "--format", "huggingface,parquet", *flags),
            *("--output", tmp_path_factory.mktemp("output")),
        )
        assert done.returncode == 0, done.stderr
        return done.version

    return build


@pytest.fixture(scope="module")
def version(build: Callable[..., Version]) -> Version:
    return build("--num_shards", "2", "--mask_maps", "semantic")


@pytest.fixture(scope="module")
def with_objects(
    build: Callable[..., Version], tmp_path_factory: pytest.TempPathFactory
) -> Version:
    """With `objects`, where some classes alone have a number."""
    label_map = tmp_path_factory.mktemp("map") / "map.txt"
    label_map.write_text("/m/01g317\n/m/09j2d\n/m/04yx4\n/m/03bt1vf\n/m/05s2s\n/m/0dzct\n")
    return build("--objects", "--label_map", label_map)


@pytest.fixture(scope="module")
def loaded(version: Version, tmp_path_factory: pytest.TempPathFactory) -> datasets.DatasetDict:
    """The dataset, from a copy of its folder alone."""
    folder = tmp_path_factory.mktemp("moved") / "dataset"
    shutil.copytree(version.folder / "huggingface", folder)
    return datasets.load_dataset(str(folder), cache_dir=str(folder.parent / "cache"))


def rows_of(version: Version, form: str) -> list[dict]:
    shards = [shard for split in SPLITS for shard in version.shards(split, form)]
    return [row for shard in shards for row in pq.read_table(shard).to_pylist()]


def labels_of(version: Version) -> dict[int, str]:
    """MIDs by class number."""
    with open(version.folder / "huggingface" / "classes.csv", newline="") as file:
        return {int(row["number"]): row["label"] for row in csv.DictReader(file)}


def with_mids(row: dict, labels: dict[int, str]) -> dict:
    """A row as Parquet has it; None for a label that has no number."""
    found = dict(row)
    for column, kind in ANNOTATIONS.items():
        for label in kind.labels:
            found[column] = found[column] and [
                {**each, label: labels.get(each[label])} for each in found[column]
            ]
    return found


def test_rows_are_those_of_parquet(version: Version):
    labels = labels_of(version)
    rows = rows_of(version, "huggingface")
    assert len(rows) == IMAGES
    assert "instance_map" not in rows[0]  # which the dataset doesn't fill
    for row, other in zip(rows, rows_of(version, "parquet"), strict=True):
        assert with_mids(row, labels) == {name: other[name] for name in row}
    assert "huggingface" not in version.manifest["dropped"]


def test_labels_are_class_numbers(version: Version):
    classes = json.loads((version.folder / "classes.json").read_text())
    assert labels_of(version) == {each["index"] - 1: each["label"] for each in classes}


def test_classes_without_a_number(with_objects: Version, capfd: pytest.CaptureFixture[str]):
    """They are -1, and counted; verify finds all annotations."""
    labels = labels_of(with_objects)
    assert len(labels) == 6
    lost = 0
    for row, other in zip(
        rows_of(with_objects, "huggingface"), rows_of(with_objects, "parquet"), strict=True
    ):
        for column, kind in ANNOTATIONS.items():
            for one, another in zip(row[column] or [], other[column] or [], strict=True):
                for label in kind.labels:
                    known = another[label] in labels.values()
                    assert labels.get(one[label], -1) == (another[label] if known else -1)
                    lost += one[label] == -1
    dropped = with_objects.manifest["dropped"]["huggingface"]
    assert dropped["labels of classes without a number"] == lost > 0
    assert verify.main([str(with_objects.folder.parents[1]), "--num_workers", "1"]) == 0
    assert ": whole; " in capfd.readouterr().out


def test_objects(with_objects: Version):
    """In pixels, of classes with a number; `id` is the place in `bboxes`."""
    numbers = {label: number for number, label in labels_of(with_objects).items()}
    count = lost = 0
    for row, other in zip(
        rows_of(with_objects, "huggingface"), rows_of(with_objects, "parquet"), strict=True
    ):
        assert row["open_images_id"] == other["image_id"]
        assert f"{row['image_id'] % (1 << 64):016x}" == other["image_id"]
        boxes = list(enumerate(other["bboxes"]))
        kept = [(place, box) for place, box in boxes if box["label"] in numbers]
        lost += len(boxes) - len(kept)
        count += len(kept)
        objects = row["objects"]
        assert objects["id"] == [place for place, _ in kept]
        assert objects["category"] == [numbers[box["label"]] for _, box in kept]
        width, height = row["width"], row["height"]
        wanted = [
            (
                box["xmin"] * width,
                box["ymin"] * height,
                (box["xmax"] - box["xmin"]) * width,
                (box["ymax"] - box["ymin"]) * height,
            )
            for _, box in kept
        ]
        assert np.allclose(np.reshape(objects["bbox"], (-1, 4)), np.reshape(wanted, (-1, 4)))
        assert np.allclose(objects["area"], [w * h for _, _, w, h in wanted])
        for x, y, w, h in objects["bbox"]:
            assert 0 <= x < x + w <= width
            assert 0 <= y < y + h <= height
    assert count > 0
    dropped = with_objects.manifest["dropped"]["huggingface"]
    assert dropped["objects of classes without a number"] == lost > 0


def test_objects_as_examples_of_object_detection_read_them(with_objects: Version, tmp_path: Path):
    """Object detection in https://github.com/huggingface/transformers/tree/main/examples."""
    folder = with_objects.folder / "huggingface"
    dataset = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path))
    categories = dataset.features["objects"]["category"].feature.names
    assert dict(enumerate(categories))[0] == "Person"
    for example in dataset:
        np.asarray([example["image_id"]], np.int64)  # as image processors do
        objects = example["objects"]
        picture = np.array(example["image"].convert("RGB"))
        for category, area, bbox in zip(
            objects["category"], objects["area"], objects["bbox"], strict=True
        ):
            assert categories[category]
            x, y, w, h = map(round, bbox)
            assert area > 0
            assert picture[y : y + h, x : x + w].shape[:2] == (h, w)


def test_load_dataset(loaded: datasets.DatasetDict, version: Version, corpus: Path):
    assert {split: len(rows) for split, rows in loaded.items()} == {
        split: version.manifest["splits"][split]["num_examples"] for split in SPLITS
    }
    features = loaded["train"].features
    names = {
        each["label"]: each["name"]
        for each in json.loads((version.folder / "classes.json").read_text())
    }
    class_label = features["bboxes"].feature["label"]
    assert isinstance(class_label, datasets.ClassLabel)
    assert features["relationships"].feature["label2"] == class_label
    assert features["image"] == datasets.Image()
    assert features["semantic_map"] == datasets.Image()
    repeated = {name for name in names.values() if [*names.values()].count(name) > 1}
    rows = {row["image_id"]: row for row in rows_of(version, "parquet")}
    for example in loaded["train"]:
        row = rows[example["image_id"]]
        source = Image.open(corpus / "images" / "train" / f"{row['image_id']}.jpg")
        assert example["image"].tobytes() == source.tobytes()
        for box, other in zip(example["bboxes"], row["bboxes"], strict=True):
            name = names[other["label"]]
            wanted = f"{name} ({other['label']})" if name in repeated else name
            assert class_label.int2str(box["label"]) == wanted
            assert box["is_group_of"] == other["is_group_of"]


def test_load_dataset_streams(version: Version):
    folder = version.folder / "huggingface"
    streamed = datasets.load_dataset(str(folder), split="validation", streaming=True)
    example = next(iter(streamed))
    assert example["image"].size == (example["width"], example["height"])


def test_card(loaded: datasets.DatasetDict, version: Version):
    """The Hub can read the card, and its features are those that `datasets` would write."""
    folder = version.folder / "huggingface"
    card = DatasetCard((folder / "README.md").read_text())
    metadata = card.data.to_dict()
    assert metadata["license"] == ["cc-by-4.0", "cc-by-2.0"]
    assert metadata["pretty_name"] == "Open Images V7"
    assert metadata["size_categories"] == ["n<1K"]
    assert "object-detection" in metadata["task_categories"]
    assert metadata["configs"] == [
        {
            "config_name": "default",
            "data_files": [{"split": s, "path": f"data/{s}-*.parquet"} for s in SPLITS],
        }
    ]
    info = DatasetInfosDict.from_directory(str(folder))["default"]
    assert info.features == loaded["train"].features
    theirs = DatasetCard(f"---\n{yaml.safe_dump({'f': info.features._to_yaml_list()})}---\n")
    ours = metadata["dataset_info"]["features"]
    assert with_numbered_names(ours) == theirs.data.to_dict()["f"]
    sizes = {split: version.shards(split, "huggingface") for split in SPLITS}
    for split, shards in sizes.items():
        assert info.splits[split].num_examples == version.manifest["splits"][split]["num_examples"]
        assert info.splits[split].num_bytes == sum(shard.stat().st_size for shard in shards)
    assert card.text.count("```bibtex") == 1


def with_numbered_names(value: object) -> object:
    """Features with names of classes by number, as `datasets` writes them."""
    if isinstance(value, list):
        return [with_numbered_names(each) for each in value]
    if isinstance(value, dict):
        if isinstance(names := value.get("names"), list):
            return {"names": {str(number): name for number, name in enumerate(names)}}
        return {key: with_numbered_names(each) for key, each in value.items()}
    return value


def test_names_of_classes_are_kept_whatever_they_are(tmp_path: Path):
    """Each is unique, too, as `ClassLabel` demands."""
    records = [
        {"index": number, "label": f"/m/{number}", "name": name, "parents": [], "lists": []}
        for number, name in enumerate(HOSTILE_NAMES, 1)
    ]
    content = Content(example_columns(), classes=ClassTable(records))
    documents = FORMAT.documents(content, {"train": [ShardSize(1, 10, "")]})
    (tmp_path / "README.md").write_text(documents["huggingface/README.md"], newline="")
    features = DatasetInfosDict.from_directory(str(tmp_path))["default"].features
    found = features["image_labels"].feature["label"].names
    assert len({*found}) == len(found) == len(HOSTILE_NAMES)
    expected = [name or f"/m/{number}" for number, name in enumerate(HOSTILE_NAMES, 1)]
    changed = {name for name, other in zip(expected, found, strict=True) if name != other}
    assert changed == {"Ball", "Ball (/m/38)"}
    (_, *lines) = csv.reader(io.StringIO(documents["huggingface/classes.csv"], newline=""))
    assert lines == [[str(n), f"/m/{n + 1}", name] for n, name in enumerate(found)]


def test_schema_without_objects_has_the_columns_of_an_example():
    columns = example_columns()
    assert [*FORMAT.schema(Content(columns))][:-1] == [*columns]
    assert {*columns} < {*EXAMPLE.names}
    with_objects = FORMAT.schema(Content(columns, FormatSettings(objects=True)))
    assert [*with_objects][:2] == ["image_id", "open_images_id"]
    assert with_objects["image_id"] == "int64"
    assert with_objects["objects"].startswith("struct<id: list<int64>")


@pytest.mark.parametrize(
    ("images", "boxes", "problem"),
    [
        (True, False, "--objects are boxes: name a table of these by --annotations"),
        (False, True, "--objects are in pixels of pictures: name these by --images"),
    ],
)
def test_objects_need_boxes_and_pictures(
    corpus: Path,
    run_build: Callable[..., Build],
    tmp_path: Path,
    images: bool,
    boxes: bool,
    problem: str,
):
    table = "oidv6-train-annotations-bbox.csv" if boxes else "oidv6-train-annotations-vrd.csv"
    done = run_build(
        *("--annotations", corpus / "annotations" / table, "--format", "huggingface"),
        *("--images", corpus / "images" if images else "none"),
        *("--objects", "--output", tmp_path / "output"),
    )
    assert done.returncode == 2
    assert f"--format huggingface: {problem}" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
