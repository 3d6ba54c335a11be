"""A builder of TFDS for the pictures and boxes."""

import csv
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from benchmarks.pixels.corpus import SPLIT, Corpus

FLAGS = {
    "is_occluded": "IsOccluded",
    "is_truncated": "IsTruncated",
    "is_group_of": "IsGroupOf",
    "is_depiction": "IsDepiction",
    "is_inside": "IsInside",
}


class PicturesWithBoxes(tfds.core.GeneratorBasedBuilder):
    """Every `parts`th picture with its boxes; the pictures keep their bytes."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = Path(__file__).parent  # where TFDS looks for a README and the like

    def __init__(self, corpus: str, part: int, parts: int, data_dir: str) -> None:
        self._corpus = Corpus(Path(corpus))
        self._part = part
        self._parts = parts
        config = tfds.core.BuilderConfig(name=f"part{part}")
        super().__init__(config=config, data_dir=data_dir)

    def _info(self) -> tfds.core.DatasetInfo:
        box = {
            "bbox": tfds.features.BBoxFeature(),
            "label": tfds.features.Text(),
            "source": tfds.features.Text(),
            "confidence": np.float32,
            **dict.fromkeys(FLAGS, np.int8),
        }
        features = {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "image_id": tfds.features.Text(),
            "bboxes": tfds.features.Sequence(box),
        }
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        del dl_manager
        return {SPLIT: self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, dict]]:
        boxes = _boxes(self._corpus)
        for path in self._corpus.pictures[self._part :: self._parts]:
            example = {"image": str(path), "image_id": path.stem, "bboxes": boxes[path.stem]}
            yield path.stem, example


def _boxes(corpus: Corpus) -> dict[str, list[dict]]:
    """The boxes of each image."""
    boxes: dict[str, list[dict]] = defaultdict(list)
    with (corpus.annotations / f"{SPLIT}-annotations-bbox.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            edges = (float(row[name]) for name in ("YMin", "XMin", "YMax", "XMax"))
            box = {
                "bbox": tfds.features.BBox(*edges),
                "label": row["LabelName"],
                "source": row["Source"],
                "confidence": float(row["Confidence"]),
                **{name: int(row[column]) for name, column in FLAGS.items()},
            }
            boxes[row["ImageID"]].append(box)
    return boxes
