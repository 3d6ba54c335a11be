"""The columns of the dataset, as Arrow and as the features of a dataset card.

Labels are class numbers from 0, as `datasets.ClassLabel` has them; the card has their names. So
Parquet files hold no names, and 20,000 of them are written once.
"""

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Any

import pyarrow as pa

from transforms.dataset.classes import ClassTable
from transforms.dataset.schema import IMAGE, with_features
from transforms.formats import yaml
from transforms.kinds.registry import ANNOTATIONS, EXAMPLE

#: The ImageID, where `image_id` is a number.
IMAGE_ID_TEXT = "open_images_id"
#: Boxes as examples of object detection expect them; see `objects`.
OBJECTS = "objects"
#: A class number of a class that has none, as `ClassLabel` writes a label that isn't known.
NO_CLASS = -1

CLASS = pa.int64()
_FLOATS = pa.list_(pa.float32())
OBJECTS_TYPE = pa.struct(
    {
        "id": pa.list_(pa.int64()),
        "area": _FLOATS,
        "bbox": pa.list_(_FLOATS),
        "category": pa.list_(CLASS),
    }
)
#: Leaves that are class numbers.
_LABELS = frozenset(
    (
        (OBJECTS, "category"),
        *((column, label) for column, kind in ANNOTATIONS.items() for label in kind.labels),
    )
)


@functools.lru_cache
def table_schema(columns: tuple[str, ...], with_objects: bool) -> pa.Schema:
    """Returns the schema of a Parquet file.

    Args:
        columns: of `EXAMPLE` that the dataset fills.
        with_objects: whether it has the column `objects`, and a number as `image_id`.
    """
    types = {name: EXAMPLE.field(name).type for name in columns}
    for name in ANNOTATIONS.keys() & types.keys():
        element = types[name].value_type
        labels = dict.fromkeys(ANNOTATIONS[name].labels, CLASS)
        fields = {field.name: labels.get(field.name, field.type) for field in element}
        types[name] = pa.list_(pa.struct(fields))
    if with_objects:
        ids = {"image_id": pa.int64(), IMAGE_ID_TEXT: types.pop("image_id")}
        types = {**ids, **types, OBJECTS: OBJECTS_TYPE}
    return with_features(types)


def unique_names(classes: ClassTable) -> list[str]:
    """Returns the names of the numbered classes, by number from 0, each different from all others.

    A name that several classes have is followed by the MID.

    >>> balls = enumerate(["/m/018xm", "/m/0bal"], 1)
    >>> unique_names(ClassTable([{"index": n, "label": mid, "name": "Ball"} for n, mid in balls]))
    ['Ball (/m/018xm)', 'Ball (/m/0bal)']
    """
    labels = [each["label"] for each in classes.numbered]
    names = [classes.names[label] for label in labels]
    while repeated := {name for name, count in Counter(names).items() if count > 1}:
        names = [
            f"{name} ({label})" if name in repeated else name
            for name, label in zip(names, labels, strict=True)
        ]
    return names


def card_features(schema: pa.Schema, names: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the features of a schema, as `dataset_info` of a card has them.

    Args:
        schema: as of `table_schema`.
        names: of the classes, by number. They are written once, and referred to elsewhere.
    """
    texts = chain([f"&classes {yaml.flow(names)}"], repeat("*classes"))
    class_names = map(yaml.Verbatim, texts)
    return [
        {"name": field.name, **_feature(field.type, (field.name,), class_names)} for field in schema
    ]


def _feature(
    dtype: pa.DataType, path: tuple[str, ...], class_names: Iterator[str]
) -> Mapping[str, Any]:
    """Returns the feature of a column, or of a field in it."""
    if dtype == IMAGE:  # in an annotation, a recording
        return {"dtype": "image" if len(path) == 1 else "audio"}
    if pa.types.is_struct(dtype):
        return {
            "struct": [
                {"name": field.name, **_feature(field.type, (*path, field.name), class_names)}
                for field in dtype
            ]
        }
    if pa.types.is_list(dtype):
        inner = _feature(dtype.value_type, path, class_names)
        (kind,) = inner
        return {"list": inner[kind] if kind in ("dtype", "struct") else inner}
    if path in _LABELS:
        return {"dtype": {"class_label": {"names": next(class_names)}}}
    return {"dtype": {"float": "float32"}.get(str(dtype), str(dtype))}
