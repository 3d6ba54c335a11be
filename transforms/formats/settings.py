"""How formats write examples, beside what examples hold: the flags of single formats."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self


def _only_for(form: str, default: Any) -> Any:
    """Returns a field that one format alone reads."""
    return dataclasses.field(default=default, metadata={"format": form})


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
    coco_layout: Literal["coco", "roboflow"] = _only_for("coco", "coco")
    yolo_task: Literal["detect", "segment"] = _only_for("yolo", "detect")
    yolo_drop: Sequence[str] = _only_for("yolo", ())
    objects: bool = _only_for("huggingface", False)

    @classmethod
    def of_flags(cls, flags: Mapping[str, Any], release: str) -> Self:
        """Returns the settings that flags of a build say, or the manifest of a version records."""
        names = [field.name for field in dataclasses.fields(cls)]
        found = {name: flags[name] for name in names if flags.get(name) is not None}
        return cls(**found | {"release": release})


DEFAULT_SETTINGS = FormatSettings()
#: The format that alone reads a setting, by the name of the setting, which is a flag of a build.
FORMAT_OF_SETTING: Mapping[str, str] = {
    field.name: field.metadata["format"]
    for field in dataclasses.fields(FormatSettings)
    if "format" in field.metadata
}
