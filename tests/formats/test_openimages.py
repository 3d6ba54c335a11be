"""Open Images' own files: building from them gives the same examples, and each field is right."""

import csv
import io
import json
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pycocotools import mask as coco

from open_images.building import plan
from tests.builds import Version, run_build
from transforms.dataset.classes import ClassTable
from transforms.dataset.elements import BuiltPart
from transforms.formats.format import Content
from transforms.formats.openimages.format import FORMAT
from transforms.formats.settings import DEFAULT_SETTINGS
from transforms.kinds.registry import EXAMPLE
from transforms.releases.shards import ShardPlan, seal_shard
from transforms.sources import listing

IMAGES = 30
FLOATS = (0.0, 1.0, 1e-7, 0.1, 0.9642005, 1 / 3, 0.00390625, np.nextafter(np.float32(1), 0))


@pytest.fixture(scope="module", autouse=True)
def _several_buckets() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "_BUCKET_IMAGES", 8)
        yield


def publish(inputs: Path, output: Path, *flags: str, images: str = "images") -> Version:
    """Builds from all that a folder has: a corpus, or what this format wrote."""
    arguments = ["--annotations", inputs / "annotations", "--output", output, *flags]
    arguments += ["--images", "none" if images == "none" else inputs / images]
    if (inputs / "masks").exists() and images != "none":
        arguments += ["--masks", inputs / "masks"]
    built = run_build(*arguments, "--format", "parquet,openimages")
    assert built.returncode == 0, built.stderr
    return built.version


@pytest.fixture(scope="module")
def version(make_corpus: Callable, tmp_path_factory: pytest.TempPathFactory) -> Version:
    return publish(make_corpus("v7", IMAGES), tmp_path_factory.mktemp("first"))


def assert_built_again(version: Version, output: Path, **arguments: Any) -> None:
    """Builds from the files of a version, and asserts that examples and files are the same."""
    again = publish(version.folder / "openimages", output, **arguments)
    assert again.table.equals(version.table)
    assert again.failures == []
    before, after = version.digests(), again.digests()
    assert {path: after[path] for path in before if path.startswith("openimages/")} == {
        path: before[path] for path in before if path.startswith("openimages/")
    }


def test_building_from_the_files_gives_the_same_examples(version: Version, tmp_path: Path):
    assert_built_again(version, tmp_path)


def test_so_do_tables_of_v3_that_have_boxes_without_flags(corpus_v3: Path, tmp_path: Path):
    for name in ("images.csv", "annotations-human-bbox.csv"):
        (tmp_path / "v3" / "annotations").mkdir(parents=True, exist_ok=True)
        table = corpus_v3 / "annotations" / "2017_11" / "train" / name
        (tmp_path / "v3" / "annotations" / name).symlink_to(table)
    built = publish(tmp_path / "v3", tmp_path / "first", images="none")
    folder = built.folder / "openimages"
    boxes = (folder / "annotations" / "oidv6-train-annotations-bbox.csv").read_text()
    assert boxes.startswith("ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n")
    assert boxes.count("\n") > 1
    again = publish(folder, tmp_path / "again", images="none")
    assert again.table.equals(built.table)


def test_so_do_annotations_without_pictures(make_corpus: Callable, tmp_path: Path):
    built = publish(make_corpus("v7", IMAGES), tmp_path / "first", images="none")
    assert {path.name for path in (built.folder / "openimages").iterdir()} == {
        *("annotations", "files")
    }
    assert_built_again(built, tmp_path / "again", images="none")


def read_csv(version: Version, name: str) -> list[dict[str, str]]:
    path = version.folder / "openimages" / "annotations" / name
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def flags_of(row: dict[str, str]) -> list[str]:
    return [row[name] for name in row if name.startswith("Is")]


def test_boxes_are_those_of_the_examples(version: Version):
    names = ("occluded", "truncated", "group_of", "depiction", "inside")
    for split, name in (("train", "oidv6-train"), ("validation", "validation")):
        rows = read_csv(version, f"{name}-annotations-bbox.csv")
        expected = [
            (example["image_id"], box)
            for example in version.examples.values()
            if example["split"] == split
            for box in example["bboxes"]
        ]
        assert len(rows) == len(expected) > 0
        for row, (image_id, box) in zip(rows, expected, strict=True):
            given = row["ImageID"], row["LabelName"], row["Source"]
            assert given == (image_id, box["label"], box["source"])
            for column in ("XMin", "XMax", "YMin", "YMax", "Confidence"):
                assert np.float32(row[column]) == np.float32(box[column.lower()])
            assert flags_of(row) == [str(box[f"is_{flag}"]) for flag in names]
            assert ("XClick1X" in row) == (split == "train")
            if split == "train":
                clicks = [
                    (float(row[f"XClick{i}X"]), float(row[f"XClick{i}Y"])) for i in (1, 2, 3, 4)
                ]
                points = [(point["x"], point["y"]) for point in box["extreme_points"]]
                assert np.allclose(clicks, points or [(-1, -1)] * 4)


def test_masks_are_png_of_one_bit_with_the_pixels_of_the_examples(version: Version):
    folder = version.folder / "openimages" / "masks"
    count = 0
    for split, name in (("train", "train"), ("test", "test")):
        rows = read_csv(version, f"{name}-annotations-object-segmentation.csv")
        masks = [
            (example["image_id"], mask)
            for example in version.examples.values()
            if example["split"] == split
            for mask in example["masks"]
        ]
        for row, (image_id, mask) in zip(rows, masks, strict=True):
            mid = mask["label"].replace("/", "")
            assert row["MaskPath"] == f"{image_id}_{mid}_{mask['box_id']}.png"
            assert (row["ImageID"], row["BoxID"]) == (image_id, mask["box_id"])
            image = Image.open(folder / split / row["MaskPath"])
            assert (image.format, image.mode) == ("PNG", "1")
            expected = coco.decode({"counts": mask["counts"], "size": mask["size"]})
            assert np.array_equal(np.asarray(image), expected.astype(bool))
            count += 1
    assert count == len(list(folder.glob("train/*.png"))) + len(list(folder.glob("test/*.png")))
    assert count > 0


def test_pictures_and_their_sizes_are_those_of_the_examples(version: Version):
    folder = version.folder / "openimages"
    for split in ("train", "validation", "test"):
        examples = [each for each in version.examples.values() if each["split"] == split]
        pictures = {path.name: path.read_bytes() for path in (folder / "images" / split).iterdir()}
        assert pictures == {each["image"]["path"]: each["image"]["bytes"] for each in examples}
        data = (folder / "annotations" / f"{split}-image-metas.pkl").read_bytes()
        assert pickle.loads(data) == [
            {
                "filename": f"{each['image_id']}.jpg",
                "ori_shape": (each["height"], each["width"], 3),
            }
            for each in examples
            if each["bboxes"]
        ]


def test_other_tables_have_the_published_names_and_headers(version: Version):
    """Their fields are those of the examples, as building from them shows."""
    annotations = version.folder / "openimages" / "annotations"
    heads = {path.name: path.open().readline().strip() for path in annotations.glob("*.csv")}
    assert heads["validation-images-with-rotation.csv"].endswith(",Thumbnail300KURL,Rotation")
    assert heads["oidv6-test-annotations-vrd.csv"].endswith(",YMax2,RelationshipLabel")
    assert heads["oidv7-val-annotations-point-labels.csv"].startswith("ImageId,X,Y,Label,")
    assert heads["open_images_extended_miap_boxes_val.csv"].endswith("Presentation")
    labels = "ImageID,Source,LabelName,Confidence"
    assert heads["oidv7-train-annotations-human-imagelabels.csv"] == labels
    assert heads["oidv7-train-annotations-machine-imagelabels.csv"] == labels
    assert heads["oidv7-class-descriptions.csv"] == "LabelName,DisplayName"
    assert heads["class-descriptions-boxable.csv"].startswith("/m/")
    line = (annotations / "open_images_train_localized_narratives.jsonl").open().readline()
    assert json.loads(line)["dataset_id"] == "open_images_train"


def test_each_box_and_boxable_label_is_of_a_boxable_class(version: Version):
    annotations = version.folder / "openimages" / "annotations"
    with open(annotations / "class-descriptions-boxable.csv", newline="") as file:
        boxable = {label for label, _ in csv.reader(file)}
    labels = read_csv(version, "train-annotations-human-imagelabels-boxable.csv")
    every = read_csv(version, "oidv7-train-annotations-human-imagelabels.csv")
    assert labels == [row for row in every if row["LabelName"] in boxable]
    assert 0 < len(labels) < len(every)
    tree = json.loads((annotations / "bbox_labels_600_hierarchy.json").read_text())
    below = set(re.findall(r'"LabelName": "(.+?)"', json.dumps(tree["Subcategory"])))
    assert below == boxable


def write(folder: Path, *given: list[dict[str, Any]], classes: ClassTable | None = None) -> Path:
    """Writes examples of the train split, a list a part; the folder of the annotations."""
    content = Content(EXAMPLE.names, classes=classes or ClassTable())
    folder.mkdir()
    for index, kind in enumerate((FORMAT, FORMAT.shared)):
        parts = []
        for bucket, rows in enumerate(given):
            writer = kind.open_part(str(folder / f"part-{index}-{bucket}"), content)
            rows = [{"split": "train", **row} for row in rows]
            writer.write(pa.Table.from_pylist(rows, EXAMPLE))
            part = writer.close()
            parts.append(BuiltPart("openimages", "train", bucket, 0, **part._asdict()))
        plan = ShardPlan("openimages", "train", index, 2, tuple(parts))
        seal_shard(plan, str(folder / "version"), DEFAULT_SETTINGS)
    return folder / "version" / "openimages" / "annotations"


def box(**fields: Any) -> dict[str, Any]:
    return {"label": "/m/01", "xmin": 0, "xmax": 1, "ymin": 0, "ymax": 1, **fields}


FLAGS = dict.fromkeys(
    ("is_occluded", "is_truncated", "is_group_of", "is_depiction", "is_inside"), 0
)


@pytest.mark.parametrize("images_a_part", [1, 4])
def test_boxes_have_the_columns_of_the_widest(images_a_part: int, tmp_path: Path):
    clicks = [{"x": 0.25, "y": 0.5}] * 4
    rows = [
        {"image_id": "0" * 16, "bboxes": [box()]},
        {"image_id": "1" * 16, "bboxes": []},
        {"image_id": "2" * 16, "bboxes": [box(**FLAGS, extreme_points=clicks)]},
        {"image_id": "3" * 16, "bboxes": [box(**FLAGS | {"is_inside": None})]},
    ]
    parts = [rows[i : i + images_a_part] for i in range(0, len(rows), images_a_part)]
    annotations = write(tmp_path / "parts", *parts)
    table = list(csv.reader((annotations / "oidv6-train-annotations-bbox.csv").open()))
    assert [len(row) for row in table] == [21] * 4
    assert [row[8:] for row in table[1:]] == [
        ["-1"] * 13,
        ["0"] * 5 + ["0.25"] * 4 + ["0.5"] * 4,
        ["0"] * 4 + [""] + ["-1"] * 8,
    ]


def test_a_source_without_rows_is_a_header_and_one_that_was_not_given_no_file(tmp_path: Path):
    annotations = write(tmp_path / "parts", [{"image_id": "0" * 16, "points": []}])
    assert sorted(path.name for path in annotations.iterdir()) == [
        "oidv7-train-annotations-point-labels.csv",
        "train-images-with-rotation.csv",
    ]
    points = (annotations / "oidv7-train-annotations-point-labels.csv").read_text()
    assert points.startswith("ImageId,X,Y,")
    assert points.count("\n") == 1


def test_numbers_have_the_shortest_text_of_their_32_bits(tmp_path: Path):
    boxes = [box(xmin=value) for value in FLOATS]
    annotations = write(tmp_path / "parts", [{"image_id": "0" * 16, "bboxes": boxes}])
    rows = csv.DictReader((annotations / "oidv6-train-annotations-bbox.csv").open())
    for row, value in zip(rows, FLOATS, strict=True):
        assert np.float32(row["XMin"]) == np.float32(value)
        assert len(row["XMin"]) <= len(repr(float(value))) + 2


@pytest.mark.parametrize("text", ['"', ",", "a\r\nb", "\u2028é\U0001f600", " edges ", "\\", "\0"])
def test_any_text_is_read_back(text: str, tmp_path: Path):
    narrative = {"caption": text, "timed_caption": None, "traces": [[], None]}
    row = {"image_id": "0" * 16, "title": text, "narratives": [narrative]}
    annotations = write(tmp_path / "parts", [row])
    data = (annotations / "train-images-with-rotation.csv").read_bytes().decode()
    (found,) = csv.DictReader(io.StringIO(data, newline=""))
    assert found["Title"] == text
    line = (annotations / "open_images_train_localized_narratives.jsonl").read_text()
    assert json.loads(line) == {
        "dataset_id": "open_images_train",
        "image_id": "0" * 16,
        "annotator_id": None,
        **narrative,
        "voice_recording": None,
    }


def test_masks_of_one_name_get_several(tmp_path: Path):
    counts = coco.encode(np.asfortranarray(np.eye(3, 5, dtype=np.uint8)))["counts"]
    raster = {"size": [3, 5], "counts": counts, "area": 3}
    masks = [
        {"label": "/m/01", "box_id": box_id, **raster} for box_id in ("a", "a", "a_2", "a", "../b")
    ]
    masks.append({"label": "/m/01", "box_id": "lost"})
    annotations = write(tmp_path / "parts", [{"image_id": "0" * 16, "masks": masks}])
    rows = csv.DictReader((annotations / "train-annotations-object-segmentation.csv").open())
    names = [row["MaskPath"].removeprefix("0" * 16 + "_m01_") for row in rows]
    assert names == ["a.png", "a_3.png", "a_2.png", "a_4.png", "b.png", "lost.png"]
    written = sorted(path.name for path in (annotations.parent / "masks" / "train").iterdir())
    assert written == sorted(f"{'0' * 16}_m01_{name}" for name in names[:-1])


def test_builds_read_the_masks_of_any_labels_and_ids(tmp_path: Path):
    counts = coco.encode(np.asfortranarray(np.eye(3, 5, dtype=np.uint8)))["counts"]
    masks = [
        {"label": label, "box_id": box_id, "size": [3, 5], "counts": counts, "area": 3}
        for label in ("/m/01", "Cat", "猫", "x" * 300)
        for box_id in ("a", "a", "", None, "é", "b" * 300, "../b-2")
    ]
    annotations = write(tmp_path / "parts", [{"image_id": "0" * 16, "masks": masks}])
    names = [path.name for path in (annotations.parent / "masks" / "train").iterdir()]
    assert len(names) == len(masks)
    assert [name for name in names if not listing.MASKS.base_name.fullmatch(name)] == []


CLASSES = [
    {"index": 1, "label": "/m/a", "name": 'Röhre, "dick"', "parents": ["/m/r"], "lists": ["x"]},
    {"index": 2, "label": "/m/b", "name": None, "parents": ["/m/a", "/m/r"], "lists": []},
    {"index": 3, "label": "/m/r", "name": "Root", "parents": [], "lists": ["x"]},
    {"index": 4, "label": "/m/c", "name": "Ring", "parents": ["/m/b"], "lists": []},
]


def test_classes_have_names_lists_and_a_tree():
    content = Content(EXAMPLE.names, classes=ClassTable(CLASSES))
    files = {Path(path).name: text for path, text in FORMAT.documents(content, {}).items()}
    names = '/m/a,"Röhre, ""dick"""\n/m/b,/m/b\n'
    assert files == {
        "oidv7-class-descriptions.csv": f"LabelName,DisplayName\n{names}/m/r,Root\n/m/c,Ring\n",
        "class-descriptions-boxable.csv": f"{names}/m/c,Ring\n",
        "x.txt": "/m/a\n/m/r\n",
        "bbox_labels_600_hierarchy.json": tree(
            "/m/r", tree("/m/a", tree("/m/b", tree("/m/c"))), tree("/m/b", tree("/m/c"))
        ),
    }


def tree(label: str, *below: dict) -> dict:
    return {"LabelName": label, **({"Subcategory": list(below)} if below else {})}


def test_a_hierarchy_of_many_ways_ends():
    """Each class has two parents, so a tree of all ways has 2^60 leaves; and one is a cycle."""
    classes = [
        {"index": n + 1, "label": f"/m/{n}", "name": None, "lists": []}
        | {"parents": [f"/m/{m}" for m in (n - 1, n - 2) if m >= 0]}
        for n in range(60)
    ]
    classes[1]["parents"].append("/m/59")
    content = Content(EXAMPLE.names, classes=ClassTable(classes))
    found = FORMAT.documents(content, {})["openimages/annotations/bbox_labels_600_hierarchy.json"]
    assert json.dumps(found).count("LabelName") < 50_000


MISTAKES = {
    "WebP": (["--image_encoding", "webp"], "readers of Open Images look for JPEG"),
    "the name of the dataset": (["--format", "open_images"], "openimages"),
    "the name of a reader": (["--format", "datumaro"], "openimages"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_have_a_remedy(mistake: str, make_corpus: Callable, tmp_path: Path):
    flags, remedy = MISTAKES[mistake]
    corpus = make_corpus("v7", IMAGES)
    inputs = ["--annotations", corpus / "annotations", "--images", corpus / "images"]
    flags = ["--format", "openimages", *flags] if "--format" not in flags else flags
    built = run_build(*inputs, "--output", tmp_path, *flags)
    assert built.returncode == 2
    assert remedy in built.stderr
    assert len(built.stderr.strip().splitlines()) == 1
