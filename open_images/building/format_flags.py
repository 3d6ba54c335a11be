"""The flags of single output formats; `FormatSettings` has the same names and defaults."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Literal

from open_images import values

_format_flag = partial(values.flag, group="output")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FormatFlags:
    """How single formats are written."""

    coco_layout: Literal["coco", "roboflow"] = _format_flag(
        ("coco", "roboflow"),
        "coco",
        help="where --format coco puts its files: coco, annotations/instances_train.json and "
        "train/ID.jpg, as pycocotools and torchvision read them; roboflow, "
        "train/_annotations.coco.json beside the pictures, and valid/ for validation, as RF-DETR "
        "reads them. Default: coco",
    )
    yolo_task: Literal["detect", "segment"] = _format_flag(
        ("detect", "segment"),
        "detect",
        help="what --format yolo writes a line for: a box (detect), or a mask, as a polygon "
        "(segment). Default: detect",
    )
    yolo_drop: Sequence[str] = _format_flag(
        values.Choices(("occluded", "truncated", "group_of", "depiction", "inside")),
        (),
        metavar="NAMES",
        help="boxes that --format yolo writes no line for, by their flags: of occluded,truncated,"
        "group_of,depiction,inside. The image stays, so what is in the box is background; "
        "--where_images 'boxes.is_group_of != 1' leaves out the image",
    )
    objects: bool = _format_flag(
        values.switch,
        False,
        help="add the column objects to --format huggingface: id, area, bbox (left, top, width and "
        "height in pixels) and category, as the object-detection examples of transformers read it. "
        "They also want a number as image_id, so that is the ImageID's 64 bits, and open_images_id "
        "has its text",
    )
