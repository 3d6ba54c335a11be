"""TFRecord as an output format: read by tf.data, and by TFDS without any builder code."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from transforms.dataset.schema import MAP_COLUMNS, VOICE
from transforms.formats.format import Content
from transforms.formats.tfrecord import tfds
from transforms.formats.tfrecord.base import DatasetFormat
from transforms.formats.tfrecord.features import BOXES, Leaf, leaves, members
from transforms.formats.tfrecord.writer import TFRecordWriter
from transforms.kinds.registry import EXAMPLE

_DESCRIPTION = """\
Open Images: about nine million pictures with image-level labels, object bounding boxes, instance
segmentation masks, visual relationships, localized narratives and point-level labels.

Labels are machine-generated identifiers (MIDs). Coordinates are fractions of the picture's width or
height, from its top left corner; boxes are ymin, xmin, ymax, xmax; times are seconds.
`masks/counts` is the compressed COCO run-length encoding of a mask with `masks/size` (height,
width). What isn't known is -1 where it is an integer, NaN where it is a float, and empty where it
is text or a list."""

DATASET = tfds.Dataset("tfrecord", "open_images", "1.0.0", _DESCRIPTION)


class TFRecord(DatasetFormat):
    """Records with all columns of `EXAMPLE`."""

    name = "tfrecord"
    writer = TFRecordWriter
    dataset = DATASET

    def empty_features(self, content: Content) -> Sequence[Leaf]:
        return leaves(EXAMPLE.empty_table(), content.columns)

    def describe(self, content: Content) -> dict[str, Any]:
        pictures = {
            "image": tfds.image(),
            **{name: tfds.image("uint16", 1, encodingFormat="png") for name in MAP_COLUMNS},
        }
        return tfds.features_dict(
            {
                name: pictures.get(name) or _describe(EXAMPLE.field(name).type)
                for name in content.columns
            }
        )


FORMAT = TFRecord()


def _describe(dtype: pa.DataType) -> dict[str, Any]:
    if dtype == VOICE:
        dtype = dtype.field("bytes").type
    if pa.types.is_struct(dtype):
        return tfds.features_dict(
            {
                name: tfds.box() if name in BOXES else _describe(dtype.field(fields[0]).type)
                for name, fields in members(dtype).items()
            }
        )
    if pa.types.is_list(dtype):
        return tfds.sequence(_describe(dtype.value_type))
    if pa.types.is_string(dtype):
        return tfds.text()
    name = {pa.float32(): "float32", pa.binary(): "string"}.get(dtype, str(dtype))
    return tfds.number(name)
