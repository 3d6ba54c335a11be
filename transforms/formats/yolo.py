"""YOLO as Ultralytics reads it: a picture and a text file of boxes an image, and `data.yaml`.

A line is a class number from 0, and the box's centre and size as fractions of the picture
(https://docs.ultralytics.com/datasets/detect/).
"""

from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa

from transforms.dataset.naming import numbers
from transforms.formats.format import Content, Shards
from transforms.formats.loose import LooseFile, LooseFormat, LooseWriter
from transforms.formats.settings import FormatSettings


class YoloWriter(LooseWriter):
    """Writes pictures and their labels."""

    def files(self, table: pa.Table) -> Iterator[LooseFile]:
        index = self._content.classes.index
        for row in table.select(["image_id", "split", "image", "bboxes"]).to_pylist():
            lines = [_line(index[box["label"]] - 1, box) for box in row["bboxes"] or ()]
            name = f"{row['split']}/{row['image_id']}"
            yield LooseFile(f"yolo/images/{name}.jpg", row["image"]["bytes"])
            yield LooseFile(f"yolo/labels/{name}.txt", "".join(lines).encode())


def _line(number: int, box: dict[str, Any]) -> str:
    width, height = box["xmax"] - box["xmin"], box["ymax"] - box["ymin"]
    center = (box["xmin"] + box["xmax"]) / 2, (box["ymin"] + box["ymax"]) / 2
    return f"{number} {center[0]:.6f} {center[1]:.6f} {width:.6f} {height:.6f}\n"


class Yolo(LooseFormat):
    """Pictures, and a line a box."""

    name = "yolo"
    writer = YoloWriter
    needs_classes = True

    def shard_path(self, settings: FormatSettings, split: str, index: int, shards: int) -> str:
        return f"yolo/files/{split}-{numbers(index, shards)}.sha256"

    def missing(self, kinds: Collection[str], settings: FormatSettings) -> str:
        return "" if "pictures" in kinds else "its labels go with pictures: name them by --images"

    def documents(self, content: Content, shards: Shards) -> dict[str, Any]:
        splits = "".join(f"{split}: images/{split}\n" for split in shards)
        names = "".join(
            f"  {each['index'] - 1}: {each['name']}\n" for each in content.classes.numbered
        )
        return {"yolo/data.yaml": f"path: .\n{splits}names:\n{names}"}

    def loading_code(self, folder: str, settings: FormatSettings, split: str) -> str:
        return (
            "from ultralytics import YOLO; "
            f"YOLO('yolo11n.pt').train(data={f'{folder}/yolo/data.yaml'!r})"
        )


FORMAT = Yolo()
