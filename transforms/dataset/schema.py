"""The frame of an example: its columns beside those of annotations, names, types and units.

What annotations add is in `transforms.kinds`; the whole is `transforms.kinds.registry.EXAMPLE`.
Coordinates are fractions of the picture's width or height in the stored pixel frame, origin top
left; times are seconds. A list is empty where its source was given and the image has nothing in it,
and null where that source was not given at all.
"""

import json
from collections.abc import Mapping

import pyarrow as pa

_STRING, _I32 = pa.string(), pa.int32()

IMAGE = pa.struct({"bytes": pa.binary(), "path": _STRING})

#: A recording within an annotation. Formats treat a struct of this type as a file: where they have
#: no place for its path, its bytes are the value.
VOICE = IMAGE

MAP_COLUMNS = ("instance_map", "semantic_map")

_PICTURES = {name: {"_type": "Image"} for name in ("image", *MAP_COLUMNS)}


def example_schema(
    image_fields: Mapping[str, pa.DataType], annotations: Mapping[str, pa.StructType]
) -> pa.Schema:
    """Returns the schema of examples.

    Args:
        image_fields: what an image table says of an image.
        annotations: columns of annotations, with the type of an element of their lists.
    """
    columns = {
        "image_id": _STRING,
        "split": _STRING,
        "image": IMAGE,
        "width": _I32,
        "height": _I32,
        "original_width": _I32,
        "original_height": _I32,
        # Degrees by which the stored picture has yet to be turned, and as published.
        **dict.fromkeys(("rotation", "published_rotation"), image_fields["rotation"]),
        **{name: dtype for name, dtype in image_fields.items() if name != "rotation"},
        **{name: pa.list_(element) for name, element in annotations.items()},
        **dict.fromkeys(MAP_COLUMNS, IMAGE),
    }
    return with_features(columns)


def with_features(columns: Mapping[str, pa.DataType]) -> pa.Schema:
    """Returns the schema of columns, with the metadata by which `datasets.load_dataset` knows which
    of them are pictures or recordings."""
    features = {name: _PICTURES.get(name) or _feature(dtype) for name, dtype in columns.items()}
    return pa.schema(columns, {"huggingface": json.dumps({"info": {"features": features}})})


def _feature(dtype: pa.DataType) -> dict | list:
    """Returns the Hugging Face `datasets` feature of an Arrow type (its JSON form)."""
    if dtype == VOICE:
        return {"_type": "Audio"}
    if pa.types.is_list(dtype):
        return {"_type": "List", "feature": _feature(dtype.value_type)}
    if pa.types.is_struct(dtype):
        return {field.name: _feature(field.type) for field in dtype}
    return {"_type": "Value", "dtype": {"float": "float32"}.get(str(dtype), str(dtype))}
