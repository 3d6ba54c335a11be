"""TFRecords for TensorFlow's Object Detection API, and its label map.

Keys are those of `TfExampleDecoder` and of the API's own converter of Open Images
(tensorflow/models, research/object_detection: data_decoders/tf_example_decoder.py,
core/standard_fields.py, dataset_tools/oid_tfrecord_creation.py; the label map's form:
protos/string_int_label_map.proto). Class numbers are class indices, from 1, and class texts MIDs.
"""

import glob
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.classes import NO_CLASSES, ClassTable
from transforms.dataset.elements import in_one_piece
from transforms.dataset.naming import numbers
from transforms.formats.annotations import (
    Annotations,
    class_lists,
    count_absent,
    find_masks,
    judge_classes,
)
from transforms.formats.format import Content, Shards
from transforms.formats.mask_png import encode_empty_mask, encode_mask
from transforms.formats.settings import FormatSettings
from transforms.formats.tfrecord import wire
from transforms.formats.tfrecord.base import RecordFormat
from transforms.formats.tfrecord.encoder import encode_features
from transforms.formats.tfrecord.examples import RecordFields
from transforms.formats.tfrecord.features import Leaf, values_of
from transforms.formats.tfrecord.writer import TFRecordWriter
from transforms.kinds.registry import EXAMPLE

#: What it holds of an example's annotations.
_COLUMNS = ("image_labels", "bboxes", "masks")
#: Fields of boxes that are 0 or 1 in records.
_FLAGS = {
    "group_of": "is_group_of",
    "is_crowd": "is_group_of",
    "occluded": "is_occluded",
    "truncated": "is_truncated",
    "depiction": "is_depiction",
}
_CORNERS = ("xmin", "xmax", "ymin", "ymax")


#: Columns by the features that come from them, or by how their keys begin.
_COLUMNS_OF_FEATURES = {
    "image/class/": "image_labels",
    "image/neg_category_ids": "image_labels",
    "image/not_exhaustive_category_ids": "bboxes",
    "image/object/": "bboxes",
    "image/source_id": "image_id",
    "image/height": "height",
    "image/width": "width",
}


def _column_of(key: str) -> str:
    columns = (column for start, column in _COLUMNS_OF_FEATURES.items() if key.startswith(start))
    return next(columns, "image")


class ObjectDetectionWriter(TFRecordWriter):
    """Writes records of boxes with their masks, and of image labels."""

    def encode(self, rows: pa.Table) -> wire.Messages:
        found, dropped = _features(rows, self._content.classes)
        self._dropped += dropped
        return encode_features(found)


class ObjectDetectionApi(RecordFormat):
    """Records of boxes with their masks, and of image labels; and the label map."""

    name = "object_detection_api"
    writer = ObjectDetectionWriter
    is_partial = True
    needs_classes = True
    fields = RecordFields(
        image_id="image/source_id",
        picture="image/encoded",
        size=("image/width", "image/height"),
        column_of=_column_of,
    )

    def shard_path(self, settings: FormatSettings, split: str, index: int, shards: int) -> str:
        return f"{self.name}/{split}-{numbers(index, shards)}.tfrecord"

    def missing(self, kinds: Collection[str], settings: FormatSettings) -> str:
        if "pictures" not in kinds:
            return "its records hold pictures: name them by --images"
        if not {"boxes", "image_labels"} & set(kinds):
            return "it holds boxes and image labels: name files of these by --annotations"
        return ""

    def documents(self, content: Content, shards: Shards) -> dict[str, Any]:
        return {f"{self.name}/label_map.pbtxt": label_map(content.classes)}

    def loading_code(self, folder: str, settings: FormatSettings, split: str) -> str:
        pattern = f"{glob.escape(folder)}/{self.name}/{split}-*.tfrecord"
        return (
            "import tensorflow as tf; "
            f"dataset = tf.data.TFRecordDataset(sorted(tf.io.gfile.glob({pattern!r})))"
        )

    def empty_features(self, content: Content) -> Sequence[Leaf]:
        return _features(EXAMPLE.empty_table(), NO_CLASSES)[0]


FORMAT = ObjectDetectionApi()


def label_map(classes: ClassTable) -> str:
    """Returns a StringIntLabelMap in protobuf's text form: MIDs as names, and display names."""
    return "".join(
        "item {\n"
        f"  name: {_quoted(each['label'])}\n"
        f"  id: {each['index']}\n"
        f"  display_name: {_quoted(classes.names[each['label']])}\n"
        "}\n"
        for each in classes.numbered
    )


def _quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPED)}"'


_ESCAPED = {code: f"\\{code:03o}" for code in (*range(32), 127)} | {
    ord(character): f"\\{character}" for character in '"\\'
}


def _features(rows: pa.Table, classes: ClassTable) -> tuple[list[Leaf], Counter[str]]:
    """Returns the features of (n,) rows of `EXAMPLE` in byte order of their keys, and what is
    dropped, as of `ExampleWriter`."""
    labels, boxes, masks = (
        Annotations.of(in_one_piece(rows[name]), classes.index) for name in _COLUMNS
    )
    places = find_masks(boxes, masks)
    boxes = boxes.with_fields(
        counts=masks.take("counts", places),
        mask_area=masks.take("area", places),
        height=in_one_piece(rows["height"]).take(pa.array(boxes.examples)),
        width=in_one_piece(rows["width"]).take(pa.array(boxes.examples)),
    )
    linked = int((places >= 0).sum())
    unknown = [(boxes.integers(field) < 0).sum() for field in {*_FLAGS.values()}]
    dropped = {
        "image labels of classes without an index": labels.left_out,
        "boxes of classes without an index": boxes.left_out,
        "masks of classes without an index": masks.left_out,
        "masks without a box": len(masks) - linked,
        "masks without pixels": linked - boxes.fields["counts"].is_valid().true_count,
        "unknown flags": int(sum(unknown)),
    }
    with_masks = boxes.where(masks.is_given[boxes.examples])
    found = [
        *_of_image(rows),
        *_of_labels(labels),
        *_of_verified_classes(labels, boxes),
        *_of_boxes(boxes),
        *_of_masks(with_masks),
    ]
    return sorted(found, key=lambda leaf: leaf.key), count_absent(rows, _COLUMNS) + Counter(dropped)


def _of_image(rows: pa.Table) -> Iterator[Leaf]:
    each = np.arange(len(rows) + 1)
    data, path = in_one_piece(rows["image"]).flatten()
    is_png = pc.fill_null(pc.ends_with(path, ".png"), False).cast(pa.int8())
    form = pa.DictionaryArray.from_arrays(is_png, pa.array(["jpeg", "png"]))
    yield Leaf("image/encoded", values_of(data), each)
    yield Leaf("image/format", values_of(form), each)
    yield Leaf("image/filename", values_of(path), each)
    yield Leaf("image/source_id", values_of(in_one_piece(rows["image_id"])), each)
    for name in ("height", "width"):
        yield Leaf(f"image/{name}", values_of(in_one_piece(rows[name])), each)


def _of_labels(labels: Annotations) -> Iterator[Leaf]:
    yield Leaf("image/class/label", labels.numbers, labels.rows)
    yield Leaf("image/class/text", values_of(labels.fields["label"]), labels.rows)
    yield Leaf("image/class/confidence", labels.floats("confidence"), labels.rows)


def _of_verified_classes(labels: Annotations, boxes: Annotations) -> Iterator[Leaf]:
    """Yields the classes that `judge_classes` returns."""
    is_group = boxes.integers("is_group_of") == 1
    negative, partial = judge_classes(labels, boxes.pairs, boxes.pairs[is_group])
    for key, pairs in (("neg", negative), ("not_exhaustive", partial)):
        numbers, rows = class_lists(pairs, len(labels.rows) - 1)
        yield Leaf(f"image/{key}_category_ids", numbers, rows)


def _of_boxes(boxes: Annotations) -> Iterator[Leaf]:
    rows = boxes.rows
    yield Leaf("image/object/class/label", boxes.numbers, rows)
    yield Leaf("image/object/class/text", values_of(boxes.fields["label"]), rows)
    corners = {name: boxes.floats(name) for name in _CORNERS}
    for name, values in corners.items():
        yield Leaf(f"image/object/bbox/{name}", values, rows)
    for name, field in _FLAGS.items():
        yield Leaf(f"image/object/{name}", np.maximum(boxes.integers(field), 0), rows)
    width = (corners["xmax"] - corners["xmin"]) * boxes.floats("width")
    height = (corners["ymax"] - corners["ymin"]) * boxes.floats("height")
    areas = boxes.floats("mask_area")
    yield Leaf("image/object/area", np.where(np.isnan(areas), width * height, areas), rows)


def _of_masks(boxes: Annotations) -> Iterator[Leaf]:
    """Yields a mask for each of some boxes: an empty one of weight 0 where a box has none."""
    fields = [boxes.fields[name].to_pylist() for name in ("counts", "height", "width")]
    masks = [
        encode_empty_mask(height, width) if counts is None else encode_mask(counts, height, width)
        for counts, height, width in zip(*fields, strict=True)
    ]
    is_known = boxes.fields["counts"].is_valid()
    weights = is_known.cast(pa.float32()).to_numpy()
    yield Leaf("image/object/mask", pa.array(masks, wire.BYTES), boxes.rows)
    yield Leaf("image/object/mask/weight", weights, boxes.rows)
