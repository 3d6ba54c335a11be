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
from transforms.formats.format import Content, Shards
from transforms.formats.loose import LooseFile, LooseFormat, LooseWriter
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
        ids, splits = table["image_id"].to_pylist(), table["split"].to_pylist()
        paths = pc.struct_field(table["image"], "path").to_pylist()
        pictures = pc.struct_field(table["image"], "bytes")
        rows = zip(ids, splits, paths, pictures, texts, strict=True)
        for image_id, split, path, picture, text in rows:
            name = f"{FOLDERS[split]}/{image_id}"
            suffix = path.rpartition(".")[2]
            yield LooseFile(f"yolo/images/{name}.{suffix}", picture.as_buffer())
            yield LooseFile(f"yolo/labels/{name}.txt", text.as_buffer())

    def _write_boxes(self, table: pa.Table) -> pa.BinaryArray:
        """Returns the label files of n images by their boxes: (n,) texts."""
        lists = in_one_piece(table["bboxes"])
        boxes, images = lists.flatten(), _images(lists)
        units = labels.box_units(np.column_stack([boxes.field(name) for name in _CORNERS]))
        classes = self._class_numbers(boxes)
        wrong = {
            f"boxes with is_{name}": pc.fill_null(boxes.field(f"is_{name}"), -1).to_numpy() == 1
            for name in self._content.settings.yolo_drop
        }
        wrong["boxes of classes without a number"] = classes < 0
        wrong["boxes without an area"] = (units[:, 2:] == 0).any(axis=1)
        kept = np.ones(len(boxes), bool)
        for what, those in wrong.items():
            self._dropped[what] += int((kept & those).sum())
            kept &= ~those
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
        lists = in_one_piece(table["masks"])
        masks, images = lists.flatten(), _images(lists)
        classes = self._class_numbers(masks).tolist()
        sizes = masks.field("size").to_pylist()
        lines: dict[tuple[int, bytes], None] = {}
        rows = zip(images.tolist(), classes, sizes, masks.field("counts"), strict=True)
        for image, number, size, counts in rows:
            if number < 0:
                self._dropped["masks of classes without a number"] += 1
            elif not counts.is_valid:
                self._dropped["masks without pixels"] += 1
            elif (polygon := trace_mask(counts.as_py(), size)) is None:
                self._dropped["masks of a pixel or a line of pixels"] += 1
            else:
                height, width = size
                units = labels.point_units(polygon, width, height)
                line = image, labels.polygon_line(number, units)
                self._dropped["masks that repeat another one"] += line in lines
                lines[line] = None
        self._dropped["boxes (masks are written)"] += len(in_one_piece(table["bboxes"]).flatten())
        texts = pa.array([line for _, line in lines], pa.binary())
        return _join_lines(texts, np.array([image for image, _ in lines], int), len(table))

    def _class_numbers(self, annotations: pa.StructArray) -> np.ndarray:
        """Returns the class numbers of annotations from 0, (n,) int64; -1 for one that has none."""
        encoded = annotations.field("label")
        if not pa.types.is_dictionary(encoded.type):
            encoded = encoded.dictionary_encode()
        index = self._content.classes.index
        found = [index.get(label, 0) - 1 for label in encoded.dictionary.to_pylist()]
        return np.array(found, np.int64)[encoded.indices.to_numpy()]


def _images(lists: pa.ListArray) -> np.ndarray:
    """Returns which of n images each of their annotations is of: (m,) int64."""
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    return np.repeat(np.arange(len(lists)), lengths)


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
    flags = ("yolo_task", "yolo_drop")
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
