"""TFRecord files as predictions: `tf.train.Example`s with detections as the Object Detection API
writes them (`infer_object_detections`), an image each.

https://github.com/tensorflow/models/blob/master/research/object_detection/core/standard_fields.py
has the keys.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from transforms.dataset.elements import Source
from transforms.dataset.keys import image_keys
from transforms.evaluation.errors import PredictionsError
from transforms.evaluation.file_ranges import FileRange, ReadRows
from transforms.evaluation.kinds.rows import CORNERS, DETECTION
from transforms.evaluation.label_map import LabelMap
from transforms.formats.format import FormatError
from transforms.formats.tfrecord import records
from transforms.kinds.parsing.table import struct_array
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

NAME = "detection_records"
_IMAGE_ID = "image/source_id"
_LABEL, _TEXT = "image/detection/label", "image/detection/class/text"
_FLOATS = {
    "score": "image/detection/score",
    **{corner: f"image/detection/bbox/{corner}" for corner in CORNERS},
}
#: So many images are yielded at once.
_IMAGES = 1000


def matches(head: bytes) -> bool:
    """Returns whether a file's first bytes are those of TFRecord: a length and its checksum."""
    return records.is_record(head)


def file_ranges(source: Source, size: int, options: ObjectOptions) -> list[FileRange]:
    """Returns the file as one range: only reading a record says where the next one begins."""
    return [FileRange(source.index, 0, source.size)]


def read(
    source: Source, file_range: FileRange, labels: LabelMap, options: ObjectOptions
) -> Iterator[ReadRows]:
    """Yields detections; see `Layout.read`."""
    images: list[Mapping[str, records.Feature]] = []
    try:
        with files.open_file(source.path, options, size=source.size, stamp=source.stamp) as file:
            for record in records.iterate_records(file, source.size):
                images.append(records.parse_example(record))
                if len(images) == _IMAGES:
                    yield _detections(images, source, labels)
                    images = []
    except FormatError as error:
        raise PredictionsError(f"{source.shown_name}: {error}") from None
    if images:
        yield _detections(images, source, labels)


def _detections(
    images: Sequence[Mapping[str, records.Feature]], source: Source, labels: LabelMap
) -> ReadRows:
    ids: list[str] = []
    counts: list[int] = []
    columns: dict[str, list] = {name: [] for name in (*_FLOATS, "label")}
    for image in images:
        wanted = {**_FLOATS, "label": _LABEL if _LABEL in image else _TEXT}
        values = {name: image[key].values if key in image else () for name, key in wanted.items()}
        lengths = {len(each) for each in values.values()}
        if len(lengths) > 1:
            raise PredictionsError(
                f"{source.shown_name}: an example lacks some of {', '.join(wanted.values())}, or "
                "has them in different numbers"
            )
        if _IMAGE_ID not in image:
            raise PredictionsError(f"{source.shown_name}: an example has no {_IMAGE_ID}")
        ids.append(image[_IMAGE_ID].values[0].decode(errors="replace"))
        counts += lengths
        for name, each in values.items():
            columns[name] += [*each]
    keys, is_image = image_keys(pa.array(ids, pa.string()))
    given = columns.pop("label")
    if given and isinstance(given[0], bytes):
        classes = pa.array([each.decode(errors="replace") for each in given], pa.string())
    else:
        classes = pa.array(given, pa.int64())
    numbers = {name: np.array(each, np.float64) for name, each in columns.items()}
    sound = np.repeat(is_image, counts) & np.isfinite([*numbers.values()]).all(axis=0)
    value = struct_array(
        DETECTION,
        {
            "label": labels.to_labels(classes),
            **{name: pa.array(each) for name, each in numbers.items()},
        },
        len(sound),
    )
    rows = pa.record_batch({"key": np.repeat(keys, counts), "value": value})
    return ReadRows(rows.filter(pa.array(sound)), len(sound), int((~sound).sum()))
