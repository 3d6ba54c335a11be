"""The flags of single output formats; `FormatSettings` has the same names and defaults."""

import dataclasses
from typing import Literal

from open_images import values


@dataclasses.dataclass(frozen=True, kw_only=True)
class FormatFlags:
    """How single formats are written."""

    coco_layout: Literal["coco", "roboflow"] = values.flag(
        ("coco", "roboflow"),
        "coco",
        group="output",
        help="where --format coco puts its files: coco, annotations/instances_train.json and "
        "train/ID.jpg, as pycocotools and torchvision read them; roboflow, "
        "train/_annotations.coco.json beside the pictures, and valid/ for validation, as RF-DETR "
        "reads them. Default: coco",
    )
