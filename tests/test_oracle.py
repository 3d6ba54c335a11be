"""The oracle and its comparisons, on inputs so small that the answers are worked out by hand."""

import gzip
import io
import json
import math
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tests import compare, oracle

A, B, C = "000000000000000a", "000000000000000b", "000000000000000c"
IMAGES = (
    "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,"
    "OriginalSize,OriginalMD5,Thumbnail300KURL,Rotation\n"
)
BOXES = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n"
MASKS = "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks\n"


def image_row(image_id: str, split: str = "train", **facts: str) -> str:
    """A row of an image table with nothing in it but what is given."""
    title, rotation = facts.get("title", ""), facts.get("rotation", "")
    return f"{image_id},{split},,,,,,{title},,,,{rotation}\n"


def write(folder: Path, **texts: str) -> Path:
    """Writes annotation files, named `train_boxes` for `train-boxes.csv`."""
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name.replace('_', '-')}.csv").write_bytes(text.encode())
    return folder


def png(pixels: list[list[int]]) -> bytes:
    """A 1-bit PNG."""
    data = io.BytesIO()
    Image.fromarray(np.array(pixels, bool)).save(data, "PNG")
    return data.getvalue()


def test_order_is_that_of_splitmix64():
    # The generator's first output from seed 0, as published, is its finalizer of this increment.
    unsalted = 0x9E3779B97F4A7C15 ^ 0x6F70656E696D6167
    assert oracle.order_key(f"{unsalted:016x}") == 0xE220A8397B1DCDAF


def test_one_image_whole(tmp_path):
    annotations = write(
        tmp_path / "annotations",
        images=IMAGES
        + f'{A},train,http://o,http://l,CC,http://p,"Ann, ""A""","two\nlines",12,bWQ1,,90.0\n',
        train_annotations_bbox=BOXES.replace("\n", ",IsOccluded,IsTruncated,IsGroupOf,IsDepiction")
        + ",IsInside,XClick1X,XClick2X,XClick3X,XClick4X,XClick1Y,XClick2Y,XClick3Y,XClick4Y\n"
        + f"{A},xclick,/m/01,1,0.25,0.5,0,1.0,1,0,-1,0,1.0,.25,.5,.25,.5,0,1,0,1\n"
        + f"{A},activemil,/m/02,0.7,0,1,0,1,0,0,0,0,0,-1,-1,-1,-1,-1,-1,-1,-1",
    )
    assert oracle.expected_examples(annotations, None, None) == {
        "train": [
            {
                "image_id": A,
                "split": "train",
                "image": None,
                "width": None,
                "height": None,
                "original_width": None,
                "original_height": None,
                "rotation": 90,
                "published_rotation": 90,
                "original_url": "http://o",
                "original_landing_url": "http://l",
                "license": "CC",
                "author_profile_url": "http://p",
                "author": 'Ann, "A"',
                "title": "two\nlines",
                "thumbnail_300k_url": None,
                "original_size": 12,
                "original_md5": "bWQ1",
                "image_labels": None,
                "bboxes": [
                    {
                        "label": "/m/01",
                        "source": "xclick",
                        "confidence": 1.0,
                        "xmin": 0.25,
                        "xmax": 0.5,
                        "ymin": 0.0,
                        "ymax": 1.0,
                        "is_occluded": 1,
                        "is_truncated": 0,
                        "is_group_of": -1,
                        "is_depiction": 0,
                        "is_inside": 1,
                        "extreme_points": [
                            {"x": 0.25, "y": 0.0},
                            {"x": 0.5, "y": 1.0},
                            {"x": 0.25, "y": 0.0},
                            {"x": 0.5, "y": 1.0},
                        ],
                    },
                    {
                        "label": "/m/02",
                        "source": "activemil",
                        "confidence": 0.699999988079071,
                        "xmin": 0.0,
                        "xmax": 1.0,
                        "ymin": 0.0,
                        "ymax": 1.0,
                        "is_occluded": 0,
                        "is_truncated": 0,
                        "is_group_of": 0,
                        "is_depiction": 0,
                        "is_inside": 0,
                        "extreme_points": [],
                    },
                ],
                "person_boxes": None,
                "masks": None,
                "relationships": None,
                "narratives": None,
                "points": None,
                "instance_map": None,
                "semantic_map": None,
            }
        ]
    }


@pytest.mark.parametrize(
    "row",
    [
        f"{A},xclick,/m/01,1,0.6,0.5,0,1",
        f"{A},xclick,/m/01,1,-0.1,0.5,0,1",
        f"{A},xclick,/m/01,1,0.1,1.01,0,1",
        f"{A},xclick,/m/01,1,,0.5,0,1",
        f"{A},xclick,/m/01,1,nan,0.5,0,1",
        f"{A},xclick,,1,0,0.5,0,1",
        f"{A},xclick,/m/01,1,0,0.5,0",
        f"{A},xclick,/m/01,1,0,0.5,0,1,1",
        f"{A[1:]}g,xclick,/m/01,1,0,0.5,0,1",
        f"{A[1:]},xclick,/m/01,1,0,0.5,0,1",
    ],
)
def test_bad_rows_are_left_out_alone(tmp_path, row):
    good = f"{A},xclick,/m/01,1,0,1,0,1\n"
    annotations = write(tmp_path / "a", images=IMAGES + image_row(A), boxes=BOXES + good + row)
    result = oracle.expected(annotations)
    assert [len(example["bboxes"]) for example in result.examples["train"]] == [1]
    assert result.rows["boxes.csv"] == 2
    assert result.bad_rows == {"boxes.csv": 1}
    assert [failure[1:] for failure in result.failures] == [("read", "bad_row")]
    assert not result.orphans


def test_a_bad_field_is_lost_alone(tmp_path):
    row = f"{A.upper()}.jpg,xclick,/m/01,inf,0,1,0,1\n"
    annotations = write(
        tmp_path / "a", images=IMAGES + f"{A},train,,,,,,,nada,,,\n", boxes=BOXES + row
    )
    result = oracle.expected(annotations)
    (example,) = result.examples["train"]
    assert (example["original_size"], example["bboxes"][0]["confidence"]) == (None, None)
    assert result.failures == {(A, "read", "bad_row"): 2}
    assert not result.bad_rows


def test_universe_conflicts_and_orphans(tmp_path):
    box = "xclick,/m/01,1,0,1,0,1\n"
    annotations = write(
        tmp_path / "a",
        images_1=IMAGES + image_row(A, rotation="0.0") + image_row(B, title="one"),
        images_2=IMAGES + image_row(A, title="filled", rotation="45") + image_row(B, title="two"),
        boxes=BOXES + f"{A},{box}{B},{box}{C},{box}{C},{box}",
    )
    result = oracle.expected(annotations)
    (example,) = result.examples["train"]
    assert (example["image_id"], example["title"], example["rotation"]) == (A, "filled", 0)
    assert result.failures == {(A, "read", "bad_rotation"): 1, (B, "join", "conflict"): 1}
    assert result.orphans == {"boxes.csv": 2}


def test_without_image_table_names_tell_the_split(tmp_path):
    box = "xclick,/m/01,1,0,1,0,1\n"
    annotations = write(
        tmp_path / "a",
        my_val_boxes=BOXES + f"{A},{box}{C},{box}",
        oidv6_train_boxes=BOXES + f"{B},{box}{C},{box}",
    )
    result = oracle.expected(annotations)
    ids = {split: [e["image_id"] for e in result.examples[split]] for split in result.examples}
    assert ids == {"validation": [A], "train": [B]}
    assert result.failures == {(C, "join", "conflict"): 1}
    assert oracle.expected(annotations, splits=["train"]).examples.keys() == {"train"}
    assert oracle.split_of_file(Path("/x/test/train/annotations-human.csv")) == "train"


def test_published_order_is_file_name_then_path_then_row(tmp_path):
    header = "ImageID,Source,LabelName,Condidence\r\n"
    for folder, name, labels in (
        ("z/train", "a.csv", ["/m/1", "/m/0"]),
        ("b/train", "b.csv", ["/m/2"]),
        ("c/train", "b.csv.gz", ["/m/4"]),
        ("c/train", "b.csv", ["/m/3"]),
    ):
        data = header + "\r\n".join(f"{A},machine,{label},1.0" for label in labels)
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = ("\ufeff" + data).encode()
        path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    (example,) = oracle.expected_examples(tmp_path)["train"]
    labels = [label["label"] for label in example["image_labels"]]
    assert labels == ["/m/1", "/m/0", "/m/2", "/m/3", "/m/4"]


def test_masks_and_maps(tmp_path):
    where = "0,1,0,1,,"
    annotations = write(
        tmp_path / "a",
        images=IMAGES + image_row(A),
        masks=MASKS
        + f"small.png,{A},/m/02,05580497,{where}0.5 0.25 1;1 0 0\n"
        + f"gone.png,{A},/m/02,x,{where}\n"
        + f"large.png,{A},/m/01,y,0,1,0,1,0.5,\n"
        + f"broken.png,{A},/m/01,z,{where}\n"
        + f"../up.png,{A},/m/01,z,{where}\n",
        classes="/m/01,one\n/m/02,two\n",
    )
    pngs = {
        "small.png": png([[1, 0], [0, 0]]),  # Twice as large in the picture: 4 pixels.
        "large.png": png([[1] * 4, [1] * 4, [1] * 4, [0] * 4]),  # 12 pixels.
        "broken.png": b"\x89PNG\r\n",
    }
    with zipfile.ZipFile(tmp_path / "masks.zip", "w") as archive:
        for name, data in pngs.items():
            archive.writestr(f"folder/{name}", data)
    pictures = tmp_path / "train"
    pictures.mkdir()
    Image.new("RGB", (4, 4)).save(pictures / f"{A}.jpg")
    result = oracle.expected(
        annotations, pictures, tmp_path / "masks.zip", maps=["instance", "semantic"]
    )
    (example,) = result.examples["train"]
    small, gone, large, broken = example["masks"]
    assert small["box_id"] == "05580497"
    assert small["predicted_iou"] is None
    assert small["clicks"] == [{"x": 0.5, "y": 0.25, "t": 1}, {"x": 1.0, "y": 0.0, "t": 0}]
    assert (small["size"], small["area"]) == ([4, 4], 4)
    # Column by column 0 off, 2 on, 2 off, 2 on, 10 off; COCO writes the last two as n - n[i - 2].
    assert small["counts"] == b"02208"
    assert (large["size"], large["area"], large["predicted_iou"]) == ([4, 4], 12, 0.5)
    for mask in (gone, broken):
        assert (mask["size"], mask["counts"], mask["area"]) == (None, None, None)
    assert result.failures == {
        (A, "mask", "mask_missing"): 1,
        (A, "mask", "mask_corrupt"): 1,
        (A, "read", "unsafe_path"): 1,
    }
    instances = np.asarray(Image.open(io.BytesIO(example["instance_map"]["bytes"])))
    assert instances.dtype == np.uint16
    assert instances.tolist() == [[1, 1, 3, 3], [1, 1, 3, 3], [3, 3, 3, 3], [0, 0, 0, 0]]
    semantic = np.asarray(Image.open(io.BytesIO(example["semantic_map"]["bytes"])))
    assert semantic.tolist() == [[2, 2, 1, 1], [2, 2, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]]
    (unsized,) = oracle.expected_examples(annotations, None, tmp_path / "masks.zip")["train"]
    assert unsized["masks"][0]["size"] == [2, 2]
    assert unsized["instance_map"] is None


def test_pictures(tmp_path):
    annotations = write(tmp_path / "a", images=IMAGES + image_row(A) + image_row(B) + image_row(C))
    stored = tmp_path / "images" / "train"
    stored.mkdir(parents=True)
    Image.new("L", (3, 2)).save(stored / f"{A}.jpg", "PNG")
    (stored / f"{B}.jpg").write_bytes(b"<html>gone</html>")
    with tarfile.open(tmp_path / "images.tar.gz", "w:gz") as archive:
        archive.add(stored, "train_0")
    for source in (tmp_path / "images", tmp_path / "images.tar.gz"):
        result = oracle.expected(annotations, source)
        (example,) = result.examples["train"]
        assert example["image"]["path"] == f"{A}.png"
        assert example["image"]["bytes"] == (stored / f"{A}.jpg").read_bytes()
        assert (example["width"], example["original_height"]) == (3, 2)
        assert result.failures == {(B, "decode", "not_image"): 1, (C, "fetch", "missing"): 1}


def test_the_other_kinds(tmp_path):
    annotations = write(
        tmp_path / "a",
        oidv6_train_vrd="ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,"
        f"XMin2,XMax2,YMin2,YMax2,RelationLabel\n{A},/m/01,/m/02,0,1,0,1,0,0.5,0,1,is\n",
        oidv7_train_points="ImageId,X,Y,Label,EstimatedYesNo,Source,YesVotes,NoVotes,UnsureVotes,"
        f"TextLabel\n{A},0.5,0.25,/m/01,yes,ih,3,0,1,\n{A},0.5,1.25,/m/01,yes,ih,3,0,1,\n",
        miap_train="ImageID,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,"
        "IsGroupOf,IsDepictionOf,IsInsideOf,GenderPresentation,AgePresentation\n"
        f"{A},/m/01g317,1,0,1,0,1,0,0,0,1,-1,Unknown,Young\n",
    )
    narrative = {
        "dataset_id": "train",
        "image_id": A,
        "annotator_id": 93,
        "caption": "A cow.",
        "timed_caption": [{"utterance": "A cow.", "start_time": 0, "end_time": 0.5}],
        "traces": [[{"x": -0.5, "y": 1.25, "t": 0}], []],
    }
    lines = f"{json.dumps(narrative)}\n\n{{broken\n"
    (annotations / "open_images_train_v6_localized_narratives.jsonl").write_text(lines)
    result = oracle.expected(annotations)
    (example,) = result.examples["train"]
    assert example["relationships"][0]["relationship"] == "is"
    assert example["relationships"][0]["xmax2"] == 0.5
    (point,) = example["points"]
    assert (point["x"], point["label"], point["yes_votes"], point["text_label"]) == (
        0.5,
        "/m/01",
        3,
        "",
    )
    assert example["bboxes"] is None
    (person,) = example["person_boxes"]
    assert (person["source"], "extreme_points" in person) == (None, False)
    assert (person["is_depiction"], person["is_inside"]) == (1, -1)
    assert (person["gender_presentation"], person["age_presentation"]) == ("Unknown", "Young")
    assert example["narratives"] == [
        {
            "annotator_id": 93,
            "caption": "A cow.",
            "timed_caption": [{"utterance": "A cow.", "start_time": 0.0, "end_time": 0.5}],
            "traces": [[{"x": -0.5, "y": 1.25, "t": 0.0}], []],
            "voice_recording": None,
            "voice": None,
        }
    ]
    assert result.failures == {(A, "read", "bad_row"): 1, (None, "read", "bad_row"): 1}
    assert [entry["label"] for entry in result.classes] == ["/m/01", "/m/01g317", "/m/02"]


def test_classes(tmp_path):
    box = "xclick,/m/09,1,0,1,0,1\n"
    annotations = write(
        tmp_path / "a",
        train_boxes=BOXES + f"{A},{box}",
        class_descriptions="LabelName,DisplayName \n/m/02,Ball\n/m/01,Ball\n",
        class_extra="/m/01,Other\n/m/03,Leg",
    )
    (annotations / "classes-trainable.txt").write_text("/m/01\n/m/04\n")
    part = {"LabelName": "/m/05"}
    leaf = {"LabelName": "/m/01", "Part": [part]}
    tree = {"LabelName": "/m/0bl9f", "Subcategory": [{"LabelName": "/m/02", "Subcategory": [leaf]}]}
    (annotations / "tree.json").write_bytes(json.dumps(tree).encode())
    assert oracle.expected(annotations).classes == [
        {"index": 1, "label": "/m/02", "name": "Ball", "parents": ["/m/0bl9f"], "lists": []},
        {
            "index": 2,
            "label": "/m/01",
            "name": "Ball",
            "parents": ["/m/02"],
            "lists": ["classes-trainable"],
        },
        {"index": 3, "label": "/m/03", "name": "Leg", "parents": [], "lists": []},
        {"index": 4, "label": "/m/04", "name": None, "parents": [], "lists": ["classes-trainable"]},
        {"index": 5, "label": "/m/0bl9f", "name": None, "parents": [], "lists": []},
        {"index": 6, "label": "/m/05", "name": None, "parents": [], "lists": []},
        {"index": 7, "label": "/m/09", "name": None, "parents": [], "lists": []},
    ]


def test_comparison_names_the_first_difference():
    wanted = [{"image_id": A, "boxes": [{"x": math.nan, "t": 1}, {"x": 1.0, "t": None}]}]
    table = pa.Table.from_pylist(wanted)
    compare.assert_examples_equal(table, wanted)
    other = [{"image_id": A, "boxes": [{"x": math.nan, "t": 1}, {"x": 1.5, "t": None}]}]
    with pytest.raises(AssertionError, match=rf"image {A}: boxes\[1\].x is 1.0, expected 1.5"):
        compare.assert_examples_equal(table, other)
    with pytest.raises(AssertionError, match=f"missing .*{B}"):
        compare.assert_examples_equal(table, [*wanted, {"image_id": B, "boxes": None}])


def test_flat_features():
    point = pa.struct([("x", pa.float32()), ("t", pa.int8())])
    corners = [(corner, pa.float32()) for corner in ("xmin", "xmax", "ymin", "ymax")]
    box = pa.struct([("label", pa.string()), *corners, ("points", pa.list_(pa.list_(point)))])
    schema = pa.schema({"id": pa.string(), "image": pa.binary(), "b": pa.list_(box)})
    sides = {"xmin": 0.0, "xmax": 0.5, "ymin": 0.25, "ymax": 1.0}
    boxes = [
        {"label": "a", **sides, "points": [[{"x": 1.0, "t": 0}, {"x": 2.0, "t": None}], []]},
        {"label": None, **sides, "points": None},
    ]
    row = {"id": A, "image": {"bytes": b"jpg", "path": "a.jpg"}, "b": boxes}
    assert compare.flat_features(row, schema) == {
        "id": [A.encode()],
        "image": [b"jpg"],
        "b/label": [b"a", b""],
        "b/bbox": [0.25, 0.0, 1.0, 0.5] * 2,
        "b/points/x/ragged_flat_values": [1.0, 2.0],
        "b/points/x/ragged_row_lengths_0": [2, 0],
        "b/points/x/ragged_row_lengths_1": [2, 0],
        "b/points/t/ragged_flat_values": [0, -1],
        "b/points/t/ragged_row_lengths_0": [2, 0],
        "b/points/t/ragged_row_lengths_1": [2, 0],
    }
    empty = compare.flat_features({"id": None, "image": None, "b": None}, schema)
    assert empty["id"] == [b""]
    assert empty["b/bbox"] == []
    assert empty["b/points/x/ragged_row_lengths_0"] == []
