"""TFRecords with the features of `open_images_v4` of TensorFlow Datasets, for code written for it.

The features are those that `tfds.load("open_images_v4")` has (tensorflow_datasets, datasets/
open_images_v4/open_images_v4_dataset_builder.py). Classes are numbered from 0, by class index; the
names of classes are MIDs, as there.
"""

import functools
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.classes import NO_CLASSES, ClassTable
from transforms.dataset.elements import in_one_piece
from transforms.formats.annotations import Annotations, code_texts, count_absent
from transforms.formats.format import Content, Shards
from transforms.formats.settings import FormatSettings
from transforms.formats.tfrecord import tfds, wire
from transforms.formats.tfrecord.base import DatasetFormat
from transforms.formats.tfrecord.encoder import encode_features
from transforms.formats.tfrecord.examples import RecordFields
from transforms.formats.tfrecord.features import BOXES, Leaf, values_of
from transforms.formats.tfrecord.writer import TFRecordWriter
from transforms.kinds.boxes import FLAGS
from transforms.kinds.registry import EXAMPLE

_DESCRIPTION = """\
Open Images with the features of TFDS's open_images_v4: pictures, image labels (`objects`), those of
the trainable classes among them (`objects_trainable`), and boxes (`bobjects`).

Classes are MIDs. Confidences are tenths, from 0 (verified to be absent) to 10. Flags are 1, 0, or
-1 where that isn't known, and so is the source."""

DATASET = tfds.Dataset("tfds_v4", "open_images_v4", "2.0.0", _DESCRIPTION)

#: Those of image labels, and those of boxes.
_SOURCES = (
    *("verification", "crowdsource-verification", "machine"),
    *("freeform", "xclick", "activemil"),
)
_UNKNOWN = -1
#: What it holds of an example's annotations.
_COLUMNS = ("image_labels", "bboxes")
#: Above what float32 adds to a decimal fraction, and below any difference of such.
_SLACK = 1e-5
_INT32 = -(1 << 31), (1 << 31) - 1

#: Columns by the features that come from them.
_COLUMNS_OF_FEATURES = {
    "image": "image",
    "objects": "image_labels",
    "objects_trainable": "image_labels",
    "bobjects": "bboxes",
}


class TfdsV4Writer(TFRecordWriter):
    """Writes records of image labels and boxes."""

    @functools.cached_property
    def _trainable(self) -> np.ndarray:
        return _number_trainable(self._content.classes)

    def encode(self, rows: pa.Table) -> wire.Messages:
        found, dropped = _features(rows, self._content, self._trainable)
        self._dropped += dropped
        return encode_features(found)


class TfdsV4(DatasetFormat):
    """Records of image labels and boxes, and the names of classes that go with them."""

    name = "tfds_v4"
    writer = TfdsV4Writer
    is_partial = True
    needs_classes = True
    dataset = DATASET
    fields = RecordFields(
        image_id="image/filename",
        has_extension=True,
        size=None,
        column_of=lambda key: _COLUMNS_OF_FEATURES.get(key.partition("/")[0], ""),
    )

    def missing(self, kinds: Collection[str], settings: FormatSettings) -> str:
        if not {"boxes", "image_labels"} & set(kinds):
            return "it holds boxes and image labels: name files of these by --annotations"
        return ""

    def documents(self, content: Content, shards: Shards) -> dict[str, Any]:
        folder = DATASET.folder(content.settings.release)
        names = {
            "objects": _numbered(content.classes),
            "objects_trainable": _trainable(content.classes),
            "bobjects": _numbered(content.classes),
        }
        files = {}
        for feature, labels in names.items():
            files[f"{folder}/{feature}-label.labels.txt"] = _lines(labels)
            files[f"{folder}/{feature}-source.labels.txt"] = _lines(_SOURCES)
        return super().documents(content, shards) | files

    def describe(self, content: Content) -> dict[str, Any]:
        source = tfds.class_label(len(_SOURCES))

        def objects(classes: int) -> dict[str, Any]:
            label = tfds.class_label(classes)
            confidence = tfds.number("int32")
            return tfds.sequence(
                tfds.features_dict({"label": label, "confidence": confidence, "source": source})
            )

        classes = len(_numbered(content.classes))
        boxes = {
            "label": tfds.class_label(classes),
            "source": source,
            "bbox": tfds.box(),
            **{flag: tfds.number("int8") for flag in FLAGS},
        }
        return tfds.features_dict(
            {
                **({"image": tfds.image()} if "image" in content.columns else {}),
                "image/filename": tfds.text(),
                "objects": objects(classes),
                "objects_trainable": objects(len(_trainable(content.classes))),
                "bobjects": tfds.sequence(tfds.features_dict(boxes)),
            }
        )

    def empty_features(self, content: Content) -> Sequence[Leaf]:
        return _features(EXAMPLE.empty_table(), content, _number_trainable(NO_CLASSES))[0]


FORMAT = TfdsV4()


def _lines(names: Sequence[str]) -> str:
    return "".join(f"{name}\n" for name in names)


def _numbered(classes: ClassTable) -> list[str]:
    """Returns the MIDs that have an index, in its order."""
    return [each["label"] for each in classes.numbered]


def _trainable(classes: ClassTable) -> list[str]:
    """Returns those of them that a list of trainable classes has, which isn't one of boxes."""
    return [each["label"] for each in classes.numbered if any(map(_is_of_trainable, each["lists"]))]


@functools.cache
def _is_of_trainable(list_name: str) -> bool:
    words = re.split(r"[-_]", list_name)
    return "trainable" in words and "bbox" not in words


def _number_trainable(classes: ClassTable) -> np.ndarray:
    """Returns the number, from 1, that each of c classes has among the trainable ones.

    Returns:
        (1 + c,) int64, by class index; 0 for one that isn't trainable.
    """
    indices = [0] * (1 + len(classes.numbered))
    for number, label in enumerate(_trainable(classes), 1):
        indices[classes.index[label]] = number
    return np.array(indices, np.int64)


def _features(
    rows: pa.Table, content: Content, trainable: np.ndarray
) -> tuple[list[Leaf], Counter[str]]:
    """Returns features of examples.

    Args:
        rows: n rows of `EXAMPLE`.
        content: of the dataset.
        trainable: as of `_number_trainable`.

    Returns:
        The features in byte order of their keys, and what is dropped, as of `ExampleWriter`.
    """
    labels, boxes = (
        _with_source_numbers(Annotations.of(in_one_piece(rows[name]), content.classes.index))
        for name in _COLUMNS
    )
    exact = labels.floats("confidence").astype(np.float64) * 10
    tenths = np.trunc(np.clip(exact + np.copysign(_SLACK, exact), *_INT32))  # as TFDS truncates
    labels = labels.with_fields(confidence=pa.array(tenths.astype(np.int64)))
    dropped = {
        "image labels of classes without an index": labels.left_out,
        "boxes of classes without an index": boxes.left_out,
        "confidences between tenths": int((np.abs(exact - tenths) > _SLACK).sum()),
        "sources that V4 doesn't have": sum(map(_count_other_sources, (labels, boxes))),
    }
    numbers = trainable[labels.numbers]
    chosen = labels.where(numbers > 0)
    found = [
        *_of_image(rows, content),
        *_of_labels("objects", labels, labels.numbers),
        *_of_labels("objects_trainable", chosen, numbers[numbers > 0]),
        *_of_boxes(boxes),
    ]
    return sorted(found, key=lambda leaf: leaf.key), count_absent(rows, _COLUMNS) + Counter(dropped)


def _with_source_numbers(annotations: Annotations) -> Annotations:
    index = {name: number for number, name in enumerate(_SOURCES)}
    numbers = code_texts(annotations.fields["source"], index, _UNKNOWN)
    return annotations.with_fields(source_number=pa.array(numbers))


def _count_other_sources(annotations: Annotations) -> int:
    numbers, names = annotations.integers("source_number"), annotations.fields["source"]
    return int((numbers == _UNKNOWN).sum()) - names.null_count


def _of_image(rows: pa.Table, content: Content) -> Iterator[Leaf]:
    each = np.arange(len(rows) + 1)
    if "image" in content.columns:
        data, path = in_one_piece(rows["image"]).flatten()
        yield Leaf("image", values_of(data), each)
    else:
        path = pc.binary_join_element_wise(in_one_piece(rows["image_id"]), "jpg", ".")
    yield Leaf("image/filename", values_of(path), each)


def _of_labels(key: str, labels: Annotations, numbers: np.ndarray) -> Iterator[Leaf]:
    yield Leaf(f"{key}/label", numbers - 1, labels.rows)
    yield Leaf(f"{key}/confidence", values_of(labels.fields["confidence"]), labels.rows)
    yield Leaf(f"{key}/source", values_of(labels.fields["source_number"]), labels.rows)


def _of_boxes(boxes: Annotations) -> Iterator[Leaf]:
    yield Leaf("bobjects/label", boxes.numbers - 1, boxes.rows)
    yield Leaf("bobjects/source", values_of(boxes.fields["source_number"]), boxes.rows)
    corners = np.stack([boxes.floats(name) for name in BOXES["bbox"]], axis=1)
    yield Leaf("bobjects/bbox", corners.ravel(), boxes.rows * 4)
    for flag in FLAGS:
        yield Leaf(f"bobjects/{flag}", boxes.integers(flag), boxes.rows)
