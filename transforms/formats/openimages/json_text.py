"""Nested Arrow arrays as JSON, a text a value, without a Python object a number."""

from json.encoder import encode_basestring_ascii as _escape

import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import relist
from transforms.kinds.csv_text import join


def to_json(values: pa.Array) -> pa.StringArray:
    """Returns the JSON of each value: (n,) texts, none null.

    Numbers have the shortest text that parses to the same number of their type, and texts are in
    ASCII.

    Args:
        values: (n,) numbers, texts, structs or lists of these.
    """
    dtype = values.type
    if pa.types.is_struct(dtype):
        fields = zip(dtype, values.flatten(), strict=True)
        text = join_members({field.name: to_json(column) for field, column in fields})
        text = pc.if_else(values.is_valid(), text, None)
    elif pa.types.is_list(dtype):
        items = relist(values, to_json(values.flatten()))
        text = join("[", pc.binary_join(items, ","), "]")
    elif pa.types.is_string(dtype):
        texts = (each if each is None else _escape(each) for each in values.to_pylist())
        text = pa.array(texts, pa.string())
    else:
        text = values.cast(pa.string())
    return text.fill_null("null")


def join_members(members: dict[str, pa.StringArray]) -> pa.StringArray:
    """Returns objects with these members, (n,) texts.

    Args:
        members: (n,) values in JSON by name.
    """
    parts: list[pa.Array | str] = []
    for name, values in members.items():
        parts += [f"{',' if parts else '{'}{_escape(name)}:", values]
    return join(*parts, "}")
