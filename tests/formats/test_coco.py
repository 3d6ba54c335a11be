"""COCO: what its files say is what Parquet says, and what pycocotools makes of it."""

import contextlib
import hashlib
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from open_images.building import plan
from pipelines import verify
from tests.builds import Build, Version, latest_version
from transforms.dataset.classes import ClassTable
from transforms.dataset.keys import image_ids
from transforms.formats.coco.format import FORMAT
from transforms.formats.coco.images import image_numbers
from transforms.formats.format import Content
from transforms.formats.part import HashingFile, Part, StoredPart
from transforms.formats.settings import FormatSettings
from transforms.kinds.boxes import FLAGS
from transforms.kinds.registry import EXAMPLE

SPLITS = {"train": "train", "validation": "valid", "test": "test"}
CC_BY = "https://creativecommons.org/licenses/by/2.0/"
#: Half a unit of the last decimal of coordinates, which are fixed-point.
HALF = 0.5e-4
SALT, MASK64 = 0x6F70656E696D6167, (1 << 64) - 1


@pytest.fixture(scope="module")
def build(
    make_corpus: Callable[[str, int], Path],
    run_build: Callable[..., Build],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Version]:
    """Builds a corpus of several buckets as Parquet and COCO."""
    corpus = make_corpus("v7", 30)

    def build(*flags: str) -> Version:
        output = tmp_path_factory.mktemp("output")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(plan, "_BUCKET_IMAGES", 8)
            done = run_build(
                *("--annotations", corpus / "annotations", "--images", corpus / "images"),
                *("--masks", corpus / "masks", "--output", output),
                *("--format", "parquet,coco", *flags),
            )
        assert done.returncode == 0, done.stderr
        return done.version

    return build


@pytest.fixture(scope="module")
def version(build: Callable[..., Version]) -> Version:
    return build()


def instances(version: Version, split: str) -> dict[str, Any]:
    return json.loads((version.folder / f"coco/annotations/instances_{split}.json").read_text())


def examples(version: Version, split: str) -> list[dict[str, Any]]:
    """The examples of a split in order."""
    return [each for each in version.examples.values() if each["split"] == split]


def classes_of(version: Version) -> list[dict[str, Any]]:
    return json.loads((version.folder / "classes.json").read_text())


def number_of(image_id: str) -> int:
    """The formula of docs/formats/coco.md."""
    z = int(image_id, 16) ^ SALT
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK64
    return (z ^ (z >> 31)) >> 11


def key_of(thing: dict[str, Any]) -> tuple:
    corners = (thing[name] for name in ("xmin", "ymin", "xmax", "ymax"))
    return (thing["label"], *(None if c is None else round(c * 1e6) for c in corners))


def join(example: dict[str, Any]) -> list[tuple[dict | None, dict | None]]:
    """Boxes with their masks, then masks without a box."""
    waiting = defaultdict(list)
    for mask in example["masks"] or ():
        if mask["counts"] and mask["area"]:
            waiting[key_of(mask)].append(mask)
    pairs = []
    for box in example["bboxes"] or ():
        masks = waiting[key_of(box)]
        pairs.append((box, masks.pop(0) if masks else None))
    rest = [mask for masks in waiting.values() for mask in masks]
    return [*pairs, *((None, m) for m in example["masks"] or () if any(m is r for r in rest))]


def test_boxes_and_masks_are_those_of_parquet(version: Version):
    index = {each["label"]: each["index"] for each in classes_of(version)}
    seen = Counter()
    for split in SPLITS:
        found = instances(version, split)["annotations"]
        assert [each["id"] for each in found] == [*range(1, len(found) + 1)]
        expected = [
            (example, *pair) for example in examples(version, split) for pair in join(example)
        ]
        assert len(found) == len(expected)
        for annotation, (example, box, mask) in zip(found, expected, strict=True):
            assert annotation["image_id"] == number_of(example["image_id"])
            assert annotation["category_id"] == index[(box or mask)["label"]]
            size = np.array([example["width"], example["height"]])
            if box:
                low = np.array([box["xmin"], box["ymin"]]) * size
                high = np.array([box["xmax"], box["ymax"]]) * size
                corners = np.reshape(annotation["bbox"], (2, 2))
                np.testing.assert_allclose(corners[0], low, 0, HALF + 1e-9)
                np.testing.assert_allclose(corners.sum(axis=0), high, 0, HALF + 1e-9)
                assert (corners.sum(axis=0) <= size + 1e-9).all()
                assert np.float32(annotation["score"]) == np.float32(box["confidence"])
            attributes = annotation["attributes"]
            wanted = {name: box[name] for name in FLAGS} | {"source": box["source"]} if box else {}
            if mask:
                wanted |= {name: mask[name] for name in ("box_id", "predicted_iou")}
                assert annotation["area"] == mask["area"]
                assert annotation["segmentation"]["size"] == mask["size"]
                assert annotation["segmentation"]["counts"].encode() == mask["counts"]
            else:
                assert annotation["segmentation"] == []
                area = np.prod(annotation["bbox"][2:])
                assert annotation["area"] == pytest.approx(area, abs=1e-3)
            if wanted.get("predicted_iou") is not None:
                wanted["predicted_iou"] = pytest.approx(wanted["predicted_iou"])
            assert attributes == {k: v for k, v in wanted.items() if v is not None}
            assert annotation["iscrowd"] == (attributes.get("is_group_of") == 1)
            seen.update(masks=bool(mask), crowds=annotation["iscrowd"])
            seen.update(unknown=attributes.get("is_occluded") == -1)
    assert all(seen[name] for name in ("masks", "crowds", "unknown"))


def test_images_and_their_classes_are_those_of_parquet(version: Version):
    index = {each["label"]: each["index"] for each in classes_of(version)}
    negatives = incomplete = 0
    for split in SPLITS:
        data = instances(version, split)
        numbers = [image["id"] for image in data["images"]]
        assert numbers == sorted(set(numbers))
        annotated, crowds = defaultdict(set), defaultdict(set)
        for each in data["annotations"]:
            annotated[each["image_id"]].add(each["category_id"])
            if each["iscrowd"]:
                crowds[each["image_id"]].add(each["category_id"])
        for image, example in zip(data["images"], examples(version, split), strict=True):
            number = number_of(example["image_id"])
            verified = [
                label for label in example["image_labels"] or () if label["source"] != "machine"
            ]
            present = {index[each["label"]] for each in verified if each["confidence"] > 0}
            absent = {index[each["label"]] for each in verified if each["confidence"] == 0}
            expected = {
                "id": number,
                "file_name": example["image"]["path"],
                "width": example["width"],
                "height": example["height"],
                "license": 1 if example["license"] == CC_BY else 2,
                "coco_url": example["original_url"],
                "flickr_url": example["original_landing_url"],
                "rotation": example["rotation"],
                "neg_category_ids": sorted(absent - present - annotated[number]),
                "not_exhaustive_category_ids": sorted(present - annotated[number] | crowds[number]),
            }
            assert image == {k: v for k, v in expected.items() if v is not None}
            picture = version.folder / "coco" / split / image["file_name"]
            assert picture.read_bytes() == example["image"]["bytes"]
            negatives += len(image["neg_category_ids"])
            incomplete += len(image["not_exhaustive_category_ids"])
    assert negatives
    assert incomplete


def test_categories_are_the_classes(version: Version):
    classes = classes_of(version)
    names = {each["label"]: each["name"] for each in classes}
    categories = instances(version, "train")["categories"]
    assert [each["id"] for each in categories] == [each["index"] for each in classes]
    assert [each["mid"] for each in categories] == [each["label"] for each in classes]
    for category, each in zip(categories, classes, strict=True):
        parents = [names[parent] for parent in each["parents"] if names.get(parent)]
        assert category["supercategory"] == (parents or [category["name"]])[0]
    assert len({each["name"] for each in categories}) == len(categories)


def test_captions_are_those_of_parquet(version: Version):
    for split in SPLITS:
        path = version.folder / f"coco/annotations/captions_{split}.json"
        data = json.loads(path.read_text())
        assert data["images"] == instances(version, split)["images"]
        assert data["annotations"] == [
            {"id": number, "image_id": number_of(image_id), "caption": caption}
            for number, (image_id, caption) in enumerate(
                (
                    (example["image_id"], narrative["caption"])
                    for example in examples(version, split)
                    for narrative in example["narratives"]
                ),
                1,
            )
        ]


def test_pycocotools_loads_and_scores_it(version: Version):
    """The truth taken for predictions has an average precision of 1."""
    coco = COCO(str(version.folder / "coco/annotations/instances_train.json"))
    masks = {}
    for example in examples(version, "train"):
        for mask in example["masks"]:
            if mask["counts"]:
                masks[mask["box_id"]] = rle.decode({k: mask[k] for k in ("size", "counts")})
    truth = coco.dataset["annotations"]
    with_mask = [each for each in truth if each["segmentation"]]
    assert with_mask
    for each in with_mask:
        np.testing.assert_array_equal(coco.annToMask(each), masks[each["attributes"]["box_id"]])
    for kind, annotations in (("bbox", truth), ("segm", with_mask)):
        coco.dataset["annotations"] = annotations
        coco.createIndex()
        shape = {"bbox": "bbox", "segm": "segmentation"}[kind]
        predictions = [
            {name: each[name] for name in ("image_id", "category_id", shape)} | {"score": 1.0}
            for each in annotations
            if not each["iscrowd"]
        ]
        evaluation = COCOeval(coco, coco.loadRes(predictions), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        assert evaluation.stats[0] == pytest.approx(1)


def test_roboflow_has_the_files_beside_the_pictures(
    build: Callable[..., Version], version: Version
):
    other = build("--coco_layout", "roboflow")
    for split, folder in SPLITS.items():
        path = other.folder / "coco" / folder / "_annotations.coco.json"
        data, expected = json.loads(path.read_text()), instances(version, split)
        # By their root, detectors count classes from 0.
        root = data["categories"].pop(0)
        assert root == {"id": 0, "name": "open-images", "supercategory": "none"}
        assert data == expected
        for image in data["images"]:
            assert (path.parent / image["file_name"]).exists()


def write(folder: Path, rows: Sequence[pa.Table], content: Content) -> tuple[Part, dict]:
    """Writes parts of some examples each, and seals them; the last part, and files by path."""
    created = {}

    @contextlib.contextmanager
    def create(path: str) -> Iterator[BinaryIO]:
        with open(folder / path.replace("/", "-"), "w+b") as file:
            yield file
            file.seek(0)
            created[path] = file.read()

    def place(path: str, file: str) -> None:
        created[path] = Path(file).read_bytes()

    parts, listed = [], {}
    for number, kind in enumerate((FORMAT, FORMAT.shared)):
        parts = []
        for table in rows:
            writer = kind.open_part(str(folder / f"part-{number}-{len(parts)}"), content)
            writer.write(table)
            parts.append(writer.close())
        with open(folder / f"list-{number}", "wb") as raw:
            stored = (StoredPart(part.path, part.crc32) for part in parts)
            new_files = SimpleNamespace(create=create, place=place)
            kind.concatenate(stored, HashingFile(raw, hashlib.sha256()), new_files)
        listed |= dict(FORMAT.listed_files(raw.name))
    assert listed == {path: hashlib.sha256(data).hexdigest() for path, data in created.items()}
    return parts[-1], created


def test_files_of_a_split_are_in_its_last_shard(
    version: Version, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    """Pictures are in the others, which have all examples; `verify` reads what each lists."""
    for split, described in version.manifest["splits"].items():
        *others, last = (each for each in described["shards"] if each["format"] == "coco")
        assert sum(each["num_examples"] for each in others) == described["num_examples"]
        assert last["num_examples"] == 0
        listed = [line.split()[1] for line in (version.folder / last["path"]).open()]
        names = [f"coco/annotations/{each}_{split}.json" for each in ("instances", "captions")]
        assert sorted(listed) == sorted(names)
    shutil.copytree(version.folder.parents[1], tmp_path / "copy")
    copy = latest_version(tmp_path / "copy")
    with (copy.folder / "coco/annotations/instances_train.json").open("a") as file:
        file.write(" ")
    assert verify.main([str(tmp_path / "copy"), "--num_workers", "1"]) == 1
    assert "coco/annotations/instances_train.json: its SHA-256 is " in capfd.readouterr().out


def test_files_depend_on_no_part(version: Version, tmp_path: Path):
    """A build's several parts make the same files as one of all examples."""
    table = version.table.filter(pa.compute.equal(version.table["split"], "train"))
    content = Content(EXAMPLE.names, classes=ClassTable(classes_of(version)))
    _, files = write(tmp_path, [table.cast(EXAMPLE)], content)
    assert all((version.folder / path).read_bytes() == data for path, data in files.items())


CLASSES = ClassTable(
    [
        {"index": 1, "label": "/m/01", "name": 'A "ball"\\', "parents": []},
        {"index": 2, "label": "/m/02", "name": 'A "ball"\\', "parents": ["/m/01"]},
        {"index": None, "label": "/m/03", "name": "None", "parents": []},
    ]
)
CONTENT = Content(EXAMPLE.names, FormatSettings(), CLASSES)


def picture(number: int, **columns: Any) -> dict[str, Any]:
    """A row of an example of 8 x 4 pixels."""
    (image_id,) = image_ids(np.array([number << 11], np.uint64)).to_pylist()
    image = {"bytes": b"\xff\xd8", "path": f"{image_id}.jpg"}
    row = {"image_id": image_id, "split": "train", "image": image, "width": 8, "height": 4}
    return row | columns


def box(label: str = "/m/01", corners: tuple = (0.0, 0.0, 0.5, 1.0), **fields: Any) -> dict:
    names = ("xmin", "ymin", "xmax", "ymax")
    return {"label": label, **dict(zip(names, corners, strict=True)), **fields}


def mask(pixels: np.ndarray | None = None, **fields: Any) -> dict:
    if pixels is None:
        return box(**fields)
    encoded = rle.encode(np.asfortranarray(pixels, np.uint8))
    return box(**fields) | {**encoded, "area": int(pixels.sum())}


def write_rows(folder: Path, *rows: dict[str, Any]) -> tuple[dict[str, int], dict[str, Any]]:
    """Returns counts of what one part drops of the rows, and its file of instances."""
    part, files = write(folder, [pa.Table.from_pylist([*rows], EXAMPLE)], CONTENT)
    return dict(part.dropped), json.loads(files["coco/annotations/instances_train.json"])


def test_masks_go_to_their_boxes(tmp_path: Path):
    """By class and corners to six decimals, equal ones one after the other; others stand alone."""
    left, dot = np.zeros((4, 8), bool), np.zeros((4, 8), bool)
    left[:, :4] = dot[1, 2] = True
    row = picture(
        5,
        bboxes=[box("/m/02"), box(source="a"), box(source="b"), box(corners=(0, 0, 0.25, 0.25))],
        masks=[
            mask(left, corners=(0.0, 0.0, 0.5000001, 1.0), box_id="1"),
            mask(dot, box_id="2"),
            mask(dot, box_id="3"),
            mask(dot, corners=(None,) * 4, box_id="4"),
        ],
    )
    dropped, data = write_rows(tmp_path, row)
    found = [
        (each["category_id"], each["attributes"], each["bbox"], each["area"])
        for each in data["annotations"]
    ]
    assert found == [
        (2, {}, [0, 0, 4, 4], 16),
        (1, {"source": "a", "box_id": "1"}, [0, 0, 4, 4], 32 / 2),
        (1, {"source": "b", "box_id": "2"}, [0, 0, 4, 4], 1),
        (1, {}, [0, 0, 2, 1], 2),
        (1, {"box_id": "3"}, [2, 1, 1, 1], 1),
        (1, {"box_id": "4"}, [2, 1, 1, 1], 1),
    ]
    assert dropped == {}


def test_what_it_cannot_hold_is_counted(tmp_path: Path):
    row = picture(
        7,
        bboxes=[box("/m/03"), box(corners=(0.5, 0, 0.5, 1)), box()],
        masks=[mask(), mask(np.zeros((4, 8), bool)), mask(np.ones((4, 8), bool), label="/m/03")],
        image_labels=[
            {"label": "/m/02", "source": "machine", "confidence": 0.0},
            {"label": "/m/03", "source": "verification", "confidence": 0.0},
            {"label": "/m/02", "source": None, "confidence": 0.0},
        ],
        points=[{"x": 0.5, "y": 0.5}],
        relationships=[{"label1": "/m/01"}] * 2,
        person_boxes=[box()] * 3,
        instance_map={"bytes": b"", "path": "a.png"},
        narratives=[{"voice": {"bytes": b"", "path": "a.ogg"}}, {}],
    )
    dropped, data = write_rows(tmp_path, row)
    assert dropped == {
        "boxes of classes without an index": 1,
        "boxes without area": 1,
        "image labels of classes without an index": 1,
        "instance maps": 1,
        "machine-generated image labels": 1,
        "masks of classes without an index": 1,
        "masks without pixels": 2,
        "person boxes": 3,
        "points": 1,
        "recordings": 1,
        "relationships": 2,
    }
    assert [each["bbox"] for each in data["annotations"]] == [[0, 0, 4, 4]]
    assert data["images"][0]["neg_category_ids"] == [2]


def test_names_are_unique_though_others_look_like_them(tmp_path: Path):
    names = ["Ball (/m/2)", "Ball", "Ball", "Ball (/m/2)"]
    classes = ClassTable(
        [
            {"index": n, "label": f"/m/{n - 1}", "name": name, "parents": []}
            for n, name in enumerate(names, 1)
        ]
    )
    content = Content(EXAMPLE.names, classes=classes)
    _, files = write(tmp_path, [pa.Table.from_pylist([picture(0)], EXAMPLE)], content)
    data = json.loads(files["coco/annotations/instances_train.json"])
    assert len({each["name"] for each in data["categories"]}) == len(names)


def test_texts_are_escaped_and_names_are_unique(tmp_path: Path):
    texts = ['"\\\n\x00\x1f\u2028é', ""]
    rows = [
        picture(
            number,
            narratives=[{"caption": text}],
            original_url=text,
            license="https://example.org/mine",
            bboxes=[box(source=text)],
        )
        for number, text in enumerate(texts)
    ]
    _, files = write(tmp_path, [pa.Table.from_pylist(rows, EXAMPLE)], CONTENT)
    captions = json.loads(files["coco/annotations/captions_train.json"])
    assert [each["caption"] for each in captions["annotations"]] == texts
    data = json.loads(files["coco/annotations/instances_train.json"])
    assert [each["coco_url"] for each in data["images"]] == texts
    assert {(each["license"], each["license_url"]) for each in data["images"]} == {
        (2, "https://example.org/mine")
    }
    assert [each["attributes"]["source"] for each in data["annotations"]] == texts
    assert [(each["name"], each["supercategory"]) for each in data["categories"]] == [
        ('A "ball"\\', 'A "ball"\\'),
        ('A "ball"\\ (/m/02)', 'A "ball"\\'),
    ]


def test_images_without_annotations_have_files_too(tmp_path: Path):
    dropped, data = write_rows(tmp_path, picture(1))
    assert (dropped, data["annotations"], len(data["images"])) == ({}, [], 1)
    assert data["images"][0]["neg_category_ids"] == []


def test_annotations_are_numbered_through_many_mib(tmp_path: Path):
    tables = [
        pa.Table.from_pylist(
            [picture(number + i, bboxes=[box(source="s" * 500)] * 100) for i in range(100)], EXAMPLE
        )
        for number in (0, 100)
    ]
    _, files = write(tmp_path, tables, CONTENT)
    data = json.loads(files["coco/annotations/instances_train.json"])
    assert [each["id"] for each in data["annotations"]] == [*range(1, 20_001)]
    assert [each["image_id"] for each in data["annotations"]] == [*np.repeat(np.arange(200), 100)]


def test_numbers_of_images_ascend():
    """Even where the first 53 bits of keys are equal, within a call and from one to the next."""
    keys = np.array([5 << 11, (5 << 11) + 1, (5 << 11) + 2, 9 << 11], np.uint64)
    assert image_numbers(image_ids(keys), -1).tolist() == [5, 6, 7, 9]
    assert image_numbers(image_ids(keys), 8).tolist() == [9, 10, 11, 12]
    assert [number_of(each) for each in image_ids(keys).to_pylist()] == [5, 5, 5, 9]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--images", "none"),
            "--format coco: its boxes are in pixels of pictures: name these by --images",
        ),
        (
            ("--annotations", "image_labels=LABELS", "--images", "IMAGES"),
            "--format coco: it holds boxes, masks and captions: name files of these by "
            "--annotations",
        ),
        (("--images", "IMAGES", "--coco_layout", "pascal"), "argument --coco_layout: "),
    ],
)
def test_wrong_use(
    flags: tuple[str, ...],
    message: str,
    make_corpus: Callable[[str, int], Path],
    run_build: Callable[..., Build],
    tmp_path: Path,
):
    corpus = make_corpus("v7", 30)
    paths = {
        "IMAGES": str(corpus / "images"),
        "LABELS": str(corpus / "annotations" / "oidv7-val-annotations-human-imagelabels.csv"),
    }
    for name, path in paths.items():
        flags = tuple(flag.replace(name, path) for flag in flags)
    if "--annotations" not in flags:
        flags = ("--annotations", str(corpus / "annotations"), *flags)
    done = run_build(*flags, "--format", "coco", "--output", tmp_path / "output")
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if "coco" in line]
    assert message in line
