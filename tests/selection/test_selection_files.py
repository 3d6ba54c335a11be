"""Selection files and label maps: what they say is what flags say, and versions repeat."""

import csv
import gzip
import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import open_images
from open_images.building.flags import BuildFlags
from open_images.building.plan import make_plan
from open_images.building.selection_files import with_selection_file
from tests.builds import Build, run_build

Run = Callable[..., Build]


@pytest.fixture(scope="module")
def corpus(make_corpus: Callable[[str, int], Path]) -> Path:
    return make_corpus("v7", 60)


@pytest.fixture(scope="module")
def image_ids(corpus: Path) -> list[str]:
    with open(corpus / "annotations" / "train-images-boxable-with-rotation.csv") as file:
        return [row["ImageID"] for row in csv.DictReader(file)]


@pytest.fixture
def run(corpus: Path, tmp_path: Path) -> Run:
    """Builds annotations of the corpus as Parquet."""

    def run(*flags: object, output: str = "out") -> Build:
        built = run_build(
            *("--annotations", corpus / "annotations", "--images", "none"),
            *("--format", "parquet", "--max_bad_rate", "1", "--output", tmp_path / output),
            *flags,
        )
        assert built.returncode == 0, built.stderr
        return built

    return run


def flags_with(selection: Path, **given: object) -> BuildFlags:
    """The flags of a build with a selection file."""
    flags = BuildFlags(
        annotations=["a"], images=["none"], output="out", selection=str(selection), **given
    )
    return with_selection_file(flags)


def test_flags_go_before_a_file(tmp_path: Path):
    path = tmp_path / "selection.toml"
    path.write_text(
        'classes = ["Cat", "Vehicle+"]\nmatch = "all"\nseed = 7\nonly_matching = true\n'
        'max_images = 20\nsplits = ["val", "test"]\nlabel_map = "map.txt"\n'
    )
    flags = flags_with(path)
    assert (flags.classes, flags.match, flags.seed) == (("Cat", "Vehicle+"), "all", 7)
    assert (flags.only_matching, flags.max_images) == (True, 20)
    assert flags.splits == ("validation", "test")
    assert flags.label_map == str(tmp_path / "map.txt")
    flags = flags_with(
        path, classes=["Dog"], match="any", seed=0, only_matching=False, classes_from="boxable"
    )
    assert (flags.classes, flags.match, flags.seed) == (("Dog",), "any", 0)
    assert (flags.only_matching, flags.max_images) == (False, 20)
    assert (flags.classes_from, flags.label_map) == ("boxable", None)


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path):
    path = tmp_path / "selection.toml"
    path.write_text(
        "classes = ['@cats.txt, !@more/dogs.txt', '\"Meal, ready-to-eat\"']\n"
        "image_ids = ['ids.txt', 'train/000000000000000a', '/abs/ids.txt']\n"
    )
    flags = flags_with(path)
    assert flags.classes == (
        f"@{tmp_path}/cats.txt",
        f"!@{tmp_path}/more/dogs.txt",
        '"Meal, ready-to-eat"',
    )
    assert flags.image_ids == (
        f"{tmp_path}/ids.txt",
        "train/000000000000000a",
        "/abs/ids.txt",
    )


#: Selections that a version is built of, each by flags.
SELECTIONS = {
    "classes": ["--classes", "Person+", "--classes", "Tree|Car,!Boy", "--only_matching"],
    "conditions": [
        *("--where", "relationships = (Man|Woman, *, *)", "--where", "boxes.label != Car"),
        *(
            "--where",
            "boxes.source in (xclick, activemil)",
            "--where_images",
            "images.rotation = 0",
        ),
    ],
    "quotas": ["--max_per_class", "2", "--max_images", "20", "--seed", "9", "--splits", "train"],
    "numbers": ["--classes", "Person,Car", "--classes_from", "selected"],
    "a hierarchy": ["--label_types", "boxes,image_labels", "--expand_hierarchy"],
}


@pytest.mark.parametrize("name", SELECTIONS)
def test_a_version_repeats_itself(run: Run, corpus: Path, tmp_path: Path, name: str):
    built = run(*SELECTIONS[name])
    manifest = built.version.folder / "manifest.json"
    again = run("--selection", manifest)
    assert again.stdout.startswith("unchanged: ")
    # Copied away from its version it still says all.
    copy = shutil.copy(manifest, tmp_path / "selection.json")
    flags = BuildFlags(
        annotations=[str(corpus / "annotations")],
        images=["none"],
        format=["parquet"],
        output=str(tmp_path / "other"),
        selection=str(copy),
    )
    settings = built.version.manifest["settings_fingerprint"]
    assert make_plan(flags).settings_fingerprint == settings


def test_a_list_of_images_is_kept_with_its_version(run: Run, image_ids: list[str], tmp_path: Path):
    listed = tmp_path / "ids.txt"
    some = [*image_ids[3:9], "00000000000000ff"]
    listed.write_text("".join(f"train/{each}\n" for each in some))
    built = run("--image_ids", listed)
    listed.unlink()
    folder = built.version.folder
    assert {*built.version.examples} == {*some[:-1]}
    text = gzip.decompress((folder / "image_ids.txt.gz").read_bytes())
    assert text.decode().split() == sorted(some)
    assert built.version.manifest["selection"]["image_ids"] == {
        "path": "image_ids.txt.gz",
        "images": len(some),
        "sha256": hashlib.sha256(text).hexdigest(),
    }
    assert run("--selection", folder / "manifest.json").stdout.startswith("unchanged: ")
    found = open_images.verify(built.output)
    assert found.problems == []
    (folder / "image_ids.txt.gz").write_bytes(gzip.compress(text[17:], mtime=0))
    problems = open_images.verify(built.output).problems
    assert any("image_ids.txt.gz: its SHA-256 is" in line for line in problems), problems
    (folder / "image_ids.txt.gz").unlink()
    assert "image_ids.txt.gz: is missing" in open_images.verify(built.output).problems


def test_the_library_takes_a_file(corpus: Path, tmp_path: Path, image_ids: list[str]):
    path = tmp_path / "selection.toml"
    path.write_text(f"image_ids = {image_ids[:5]}\nlabel_types = 'boxes'\n")
    result = open_images.build(
        annotations=corpus / "annotations",
        images="none",
        output=tmp_path / "out",
        format="parquet",
        max_bad_rate=1,
        num_workers=1,
        selection=path,
    )
    assert result.outcome is not None
    assert result.outcome.images == 5
    manifest = result.manifest
    assert manifest is not None
    assert manifest.config["label_types"] == ["boxes"]
    assert manifest.selection is not None
    assert manifest.selection["image_ids"]["images"] == 5


#: Files that number three classes alike.
LABEL_MAPS = {
    "mids.txt": "/m/01g317\n/m/0k4j\n\n/m/07j7r\n",
    "names.txt": "person\nCar\nTREE\n",
    "fields.csv": "LabelName,DisplayName\n/m/01g317,Person\n/m/0k4j,Car\n/m/07j7r,Tree\n",
    "numbers.csv": "name,index\nTree,3\nPerson,1\nCar,2\n",
    "list.json": '["Person", "/m/0k4j", "Tree"]',
    "numbers.json": '{"Person": 1, "Tree": 3, "Car": 2}',
    "names.json": '{"1": "Person", "2": "Car", "3": "Tree"}',
    "objects.json": (
        '[{"index": 2, "label": "/m/0k4j", "name": "Car"}, {"index": 1, "label": "/m/01g317"},'
        ' {"index": 3, "name": "Tree"}, {"index": null, "label": "/m/0199g"}]'
    ),
    "map.pbtxt": (
        "# numbers of classes\n"
        "item { name: 'background' id: 0 }\n"
        'item {\n  name: "/m/0k4j"\n  id: 2\n  display_name: "Car"\n}\n'
        "item {\n  id: 1  # people\n  name: '/m/01g317'\n}\n"
        'item { name: "tree" id: 3 display_name: "Tree" }\n'
    ),
}


@pytest.mark.parametrize("name", LABEL_MAPS)
def test_forms_of_label_maps(corpus: Path, tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_text(LABEL_MAPS[name])
    flags = BuildFlags(
        annotations=[str(corpus / "annotations")],
        images=["none"],
        output=str(tmp_path / "out"),
        label_map=str(path),
    )
    plan = make_plan(flags)
    assert plan.examples.class_order == ("/m/01g317", "/m/0k4j", "/m/07j7r")


@pytest.mark.parametrize(
    ("name", "file"),
    [("boxable", "class-descriptions-boxable.csv"), ("segmentation", "classes-segmentation.txt")],
)
def test_numbers_of_a_class_file(run: Run, corpus: Path, name: str, file: str):
    built = run("--classes_from", name, "--label_types", "boxes")
    classes = json.loads((built.version.folder / "classes.json").read_text())
    lines = (corpus / "annotations" / file).read_text().splitlines()
    order = [line.partition(",")[0] for line in lines]
    assert [each["label"] for each in classes[: len(order)]] == order
    numbers = [*range(1, len(order) + 1), *[None] * (len(classes) - len(order))]
    assert [each["index"] for each in classes] == numbers
    assert len(classes) > len(order)
    assert len({each["label"] for each in classes}) == len(classes)
    assert open_images.verify(built.output).problems == []
    # The classes of that file can be selected by the same name.
    plan = make_plan(
        BuildFlags(
            annotations=[str(corpus / "annotations")],
            images=["none"],
            output="out",
            classes=[f"list:{name}"],
        )
    )
    assert list(plan.examples.selection.mids) == order


def test_numbers_in_semantic_maps(corpus: Path, tmp_path: Path):
    masks = corpus / "annotations" / "train-annotations-object-segmentation.csv"
    with open(masks) as file:
        order = sorted({row["LabelName"] for row in csv.DictReader(file)})[::-2]
    (tmp_path / "map.txt").write_text("\n".join(order))
    built = run_build(
        *("--annotations", corpus / "annotations", "--images", corpus / "images"),
        *("--masks", corpus / "masks", "--mask_maps", "semantic,instance", "--format", "parquet"),
        *("--max_bad_rate", "1", "--max_failure_rate", "1", "--output", tmp_path / "out"),
        *("--label_map", tmp_path / "map.txt", "--label_types", "masks", "--splits", "train"),
        *("--match_in", "masks", "--max_per_class", "2"),
    )
    assert built.returncode == 0, built.stderr
    index = {label: number for number, label in enumerate(order, 1)}
    seen: set[int] = set()
    for example in built.version.examples.values():
        numbers = [0, *(index.get(mask["label"], 0) for mask in example["masks"])]
        expected = np.array(numbers)[read_map(example["instance_map"])]
        assert (read_map(example["semantic_map"]) == expected).all()
        seen |= {*np.unique(expected).tolist()}
    assert len(seen) > 2
    assert open_images.verify(tmp_path / "out").problems == []


def read_map(picture: dict) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture["bytes"])))


def test_the_report_names_classes(run: Run):
    built = run("--classes", "Person,Car,Zebra,Hedgehog,/m/0k4j", "--report", "json")
    told = json.loads(built.stdout)
    assert told["class_images"][0]["label"] == "/m/01g317"
    assert [each["name"] for each in told["class_images"]] == ["Person", "Car", "Zebra", "Hedgehog"]
    counts = built.version.manifest["class_images"]
    assert {each["label"]: each["images"] for each in told["class_images"]} == counts
    lacking = [each["name"] for each in told["class_images"] if not each["images"]]
    assert "Hedgehog" in lacking
    note = f"note: no image shows {len(lacking)} of the 4 selected classes: {', '.join(lacking)}"
    assert told["notes"] == [note]
    assert note in built.stderr
    again = run("--classes", "Person,Car,Zebra,Hedgehog", "--rebuild")
    assert note in again.stdout
    lines = [line.split() for line in again.stdout.splitlines()]
    assert ["Person", str(counts["/m/01g317"])] in lines
    assert ["Hedgehog", "0"] in lines
