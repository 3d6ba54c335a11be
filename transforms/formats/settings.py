"""How formats write examples, beside what examples hold: the flags of single formats."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self


@dataclasses.dataclass(frozen=True)
class FormatSettings:
    """How formats write examples; all have a default.

    Attributes:
        release: the dataset's version for readers, such as `v7`.
        coco_layout: where COCO's JSON files lie, `coco` or `roboflow`.
        yolo_task: what lines of labels are: boxes for `detect`, masks for `segment`.
        yolo_drop: flags of boxes, such as `group_of`; boxes that have one of them get no line.
        objects: whether `huggingface` has the column `objects`.
    """

    release: str = "v7"
    coco_layout: Literal["coco", "roboflow"] = "coco"
    yolo_task: Literal["detect", "segment"] = "detect"
    yolo_drop: Sequence[str] = ()
    objects: bool = False

    @classmethod
    def of_flags(cls, flags: Mapping[str, Any], release: str) -> Self:
        """Returns the settings that flags of a build say, or the manifest of a version records."""
        names = [field.name for field in dataclasses.fields(cls)]
        found = {name: flags[name] for name in names if flags.get(name) is not None}
        return cls(**found | {"release": release})


DEFAULT_SETTINGS = FormatSettings()
