"""Records for the Object Detection API: each feature is what Parquet holds of the same image."""

import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pycocotools import mask as coco

from tests.builds import Version, build_corpus, run_build
from transforms.dataset.classes import ClassTable
from transforms.formats.format import Content
from transforms.formats.object_detection_api import FORMAT
from transforms.formats.tfrecord.records import parse_example, read_records
from transforms.kinds.registry import EXAMPLE, example_columns

NAME = "object_detection_api"
FLAGS = {
    "group_of": "is_group_of",
    "is_crowd": "is_group_of",
    "occluded": "is_occluded",
    "truncated": "is_truncated",
    "depiction": "is_depiction",
}
CORNERS = ("xmin", "xmax", "ymin", "ymax")
Record = dict[str, list]


def read(path: Path) -> list[Record]:
    """The features of each record, as lists."""
    return [
        {key: [*feature.values] for key, feature in parse_example(record).items()}
        for record in read_records(str(path))
    ]


def place(annotation: dict[str, Any]) -> tuple:
    return (annotation["label"], *(round(annotation[name] * 1e6) for name in CORNERS))


def mask_of(box: dict[str, Any], row: dict[str, Any]) -> dict[str, Any] | None:
    """The mask of a box, where no two boxes are alike."""
    return next((mask for mask in row["masks"] or () if place(mask) == place(box)), None)


def expected(row: dict[str, Any], index: dict[str, int]) -> Record:
    """All features but masks and areas."""
    labels, boxes = row["image_labels"] or [], row["bboxes"] or []
    human = [each for each in labels if each["source"] != "machine"]
    absent = {index[each["label"]] for each in human if each["confidence"] == 0}
    present = {index[each["label"]] for each in human if each["confidence"] > 0}
    boxed = {index[box["label"]] for box in boxes}
    grouped = {index[box["label"]] for box in boxes if box["is_group_of"] == 1}
    texts = {"image/class/text": labels, "image/object/class/text": boxes}
    numbers = {
        "image/class/label": labels,
        "image/object/class/label": boxes,
    }
    return {
        "image/encoded": [row["image"]["bytes"]],
        "image/format": [b"jpeg"],
        "image/filename": [f"{row['image_id']}.jpg".encode()],
        "image/source_id": [row["image_id"].encode()],
        "image/height": [row["height"]],
        "image/width": [row["width"]],
        "image/neg_category_ids": sorted(absent - present - boxed),
        "image/not_exhaustive_category_ids": sorted(present - boxed | grouped),
        "image/class/confidence": [each["confidence"] for each in labels],
        **{key: [each["label"].encode() for each in some] for key, some in texts.items()},
        **{key: [index[each["label"]] for each in some] for key, some in numbers.items()},
        **{f"image/object/bbox/{name}": [box[name] for box in boxes] for name in CORNERS},
        **{
            f"image/object/{name}": [max(0, box[field]) for box in boxes]
            for name, field in FLAGS.items()
        },
    }


@pytest.fixture(scope="module")
def version(
    make_corpus: Callable[[str, int], Path], tmp_path_factory: pytest.TempPathFactory
) -> Version:
    corpus = make_corpus("v7", 30)
    return build_corpus(corpus, tmp_path_factory.mktemp("build"), "--format", f"parquet,{NAME}")


def test_records_hold_what_parquet_holds(version: Version):
    classes = json.loads((version.folder / "classes.json").read_text())
    index = {each["label"]: each["index"] for each in classes}
    seen: Counter[str] = Counter()
    for split in version.manifest["splits"]:
        for shard in version.shards(split, NAME):
            for record in read(shard):
                row = version.examples[record["image/source_id"][0].decode()]
                assert row["split"] == split
                areas, masks, weights = (
                    record.pop(f"image/object/{key}") for key in ("area", "mask", "mask/weight")
                )
                assert record == expected(row, index)
                boxes = row["bboxes"] or []
                found = [mask_of(box, row) for box in boxes]
                assert weights == [float(mask is not None) for mask in found]
                for box, mask, area, png in zip(boxes, found, areas, masks, strict=True):
                    with Image.open(io.BytesIO(png)) as image:
                        assert (image.mode, image.size) == ("1", (row["width"], row["height"]))
                        drawn = np.asarray(image)
                    if mask is None:
                        assert not drawn.any()
                        width = (box["xmax"] - box["xmin"]) * row["width"]
                        height = (box["ymax"] - box["ymin"]) * row["height"]
                        assert area == pytest.approx(width * height, rel=1e-5)
                    else:
                        whole = {"counts": mask["counts"], "size": mask["size"]}
                        assert (drawn == coco.decode(whole)).all()
                        assert area == mask["area"]
                    seen["masks" if mask else "boxes without a mask"] += 1
                seen["examples"] += 1
                for key in ("neg", "not_exhaustive"):
                    seen[key] += len(record[f"image/{key}_category_ids"])
    assert seen["examples"] == len(version.examples)
    assert (
        min(seen[each] for each in ("masks", "boxes without a mask", "neg", "not_exhaustive")) > 0
    )


def test_what_is_dropped_is_told(version: Version):
    rows = version.examples.values()
    boxes = [box for row in rows for box in row["bboxes"] or ()]
    masks = sum(len(row["masks"] or ()) for row in rows)
    linked = sum(mask_of(box, row) is not None for row in rows for box in row["bboxes"] or ())
    lost = {
        name.replace("_", " "): sum(len(row[name] or ()) for row in rows)
        for name in ("relationships", "narratives", "points", "person_boxes")
    }
    flags = sum(box[flag] == -1 for flag in {*FLAGS.values()} for box in boxes)
    lost |= {"unknown flags": flags, "masks without a box": masks - linked}
    assert lost["unknown flags"] > 0
    found = version.manifest["dropped"][NAME]
    assert found == {what: number for what, number in lost.items() if number}


def test_the_label_map_has_all_classes(version: Version):
    classes = json.loads((version.folder / "classes.json").read_text())
    lines = (version.folder / NAME / "label_map.pbtxt").read_text().splitlines()
    assert [line for line in lines if "  id:" in line] == [
        f"  id: {number}" for number in range(1, len(classes) + 1)
    ]
    assert [line for line in lines if "  name:" in line] == [
        f'  name: "{each["label"]}"' for each in classes
    ]


CLASSES = ClassTable(
    [
        {"index": 1, "label": "/m/cat", "name": 'A "cat"\\ or\nKatze, ñ', "lists": []},
        {"index": 2, "label": "/m/dog", "name": None, "lists": []},
        {"index": None, "label": "/m/owl", "name": "Owl", "lists": []},
    ]
)


def test_names_in_the_label_map_are_escaped():
    documents = FORMAT.documents(Content(example_columns(), classes=CLASSES), {})
    assert documents == {
        f"{NAME}/label_map.pbtxt": r"""item {
  name: "/m/cat"
  id: 1
  display_name: "A \"cat\"\\ or\012Katze, ñ"
}
item {
  name: "/m/dog"
  id: 2
  display_name: "/m/dog"
}
"""
    }


def box(label: str, xmin: float = 0.25, **others: Any) -> dict[str, Any]:
    flags = dict.fromkeys({*FLAGS.values()}, 0)
    return {"label": label, "xmin": xmin, "xmax": 0.75, "ymin": 0.0, "ymax": 0.5} | flags | others


def mask(label: str, pixels: np.ndarray | None, xmin: float = 0.25) -> dict[str, Any]:
    found = {"label": label, "xmin": xmin, "xmax": 0.75, "ymin": -0.0, "ymax": 0.5}
    if pixels is None:
        return found
    whole = coco.encode(np.asfortranarray(pixels))
    return found | {"size": whole["size"], "counts": whole["counts"], "area": int(pixels.sum())}


def write(path: Path, *rows: dict[str, Any]) -> tuple[list[Record], dict[str, int]]:
    """The records of rows, and what is dropped."""
    frame = {"split": "train", "width": 4, "height": 2}
    given = [
        {"image_id": f"{n:016x}", "image": {"bytes": b"x", "path": "x.png"}, **frame, **row}
        for n, row in enumerate(rows)
    ]
    writer = FORMAT.open_part(str(path), Content(example_columns(), classes=CLASSES))
    writer.write(pa.Table.from_pylist(given, EXAMPLE))
    part = writer.close()
    assert part.num_examples == len(rows)
    return read(path), dict(part.dropped)


def pngs(record: Record) -> list[list[list[int]]]:
    masks = (Image.open(io.BytesIO(each)) for each in record["image/object/mask"])
    return [np.asarray(each).astype(int).tolist() for each in masks]


EMPTY = np.zeros((2, 4), np.uint8)
LEFT, RIGHT = EMPTY.copy(), EMPTY.copy()
LEFT[:, 0], RIGHT[:, 3] = 1, 1


def test_masks_go_to_their_boxes(tmp_path: Path):
    """By class and coordinates; alike boxes and masks in their order."""
    (twins, none, not_given), dropped = write(
        tmp_path / "part",
        {
            "bboxes": [box("/m/dog"), box("/m/cat"), box("/m/cat"), box("/m/cat", 0.5)],
            "masks": [
                mask("/m/cat", LEFT),
                mask("/m/cat", RIGHT),
                mask("/m/cat", RIGHT),
                mask("/m/cat", None, 0.5),
                mask("/m/dog", LEFT, 0.5),
                mask("/m/owl", LEFT),
            ],
        },
        {"bboxes": [box("/m/dog")], "masks": []},
        {"bboxes": [box("/m/dog")], "masks": None},
    )
    assert pngs(twins) == [EMPTY.tolist(), LEFT.tolist(), RIGHT.tolist(), EMPTY.tolist()]
    assert twins["image/object/mask/weight"] == [0, 1, 1, 0]
    assert twins["image/object/area"] == [2, 2, 2, 1]
    assert (pngs(none), none["image/object/mask/weight"]) == ([EMPTY.tolist()], [0])
    assert (pngs(not_given), not_given["image/object/mask/weight"]) == ([], [])
    assert dropped == {
        "masks of classes without an index": 1,
        "masks without a box": 2,
        "masks without pixels": 1,
    }


def test_classes_without_an_index_are_dropped(tmp_path: Path):
    labels = [
        {"label": "/m/owl", "source": "verification", "confidence": 1.0},
        {"label": "/m/dog", "source": "verification", "confidence": 0.0},
        {"label": "/m/cat", "source": None, "confidence": 0.0},
        {"label": "/m/cat", "source": "crowdsource-verification", "confidence": 0.0},
        {"label": "/m/cat", "source": "machine", "confidence": 0.5},
    ]
    boxes = [box("/m/owl"), box("/m/dog", is_group_of=1, is_truncated=-1, is_occluded=None)]
    (first, second), dropped = write(
        tmp_path / "part", {"image_labels": labels, "bboxes": boxes}, {"bboxes": [box("/m/owl")]}
    )
    assert first["image/class/text"] == [b"/m/dog", b"/m/cat", b"/m/cat", b"/m/cat"]
    assert first["image/class/confidence"] == [0, 0, 0, 0.5]
    assert first["image/neg_category_ids"] == [1]  # there is a box of class 2
    assert first["image/not_exhaustive_category_ids"] == [2]
    assert first["image/object/class/label"] == [2]
    assert first["image/object/group_of"] == first["image/object/is_crowd"] == [1]
    assert first["image/object/truncated"] == first["image/object/occluded"] == [0]
    assert first["image/format"] == [b"png"]
    assert {key for key, values in second.items() if not values} == {
        key
        for key in second
        if key.startswith(("image/class", "image/object", "image/ne", "image/not"))
    }
    assert dropped == {
        "boxes of classes without an index": 2,
        "image labels of classes without an index": 1,
        "unknown flags": 2,
    }


@pytest.mark.parametrize(
    ("images", "flags", "wanted"),
    [
        ("none", (), "its records hold pictures: name them by --images"),
        (
            "images",
            ("--image_encoding=webp", "--image_size=64", "--resize=shortest"),
            "leave object_detection_api out (--format parquet), or use jpeg",
        ),
    ],
)
def test_wrong_use(
    images: str,
    flags: tuple[str, ...],
    wanted: str,
    make_corpus: Callable[[str, int], Path],
    tmp_path: Path,
):
    corpus = make_corpus("v7", 30)
    found = corpus / images if images != "none" else images
    inputs = ("--annotations", corpus / "annotations", "--images", found)
    built = run_build(*inputs, "--output", tmp_path / "out", "--format", NAME, *flags)
    assert built.returncode == 2
    assert built.stderr.endswith(f"{wanted}\n")
    assert built.stderr.count("\n") == 1
