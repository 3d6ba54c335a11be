"""Open Images' own files as Datumaro, FiftyOne and MMDetection read them.

FiftyOne's importer is used without its database, and MMDetection's dataset by its source file,
without PyTorch.
"""

import importlib.util
import sys
import types
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datumaro.components.annotation import AnnotationType
from datumaro.components.dataset import Dataset
from fiftyone.utils.openimages import OpenImagesV7DatasetImporter
from pycocotools import mask as coco

from tests.builds import Version, run_build

IMAGES = 30


@pytest.fixture(scope="module")
def version(make_corpus: Callable, tmp_path_factory: pytest.TempPathFactory) -> Version:
    corpus = make_corpus("v7", IMAGES)
    inputs = ("--annotations", corpus / "annotations", "--images", corpus / "images")
    output = ("--output", tmp_path_factory.mktemp("output"), "--format", "parquet,openimages")
    built = run_build(*inputs, "--masks", corpus / "masks", *output)
    assert built.returncode == 0, built.stderr
    return built.version


@pytest.fixture(scope="module")
def folder(version: Version) -> Path:
    return version.folder / "openimages"


def test_datumaro_reads_labels_boxes_and_masks(version: Version, folder: Path):
    dataset = Dataset.import_from(str(folder), "open_images")
    labels = dataset.categories()[AnnotationType.label]
    assert len(dataset) == IMAGES
    for item in dataset:
        example = version.examples[item.id]
        assert item.subset == example["split"]
        height, width = item.media.size
        assert (width, height) == (example["width"], example["height"])
        found = {
            kind: [each for each in item.annotations if each.type == kind]
            for kind in (AnnotationType.label, AnnotationType.bbox, AnnotationType.mask)
        }
        verified = [each for each in example["image_labels"] if each["source"] != "machine"]
        assert [
            (labels[each.label].name, each.attributes["score"])
            for each in found[AnnotationType.label]
        ] == [(each["label"], each["confidence"]) for each in verified]
        boxes = found[AnnotationType.bbox]
        for box, expected in zip(boxes, example["bboxes"], strict=True):
            assert labels[box.label].name == expected["label"]
            corners = [expected[name] for name in ("xmin", "ymin", "xmax", "ymax")]
            assert box.points == pytest.approx(np.multiply(corners, [width, height] * 2), abs=0.01)
            is_group = {1: True, 0: False}.get(expected["is_group_of"])
            assert box.attributes.get("is_group_of") == is_group
        masks = found[AnnotationType.mask]
        for mask, expected in zip(masks, example["masks"], strict=True):
            pixels = coco.decode({"counts": expected["counts"], "size": expected["size"]})
            assert np.array_equal(mask.image, pixels)
            # A mask has the group of its box.
            assert mask.group in {box.group for box in boxes if box.label == mask.label}


def test_fiftyone_reads_them_by_links(version: Version, folder: Path, tmp_path: Path):
    annotations, split = folder / "annotations", "train"
    links = {
        "data": folder / "images" / split,
        "labels/classifications.csv": f"{split}-annotations-human-imagelabels-boxable.csv",
        "labels/detections.csv": "oidv6-train-annotations-bbox.csv",
        "labels/points.csv": f"oidv7-{split}-annotations-point-labels.csv",
        "labels/relationships.csv": f"oidv6-{split}-annotations-vrd.csv",
        "labels/segmentations.csv": f"{split}-annotations-object-segmentation.csv",
        "metadata/classes.csv": "class-descriptions-boxable.csv",
        "metadata/attributes.csv": "oidv7-class-descriptions.csv",
        "metadata/point_classes.csv": "oidv7-class-descriptions.csv",
        "metadata/segmentation_classes.csv": "classes-segmentation.txt",
        "metadata/hierarchy.json": "bbox_labels_600_hierarchy.json",
        **{f"labels/masks/{digit}": folder / "masks" / split for digit in "0123456789ABCDEF"},
    }
    for link, target in links.items():
        (tmp_path / link).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / link).symlink_to(annotations / target)
    importer = OpenImagesV7DatasetImporter(str(tmp_path))
    importer.setup()
    found: Counter[str] = Counter()
    for _, _, label in importer:
        found["images"] += 1
        for name, items in (("detections", "detections"), ("segmentations", "detections")):
            found[name] += len(label[name][items]) if label.get(name) else 0
        found["points"] += len(label["points"].keypoints) if label.get("points") else 0
    examples = [each for each in version.examples.values() if each["split"] == split]
    assert found == {
        "images": len(examples),
        "detections": sum(len(each["bboxes"]) for each in examples),
        "segmentations": sum(len(each["masks"]) for each in examples),
        "points": sum(len(each["points"]) for each in examples),
    }


class _Registry:
    """Stands for MMEngine's, which needs PyTorch."""

    def register_module(self) -> Callable[[type], type]:
        return lambda cls: cls


class _BaseDataset:
    """Stands for MMDetection's, which needs PyTorch: the arguments alone."""

    def __init__(self, ann_file: str, data_prefix: dict[str, str]) -> None:
        self.ann_file, self.data_prefix = ann_file, data_prefix
        self.backend_args = None
        self._metainfo: dict[str, Any] = {}


@pytest.fixture
def mmdetection(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of MMDetection's `OpenImagesDataset`."""
    spec = importlib.util.find_spec("mmdet")
    assert spec is not None
    assert spec.submodule_search_locations
    for name in ("mmdet", "mmdet.registry", "mmdet.datasets", "mmdet.datasets.base_det_dataset"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(sys.modules["mmdet.registry"], "DATASETS", _Registry(), raising=False)
    base = sys.modules["mmdet.datasets.base_det_dataset"]
    monkeypatch.setattr(base, "BaseDetDataset", _BaseDataset, raising=False)
    path = Path(spec.submodule_search_locations[0], "datasets", "openimages.py")
    spec = importlib.util.spec_from_file_location("mmdet.datasets.openimages", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("split", ["train", "validation"])
def test_mmdetection_reads_boxes_and_labels(
    split: str, version: Version, folder: Path, mmdetection: Any
):
    annotations = folder / "annotations"
    boxes = "oidv6-train" if split == "train" else split
    dataset = mmdetection.OpenImagesDataset(
        ann_file=str(annotations / f"{boxes}-annotations-bbox.csv"),
        data_prefix={"img": str(folder / "images" / split)},
        label_file=str(annotations / "class-descriptions-boxable.csv"),
        hierarchy_file=str(annotations / "bbox_labels_600_hierarchy.json"),
        meta_file=str(annotations / f"{split}-image-metas.pkl"),
        image_level_ann_file=str(
            annotations / f"{split}-annotations-human-imagelabels-boxable.csv"
        ),
    )
    found = {each["img_id"]: each for each in dataset.load_data_list()}
    expected = {
        image_id: example
        for image_id, example in version.examples.items()
        if example["split"] == split and example["bboxes"]
    }
    assert found.keys() == expected.keys()
    numbers = dataset.label_id_mapping
    for image_id, example in expected.items():
        each = found[image_id]
        assert Path(each["img_path"]).read_bytes() == example["image"]["bytes"]
        assert (each["width"], each["height"]) == (example["width"], example["height"])
        for instance, box in zip(each["instances"], example["bboxes"], strict=True):
            assert instance["bbox_label"] == numbers[box["label"]]
            corners = [box[name] for name in ("xmin", "ymin", "xmax", "ymax")]
            scale = [example["width"], example["height"]] * 2
            assert instance["bbox"] == pytest.approx(np.multiply(corners, scale), abs=0.01)
            assert instance["is_group_of"] == (box["is_group_of"] == 1)
        assert len(each["image_level_labels"]) == sum(
            label["label"] in numbers and label["source"] != "machine"
            for label in example["image_labels"]
        )
