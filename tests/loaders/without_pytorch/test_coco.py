"""COCO as faster-coco-eval, supervision and Datumaro read it."""

import json
from collections.abc import Callable
from pathlib import Path

import faster_coco_eval
import numpy as np
import pytest
import supervision
from datumaro.components.annotation import AnnotationType
from datumaro.components.dataset import Dataset

from tests.builds import Build

IMAGES = 30

Builder = Callable[[str], Path]


@pytest.fixture
def build_coco(
    make_corpus: Callable[[str, int], Path], run_build: Callable[..., Build], tmp_path: Path
) -> Builder:
    """Builds a corpus in a layout; the folder of its files."""

    def build(layout: str) -> Path:
        corpus = make_corpus("v7", IMAGES)
        done = run_build(
            *("--annotations", corpus / "annotations", "--images", corpus / "images"),
            *("--masks", corpus / "masks", "--output", tmp_path / "output"),
            *("--format", "coco", "--coco_layout", layout),
        )
        assert done.returncode == 0, done.stderr
        return done.version.folder / "coco"

    return build


def test_faster_coco_eval_scores_the_truth(build_coco: Builder):
    path = build_coco("coco") / "annotations" / "instances_train.json"
    truth = json.loads(path.read_text())
    with_mask = [each for each in truth["annotations"] if each["segmentation"]]
    for kind, shape, annotations in (
        ("bbox", "bbox", truth["annotations"]),
        ("segm", "segmentation", with_mask),
    ):
        coco = faster_coco_eval.COCO(truth | {"annotations": annotations})
        predictions = [
            {name: each[name] for name in ("image_id", "category_id", shape)} | {"score": 1.0}
            for each in annotations
            if not each["iscrowd"]
        ]
        evaluation = faster_coco_eval.COCOeval_faster(coco, coco.loadRes(predictions), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        assert evaluation.stats[0] == pytest.approx(1)


def test_supervision_reads_roboflow(build_coco: Builder):
    folder = build_coco("roboflow") / "valid"
    path = folder / "_annotations.coco.json"
    truth = json.loads(path.read_text())
    dataset = supervision.DetectionDataset.from_coco(str(folder), str(path))
    assert dataset.classes == [each["name"] for each in truth["categories"]]
    boxes = 0
    names = {each["id"]: Path(each["file_name"]).name for each in truth["images"]}
    for picture, _, detections in dataset:
        expected = [
            each for each in truth["annotations"] if names[each["image_id"]] == Path(picture).name
        ]
        boxes += len(expected)
        assert len(detections) == len(expected)
        if expected:
            corners = np.array([each["bbox"] for each in expected])
            corners[:, 2:] += corners[:, :2]
            np.testing.assert_allclose(detections.xyxy, corners, rtol=1e-5)
            assert detections.class_id.tolist() == [each["category_id"] for each in expected]
            for place, each in enumerate(expected):
                pixels = detections.mask[place].sum() if detections.mask is not None else 0
                assert pixels == (each["area"] if each["segmentation"] else 0)
    assert boxes == len(truth["annotations"]) > 0


def test_datumaro_reads_it(build_coco: Builder):
    folder = build_coco("coco")
    dataset = Dataset.import_from(str(folder), "mmdet_coco")
    assert len(dataset) == IMAGES
    for split in ("train", "validation", "test"):
        truth = json.loads((folder / "annotations" / f"instances_{split}.json").read_text())
        expected = {each["id"]: each for each in truth["annotations"]}
        found = {
            annotation.id: annotation
            for item in dataset.subsets()[split]
            for annotation in item.annotations
            if annotation.type == AnnotationType.bbox
        }
        assert found.keys() == expected.keys()
        for number, each in expected.items():
            # It rounds to two decimals.
            assert found[number].get_bbox() == pytest.approx(each["bbox"], abs=0.011)
            wanted = each["attributes"] | {"is_crowd": each["iscrowd"] == 1}
            if "score" in each:
                wanted["score"] = each["score"]
            assert found[number].attributes == wanted
