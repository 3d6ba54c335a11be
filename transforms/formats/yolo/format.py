"""YOLO as Ultralytics reads it: a picture and a text file an image, and `data.yaml`.

A label file has a line a box, or a line a mask (`--yolo_task segment`); see `labels`. It is empty
for an image that has none.
"""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import in_one_piece
from transforms.dataset.naming import numbers
from transforms.formats.annotations import Annotations, count_absent
from transforms.formats.format import Content, Shards
from transforms.formats.loose import LooseFile, LooseFormat, LooseWriter, picture_files
from transforms.formats.settings import FormatSettings
from transforms.formats.yolo import labels
from transforms.formats.yolo.data_yaml import FOLDERS, describe
from transforms.formats.yolo.polygons import trace_mask

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


class YoloWriter(LooseWriter):
    """Writes pictures and their labels."""

    def files(self, table: pa.Table) -> Iterator[LooseFile]:
        is_segment = self._content.settings.yolo_task == "segment"
        texts = self._write_masks(table) if is_segment else self._write_boxes(table)
        self._dropped += count_absent(table, ["masks" if is_segment else "bboxes"])
        folder = FOLDERS[table["split"][0].as_py()]  # a part is of one split
        pictures = picture_files(table, f"yolo/images/{folder}")
        ids = table["image_id"].to_pylist()
        for image_id, picture, text in zip(ids, pictures, texts, strict=True):
            yield picture
            yield LooseFile(f"yolo/labels/{folder}/{image_id}.txt", text.as_buffer())

    def _write_boxes(self, table: pa.Table) -> pa.BinaryArray:
        """Returns the label files of n images by their boxes: (n,) texts."""
        boxes = self._annotations(table, "bboxes", "boxes")
        units = labels.box_units(np.column_stack([boxes.floats(name) for name in _CORNERS]))
        wrong = {
            f"boxes with is_{name}": boxes.integers(f"is_{name}") == 1
            for name in self._content.settings.yolo_drop
        }
        wrong["boxes without an area"] = (units[:, 2:] == 0).any(axis=1)
        kept = np.ones(len(boxes), bool)
        for what, those in wrong.items():
            self._dropped[what] += int((kept & those).sum())
            kept &= ~those
        images, classes = boxes.examples, boxes.numbers - 1
        _, first = np.unique(
            np.column_stack([images, classes, units])[kept], axis=0, return_index=True
        )
        # Ultralytics warns of lines that are there twice.
        self._dropped["boxes that repeat another one"] += int(kept.sum()) - len(first)
        kept = np.flatnonzero(kept)[np.sort(first)]
        lines = labels.box_lines(classes[kept], units[kept])
        return _join_lines(lines, images[kept], len(table))

    def _write_masks(self, table: pa.Table) -> pa.BinaryArray:
        """Returns the label files of n images by their masks: (n,) texts."""
        masks = self._annotations(table, "masks", "masks")
        classes, sizes = (masks.numbers - 1).tolist(), masks.fields["size"].to_pylist()
        lines: dict[tuple[int, bytes], None] = {}
        rows = zip(masks.examples.tolist(), classes, sizes, masks.fields["counts"], strict=True)
        for image, number, size, counts in rows:
            if not counts.is_valid:
                self._dropped["masks without pixels"] += 1
            elif (polygon := trace_mask(counts.as_py(), size)) is None:
                self._dropped["masks of a pixel or a line of pixels"] += 1
            else:
                height, width = size
                units = labels.point_units(polygon, width, height)
                line = image, labels.polygon_line(number, units)
                self._dropped["masks that repeat another one"] += line in lines
                lines[line] = None
        texts = pa.array([line for _, line in lines], pa.binary())
        return _join_lines(texts, np.array([image for image, _ in lines], int), len(table))

    def _annotations(self, table: pa.Table, column: str, noun: str) -> Annotations:
        found = Annotations.of(in_one_piece(table[column]), self._content.classes.index)
        self._dropped[f"{noun} of classes without an index"] += found.left_out
        return found


def _join_lines(lines: pa.BinaryArray, images: np.ndarray, count: int) -> pa.BinaryArray:
    """Returns the lines of each image end to end: (count,) texts.

    Args:
        lines: (m,) lines, by image.
        images: (m,) int64, which image each is of; ascending.
        count: how many images there are.
    """
    offsets = np.searchsorted(images, np.arange(count + 1)).astype(np.int32)
    return pc.binary_join(pa.ListArray.from_arrays(offsets, lines), b"")


class Yolo(LooseFormat):
    """Pictures, and a line a box or mask."""

    name = "yolo"
    writer = YoloWriter
    needs_classes = True
    # What Ultralytics keeps beside the labels and, where it is told to, beside the pictures.
    caches = (r"yolo/labels/\w+\.cache", r"yolo/images/\w+/\w+\.npy")

    def shard_path(self, settings: FormatSettings, split: str, index: int, shards: int) -> str:
        return f"yolo/files/{split}-{numbers(index, shards)}.sha256"

    def missing(self, kinds: Collection[str], settings: FormatSettings) -> str:
        if "pictures" not in kinds:
            return "its labels go with pictures: name them by --images"
        if settings.yolo_task == "detect":
            has_boxes = "boxes" in kinds
            return "" if has_boxes else "its labels are boxes: name a file of them by --annotations"
        if not {"masks", "mask_files"} <= set(kinds):
            return (
                "--yolo_task segment writes masks: name their table by --annotations and their "
                "PNGs by --masks"
            )
        if settings.yolo_drop:
            return (
                "--yolo_drop is for boxes, and masks have no flags: leave images of such boxes out "
                f"by --where_images 'boxes.is_{settings.yolo_drop[0]} != 1'"
            )
        return ""

    def documents(self, content: Content, shards: Shards) -> dict[str, Any]:
        names = [each["name"] or each["label"] for each in content.classes.numbered]
        return {"yolo/data.yaml": describe(shards.keys(), names)}

    def loading_code(self, folder: str, settings: FormatSettings, split: str) -> str:
        model = {"detect": "yolo11n.pt", "segment": "yolo11n-seg.pt"}[settings.yolo_task]
        return (
            "from ultralytics import YOLO; "
            f"YOLO({model!r}).train(data={f'{folder}/yolo/data.yaml'!r})"
        )


FORMAT = Yolo()
