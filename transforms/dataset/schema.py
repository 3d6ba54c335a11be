"""The one place that says what an example is: its columns, names, types and units.

Coordinates are fractions of the picture's width or height in the stored pixel frame, origin top
left; times are seconds. A list is empty where its source was given and the image has nothing in it,
and null where that source was not given at all.
"""

import json
from collections import Counter
from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

_F32, _I8, _I32, _I64 = pa.float32(), pa.int8(), pa.int32(), pa.int64()
_STRING, _BINARY = pa.string(), pa.binary()


def _struct(**fields: pa.DataType) -> pa.StructType:
    return pa.struct(list(fields.items()))


IMAGE = _struct(bytes=_BINARY, path=_STRING)
POINT = _struct(x=_F32, y=_F32)

IMAGE_LABEL = _struct(label=_STRING, source=_STRING, confidence=_F32)

FLAGS = ("is_occluded", "is_truncated", "is_group_of", "is_depiction", "is_inside")

_BOX_FIELDS = {
    "label": _STRING,
    "source": _STRING,
    "confidence": _F32,
    "xmin": _F32,
    "xmax": _F32,
    "ymin": _F32,
    "ymax": _F32,
    **dict.fromkeys(FLAGS, _I8),
}
BOX = _struct(**_BOX_FIELDS, extreme_points=pa.list_(POINT))
PERSON_BOX = _struct(**_BOX_FIELDS, gender_presentation=_STRING, age_presentation=_STRING)

CLICK = _struct(x=_F32, y=_F32, t=_I8)

MASK = _struct(
    label=_STRING,
    box_id=_STRING,
    xmin=_F32,
    xmax=_F32,
    ymin=_F32,
    ymax=_F32,
    predicted_iou=_F32,
    clicks=pa.list_(CLICK),
    size=pa.list_(_I32),
    counts=_BINARY,
    area=_I64,
)

RELATIONSHIP = _struct(
    label1=_STRING,
    label2=_STRING,
    relationship=_STRING,
    xmin1=_F32,
    xmax1=_F32,
    ymin1=_F32,
    ymax1=_F32,
    xmin2=_F32,
    xmax2=_F32,
    ymin2=_F32,
    ymax2=_F32,
)

UTTERANCE = _struct(utterance=_STRING, start_time=_F32, end_time=_F32)
TRACE_POINT = _struct(x=_F32, y=_F32, t=_F32)

NARRATIVE = _struct(
    annotator_id=_I64,
    caption=_STRING,
    timed_caption=pa.list_(UTTERANCE),
    traces=pa.list_(pa.list_(TRACE_POINT)),
    voice_recording=_STRING,
)

POINT_LABEL = _struct(
    x=_F32,
    y=_F32,
    label=_STRING,
    estimated_yes_no=_STRING,
    source=_STRING,
    yes_votes=_I32,
    no_votes=_I32,
    unsure_votes=_I32,
    text_label=_STRING,
)

#: What an image table says of an image; `rotation` is in degrees counter-clockwise, as published.
IMAGE_FIELDS = {
    "rotation": pa.int16(),
    "original_url": _STRING,
    "original_landing_url": _STRING,
    "license": _STRING,
    "author_profile_url": _STRING,
    "author": _STRING,
    "title": _STRING,
    "thumbnail_300k_url": _STRING,
    "original_size": _I64,
    "original_md5": _STRING,
}

#: Columns that hold a list a kind of annotation, with the type of one element.
ANNOTATION_COLUMNS = {
    "image_labels": IMAGE_LABEL,
    "bboxes": BOX,
    "person_boxes": PERSON_BOX,
    "masks": MASK,
    "relationships": RELATIONSHIP,
    "narratives": NARRATIVE,
    "points": POINT_LABEL,
}

MAP_COLUMNS = ("instance_map", "semantic_map")

_PICTURES = {name: {"_type": "Image"} for name in ("image", *MAP_COLUMNS)}


def _feature(dtype: pa.DataType) -> dict | list:
    """The Hugging Face `datasets` feature of an Arrow type (its JSON form)."""
    if pa.types.is_list(dtype):
        return {"_type": "List", "feature": _feature(dtype.value_type)}
    if pa.types.is_struct(dtype):
        return {field.name: _feature(field.type) for field in dtype}
    return {"_type": "Value", "dtype": {"float": "float32"}.get(str(dtype), str(dtype))}


def _with_huggingface(schema: pa.Schema) -> pa.Schema:
    """Adds the metadata by which `datasets.load_dataset` knows which columns are pictures."""
    features = {field.name: _PICTURES.get(field.name) or _feature(field.type) for field in schema}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


EXAMPLE = _with_huggingface(
    pa.schema(
        {
            "image_id": _STRING,
            "split": _STRING,
            "image": IMAGE,
            "width": _I32,
            "height": _I32,
            "original_width": _I32,
            "original_height": _I32,
            # Degrees by which the stored picture has yet to be turned, and as published.
            **dict.fromkeys(("rotation", "published_rotation"), IMAGE_FIELDS["rotation"]),
            **{name: dtype for name, dtype in IMAGE_FIELDS.items() if name != "rotation"},
            **{name: pa.list_(element) for name, element in ANNOTATION_COLUMNS.items()},
            **dict.fromkeys(MAP_COLUMNS, IMAGE),
        }
    )
)


def example_columns(*, with_image: bool = True, maps: Collection[str] = ()) -> tuple[str, ...]:
    """Returns the columns of `EXAMPLE` that a dataset's examples fill.

    Args:
        with_image: whether it has pictures, or annotations alone.
        maps: which of `MAP_COLUMNS` it has.
    """
    absent = set(MAP_COLUMNS) - set(maps)
    if not with_image:
        absent.add("image")
    return tuple(name for name in EXAMPLE.names if name not in absent)


def count_annotations(table: pa.Table) -> Counter[str]:
    """Counts the annotations of a table's rows, by column of `ANNOTATION_COLUMNS`.

    >>> count_annotations(EXAMPLE.empty_table())["bboxes"]
    0
    """
    lengths = {name: pc.list_value_length(table[name]) for name in ANNOTATION_COLUMNS}
    return Counter({name: pc.sum(each).as_py() or 0 for name, each in lengths.items()})
