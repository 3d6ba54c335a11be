"""All output formats, by name; of those that a version has, programs read the first.

Formats that hold only some columns come last.
"""

import importlib
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # which imports PyArrow, and `--help` shall not
    from transforms.formats.format import Format

_MODULES = {
    "parquet": "transforms.formats.parquet.format",
    "tfrecord": "transforms.formats.tfrecord.format",
    "jsonl": "transforms.formats.jsonl",
    "webdataset": "transforms.formats.webdataset",
    "mds": "transforms.formats.mds",
    "coco": "transforms.formats.coco.format",
    "yolo": "transforms.formats.yolo.format",
    "huggingface": "transforms.formats.huggingface.format",
    "object_detection_api": "transforms.formats.object_detection_api",
    "tfds_v4": "transforms.formats.tfds_v4",
    "openimages": "transforms.formats.openimages.format",
}
FORMATS = tuple(_MODULES)
#: What a build writes where nothing is said.
DEFAULT = ("tfrecord", "parquet")


def find_format(name: str) -> "Format":
    """Returns the format of a name.

    >>> from transforms.formats.settings import DEFAULT_SETTINGS
    >>> find_format("parquet").shard_path(DEFAULT_SETTINGS, "train", 0, 16)
    'parquet/train-00000-of-00016.parquet'
    """
    return importlib.import_module(_MODULES[name]).FORMAT


def preferred(names: Collection[str]) -> str:
    """Returns the one of some formats that takes the least time to be read back."""
    return next(name for name in FORMATS if name in names)


def whole(names: Iterable[str]) -> list[str]:
    """Returns those of some formats that hold all columns of an example."""
    return [name for name in names if not find_format(name).is_partial]
