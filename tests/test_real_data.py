"""Builds from real Open Images data: six pictures of V4, and the heads of published files."""

import csv
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests import builds, compare

DATA = Path(__file__).with_name("data")
V4 = DATA / "real_v4"
HEADS = DATA / "published_heads"

#: The seven boxes: image, label, xmin, xmax, ymin, ymax, and the five flags in published order.
V4_BOXES = [
    ("c975b5b73c0ad366", "/m/02p0tk3", 0.087454, 0.684753, 0.030701, 0.862198, 0, 0, 0, 0, 0),
    ("7c0a45f2c059de31", "/m/02p0tk3", 0.0, 1.0, 0.082936, 0.946618, 0, 1, 0, 0, 0),
    ("e9f7c51323164ad2", "/m/04hgtk", 0.563703, 0.770398, 0.079244, 0.362045, 0, 0, 0, 0, 0),
    ("3f3c0c7afad76221", "/m/04hgtk", 0.288461, 0.373813, 0.329858, 0.395212, 0, 0, 0, 0, 0),
    ("83088fa63e0d2bcd", "/m/035r7c", 0.157199, 0.231825, 0.041171, 0.192882, 1, 0, 0, 0, 0),
    ("83088fa63e0d2bcd", "/m/035r7c", 0.107192, 0.271061, 0.0, 0.071975, 0, 1, 0, 0, 0),
    ("2ec3166c7a17f8d5", "/m/035r7c", 0.345596, 0.399062, 0.049525, 0.248057, 1, 0, 0, 0, 0),
]
CORNERS = ("xmin", "xmax", "ymin", "ymax")
FLAGS = ("is_occluded", "is_truncated", "is_group_of", "is_depiction", "is_inside")

#: Published files whose names don't tell a split: where the images of their rows are.
V3_SPLITS = {
    "v3_1_images.csv": "train",
    "v3_2_labels_machine.csv": "train",
    "v3_3_labels_verification.csv": "test",
    "v3_4_boxes_activemil.csv": "train",
    "v3_5_boxes5flags_freeform.csv": "test",
}
IMAGE_TABLES = (
    "train-images-boxable-with-rotation.csv",
    "validation-images-with-rotation.rows.csv",
    "v3_1_images.csv",
)
WITHOUT_HEADER = ("v3_6_classes.csv", "v3_7_classes.csv", "v3_8_trainable.csv")
NOT_READ = ("oidv6-relationship-triplets.csv", "oidv6-relationships-description.csv")
NARRATIVE = "localized_narratives_documented_sample.jsonl"


@pytest.fixture(scope="module")
def v4(tmp_path_factory: pytest.TempPathFactory) -> builds.Version:
    """V4's pictures and boxes; no image table, so the file's name tells the split."""
    return publish(V4 / "annotations", V4 / "images", tmp_path_factory.mktemp("v4"))


def publish(annotations: Path, images: Path | str, output: Path) -> builds.Version:
    flags = ("--annotations", annotations, "--images", images, "--output", output)
    # Heads of files: some rows are bad on purpose, and whole files are of other images.
    flags += ("--max_bad_rate", "1", "--max_failure_rate", "0.5")
    done = builds.run_build(*flags)
    assert done.returncode == 0, done.stderr
    return done.version


def test_v4_boxes(v4: builds.Version) -> None:
    assert list(v4.manifest["splits"]) == ["test"]
    assert v4.failures == []
    assert len(v4.examples) == 6
    wanted: dict[str, list[dict]] = {}
    for image_id, label, *numbers in V4_BOXES:
        corners = dict(zip(CORNERS, (float(np.float32(n)) for n in numbers[:4]), strict=True))
        others = {"label": label, "source": "freeform", "confidence": 1.0, "extreme_points": None}
        flags = dict(zip(FLAGS, numbers[4:], strict=True))
        wanted.setdefault(image_id, []).append(corners | others | flags)
    assert {image_id: row["bboxes"] for image_id, row in v4.examples.items()} == wanted


def test_v4_pictures_pass_through_unchanged(v4: builds.Version) -> None:
    listed = {row["ImageID"]: row for row in json.loads((V4 / "images_manifest.json").read_text())}
    assert listed.keys() == v4.examples.keys()
    for image_id, row in v4.examples.items():
        assert row["image"]["bytes"] == (V4 / "images" / "test" / f"{image_id}.jpg").read_bytes()
        assert hashlib.sha256(row["image"]["bytes"]).hexdigest() == listed[image_id]["sha256"]
        assert (row["width"], row["height"]) == (
            listed[image_id]["width"],
            listed[image_id]["height"],
        )
    compare.assert_tfrecord_equals_parquet(v4.shards("test", "tfrecord"), v4.table)


def test_v4_classes(v4: builds.Version) -> None:
    classes = json.loads((v4.folder / "classes.json").read_text())
    with open(V4 / "annotations" / "class-descriptions-boxable.csv", newline="") as file:
        wanted = [tuple(row) for row in csv.reader(file)]
    assert len(wanted) == 601
    assert [(entry["label"], entry["name"]) for entry in classes] == wanted


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published heads, with a folder where a name tells no split; JSON Lines of the sample."""
    folder = tmp_path_factory.mktemp("heads")
    for split in ("train", "test"):
        (folder / split).mkdir()
    for path in [*HEADS.glob("*.csv"), *(HEADS / "v3").glob("*.csv")]:
        shutil.copyfile(path, folder / V3_SPLITS.get(path.name, ".") / path.name)
    sample = json.loads((HEADS / "localized_narratives_documented_sample.json").read_text())
    lines = "".join(json.dumps(row) + "\n" for row in sample["rows"])
    (folder / "train" / NARRATIVE).write_text(lines)
    return folder


@pytest.fixture(scope="module")
def with_tables(heads: Path, tmp_path_factory: pytest.TempPathFactory) -> builds.Version:
    """A build of all heads together."""
    return publish(heads, "none", tmp_path_factory.mktemp("with-tables"))


@pytest.fixture(scope="module")
def without_tables(heads: Path, tmp_path_factory: pytest.TempPathFactory) -> builds.Version:
    """A build of all heads but the image tables, so that no row is an orphan."""
    folder = tmp_path_factory.mktemp("annotations")
    ignore = shutil.ignore_patterns(*IMAGE_TABLES)
    shutil.copytree(heads, folder, ignore=ignore, dirs_exist_ok=True)
    return publish(folder, "none", tmp_path_factory.mktemp("without-tables"))


def count_lines(path: Path) -> int:
    """Rows of a file in which no field holds a line break."""
    lines = [line for line in path.read_text().split("\n") if line]
    headless = path.name in WITHOUT_HEADER
    return len(lines) - (not headless)


@pytest.mark.parametrize("build", ["with_tables", "without_tables"])
def test_every_line_of_the_heads_is_counted(
    build: str, heads: Path, request: pytest.FixtureRequest
) -> None:
    version: builds.Version = request.getfixturevalue(build)
    sources = version.manifest["sources"]
    names = {path.name for path in heads.rglob("*") if path.is_file()}
    assert len(names) == 22
    names -= {NARRATIVE}  # which are of COCO's pictures
    assert {Path(source["path"]).name for source in sources} == (
        names if build == "with_tables" else names - {*IMAGE_TABLES}
    )
    for source in sources:
        path = Path(source["path"])
        assert source["rows"] == (0 if path.name in NOT_READ else count_lines(path)), path.name
    bad = {Path(s["path"]).name: s["bad_rows"] for s in sources if s["bad_rows"]}
    assert bad == ({"v3_1_images.csv": 1} if build == "with_tables" else {})


def test_the_bad_row_of_the_heads(with_tables: builds.Version) -> None:
    found = {Path(failure["source"]).name: failure for failure in with_tables.failures}
    assert found.keys() == {"v3_1_images.csv"}
    assert len(with_tables.failures) == 1
    image = found["v3_1_images.csv"]
    assert (image["reason"], image["stage"], image["line"]) == ("bad_row", "read", 2)
    assert "10 fields" in image["detail"]
    assert "11" in image["detail"]


def test_image_rows_of_the_heads(with_tables: builds.Version) -> None:
    """All other rows are orphans, since these three images have no annotations there."""
    assert {image_id: row["split"] for image_id, row in with_tables.examples.items()} == {
        "4fa8054781a4c382": "train",
        "b37f763ae67d0888": "train",
        "fe600639ac5f36c1": "validation",
    }
    row = with_tables.examples["4fa8054781a4c382"]
    assert row["title"] == "...die FNF-Kerze"
    assert row["original_size"] == 4405052
    assert row["original_md5"] == "KFukvivpCM5QXl5SqKe41g=="
    assert row["rotation"] == 0
    assert with_tables.examples["fe600639ac5f36c1"]["rotation"] is None
    for source in with_tables.manifest["sources"]:
        if source["kind"] in ("boxes", "image_labels", "masks", "relationships"):
            assert source["orphans"] == source["rows"] > 0, source["path"]


def test_every_row_of_the_heads_is_in_an_example(without_tables: builds.Version) -> None:
    sources = without_tables.manifest["sources"]
    assert not any(source["orphans"] for source in sources)
    published = {
        column: sum(len(row[column]) for row in without_tables.examples.values())
        for column in ("image_labels", "bboxes", "masks", "relationships")
    }
    assert published == {
        "image_labels": 24 + 4 + 9 + 9,
        "bboxes": 3 + 9 + 4 + 9 + 9,
        "masks": 4,
        "relationships": 2,
    }
    assert all(
        row["points"] is row["narratives"] is None for row in without_tables.examples.values()
    )


def test_values_of_the_heads(without_tables: builds.Version) -> None:
    examples = without_tables.examples
    clicked = [box for box in examples["000002b66c9c498e"]["bboxes"] if box["extreme_points"]]
    assert len(clicked) == 3
    assert clicked[0]["extreme_points"] == [
        {"x": float(np.float32(x)), "y": float(np.float32(y))}
        for x, y in [
            (0.148438, 0.148438),
            (0.0125, 0.357812),
            (0.059375, 0.5875),
            (0.195312, 0.325),
        ]
    ]
    mask = examples["677c122b0eaa5d16"]["masks"][0]
    assert (mask["label"], mask["box_id"], mask["counts"]) == ("/m/04yx4", "9a041d52", None)
    assert len(mask["clicks"]) == 12
    assert mask["clicks"][2] == {
        "x": float(np.float32(0.94701)),
        "y": float(np.float32(0.48968)),
        "t": 0,
    }
    assert examples["000ac95750ac7399"]["relationships"][1]["xmin2"] == float(np.float32(0.485625))


def test_classes_of_the_heads(without_tables: builds.Version) -> None:
    classes = {
        entry["label"]: entry
        for entry in json.loads((without_tables.folder / "classes.json").read_text())
    }
    names = {
        "/m/02gy9n": "Transparent",
        "/m/0dnr7": "(made of)Textile",
        "/m/011k07": "Tortoise",
        "/m/025khl": "Spätzle",
        "/m/02wvth": 'Fiat 500 "topolino"',
        "/m/03hgsf0": "Lemon, lime and bitters",
        "/m/0100nhbf": None,
    }
    assert {label: classes[label]["name"] for label in names} == names
    assert classes["/m/010dmf"]["lists"] == ["v3_8_trainable"]
