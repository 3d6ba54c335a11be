"""TFRecord files as predictions: `tf.train.Example`s with detections as the Object Detection API
writes them (`infer_object_detections`), an image each.

https://github.com/tensorflow/models/blob/master/research/object_detection/core/standard_fields.py
has the keys.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from transforms.dataset.elements import Source
from transforms.dataset.keys import read_image_ids
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
        for key in (_IMAGE_ID, *wanted.values()):
            if key not in image:
                raise PredictionsError(f"{source.shown_name}: an example has no {key}")
        values = {name: image[key].values for name, key in wanted.items()}
        lengths = {len(each) for each in values.values()}
        if len(lengths) > 1:
            raise PredictionsError(
                f"{source.shown_name}: an example has different numbers of "
                f"{', '.join(wanted.values())}"
            )
        _check_kinds(image, source)
        ids.append(b"".join(image[_IMAGE_ID].values).decode(errors="replace"))
        counts += lengths
        for name, each in values.items():
            columns[name] += [*each]
    _, keys, is_image = read_image_ids(pa.array(ids, pa.string()))
    given = columns.pop("label")
    if all(isinstance(each, bytes) for each in given):
        classes = pa.array([each.decode(errors="replace") for each in given], pa.string())
    elif any(isinstance(each, bytes) for each in given):
        raise PredictionsError(
            f"{source.shown_name}: some examples have {_LABEL}, and others {_TEXT}"
        )
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


def _check_kinds(image: Mapping[str, records.Feature], source: Source) -> None:
    """Raises PredictionsError where a feature is of another kind than it should be."""
    numbers = (records.FLOAT, records.INT64)
    wanted = {
        _IMAGE_ID: (records.BYTES,),
        _LABEL: (records.INT64,),
        _TEXT: (records.BYTES,),
        **dict.fromkeys(_FLOATS.values(), numbers),
    }
    for key, kinds in wanted.items():
        if key in image and len(image[key].values) and image[key].kind not in kinds:
            found, right = records.KIND_NAMES[image[key].kind], records.KIND_NAMES[kinds[0]]
            raise PredictionsError(f"{source.shown_name}: {key} is of {found}, and not of {right}")
