"""Records as the Object Detection API's decoder reads them.

It needs `tf-models-research-object-detection`, which is installed by `pip install --no-deps`, since
it asks for all of tf-models; and `tf-slim` and `six`.
"""

import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from pycocotools import mask as coco

from tests.builds import Version, build_corpus

NAME = "object_detection_api"
DECODER = Path(__file__).with_name("decode_object_detection.py")
PAGE = Path(__file__).parents[3] / "docs" / "formats" / f"{NAME}.md"
CORNERS = ("ymin", "xmin", "ymax", "xmax")


@pytest.fixture(scope="module")
def version(
    make_corpus: Callable[[str, int], Path], tmp_path_factory: pytest.TempPathFactory
) -> Version:
    corpus = make_corpus("v7", 30)
    return build_corpus(corpus, tmp_path_factory.mktemp("build"), "--format", f"parquet,{NAME}")


def mask_of(box: dict[str, Any], row: dict[str, Any]) -> np.ndarray | None:
    """The mask of a box, where no two boxes are alike."""
    for mask in row["masks"] or ():
        corners = (round(mask[name] * 1e6) == round(box[name] * 1e6) for name in CORNERS)
        if mask["label"] == box["label"] and all(corners):
            return coco.decode({"counts": mask["counts"], "size": mask["size"]})
    return None


def test_its_decoder_reads_what_parquet_holds(version: Version, tmp_path: Path):
    classes = json.loads((version.folder / "classes.json").read_text())
    index = {each["label"]: each["index"] for each in classes}
    shards = version.shards("train", NAME)
    label_map, output = version.folder / NAME / "label_map.pbtxt", tmp_path / "decoded"
    subprocess.run([sys.executable, DECODER, label_map, output, *shards], check=True)
    names, display_names, decoded = pickle.loads(output.read_bytes())
    assert names == index
    assert display_names == {each["name"] or each["label"]: each["index"] for each in classes}
    assert len(decoded) == version.manifest["splits"]["train"]["num_examples"]
    masks = 0
    for datum in decoded:
        row = version.examples[datum["source_id"].decode()]
        assert datum["filename"].decode() == f"{row['image_id']}.jpg"
        assert (datum["image"] == tf.io.decode_jpeg(row["image"]["bytes"]).numpy()).all()
        assert [*datum["original_image_spatial_shape"]] == [row["height"], row["width"]]
        labels, boxes = row["image_labels"] or [], row["bboxes"] or []
        assert [*datum["groundtruth_image_classes"]] == [index[each["label"]] for each in labels]
        assert [*datum["groundtruth_image_confidences"]] == [each["confidence"] for each in labels]
        corners = np.array([[box[name] for name in CORNERS] for box in boxes], np.float32)
        assert (datum["groundtruth_boxes"] == corners.reshape(-1, 4)).all()
        assert [*datum["groundtruth_classes"]] == [index[box["label"]] for box in boxes]
        groups = [box["is_group_of"] == 1 for box in boxes]
        assert [*datum["groundtruth_group_of"]] == [*datum["groundtruth_is_crowd"]] == groups
        assert [*datum["groundtruth_weights"]] == [1] * len(boxes)
        found = [mask_of(box, row) for box in boxes]
        weights = [float(mask is not None) for mask in found]
        assert [*datum["groundtruth_instance_mask_weights"]] == weights
        assert len(datum["groundtruth_instance_masks"]) == len(boxes)
        for mask, drawn in zip(found, datum["groundtruth_instance_masks"], strict=True):
            assert drawn.shape == (row["height"], row["width"])
            assert (drawn == (0 if mask is None else mask)).all()
        masks += int(sum(weights))
    assert masks > 0


def test_the_code_of_its_page_runs(version: Version):
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    found: dict[str, Any] = {"V": version.folder}
    exec(code, found)
    row = version.examples[found["example"]["image/source_id"].numpy().decode()]
    corners = [[box[name] for name in CORNERS] for box in row["bboxes"] or []]
    assert found["boxes"].numpy().tolist() == corners
    assert found["image"].shape == (row["height"], row["width"], 3)
