"""Schemas as text: a manifest records them, and `verify` holds the version against them.

>>> describe(pa.schema({"size": pa.list_(pa.int32())}))
{'size': 'list<int32>'}
"""

import hashlib
from collections.abc import Iterator, Mapping

import pyarrow as pa

from transforms.formats.format import FormatError

_CHECKSUM = "sha256 "


def describe(schema: pa.Schema) -> dict[str, str]:
    """Returns the columns of a schema and their types, and the checksum of each metadata entry."""
    metadata = {
        key.decode(): _CHECKSUM + hashlib.sha256(value).hexdigest()
        for key, value in sorted((schema.metadata or {}).items())
    }
    return {field.name: _type_name(field.type) for field in schema} | metadata


def parse(described: Mapping[str, str]) -> pa.Schema:
    """Returns the schema of described columns, without metadata.

    Raises:
        FormatError: A type's text can't be parsed.

    >>> parse({"size": "list<int32>"}).field("size").type == pa.list_(pa.int32())
    True
    """
    try:
        return pa.schema({name: _parse_type(text) for name, text in columns_of(described).items()})
    except (ValueError, RecursionError) as error:
        raise FormatError(f"its version records columns that are none: {error}") from None


def columns_of(described: Mapping[str, str]) -> dict[str, str]:
    """Returns the columns alone."""
    return {name: text for name, text in described.items() if not text.startswith(_CHECKSUM)}


def check(schema: pa.Schema, recorded: Mapping[str, str]) -> None:
    """Checks the schema of a shard against the one that its version records.

    Raises:
        FormatError: They differ.
    """
    found = describe(schema)
    if [*found.items()] == [*recorded.items()]:
        return
    for name, text in columns_of(recorded).items():
        if name not in found:
            raise FormatError(f"lacks the column {name}")
        if found[name] != text:
            raise FormatError(f"the column {name} is {found[name]}")
    raise FormatError("its columns, or what is said of them, aren't those that its version records")


def leaves(dtype: pa.DataType, path: str = "") -> Iterator[tuple[str, pa.DataType]]:
    """Yields the path of each leaf of a type, as Parquet names it, and its type."""
    if pa.types.is_struct(dtype):
        for field in dtype:
            yield from leaves(field.type, f"{path}.{field.name}" if path else field.name)
    elif pa.types.is_list(dtype):
        yield from leaves(dtype.value_type, f"{path}.list.element")
    else:
        yield path, dtype


def _type_name(dtype: pa.DataType) -> str:
    """Returns an Arrow type as text, without the names of lists' elements, which vary."""
    if pa.types.is_list(dtype):
        return f"list<{_type_name(dtype.value_type)}>"
    if pa.types.is_struct(dtype):
        return f"struct<{', '.join(f'{field.name}: {_type_name(field.type)}' for field in dtype)}>"
    return str(dtype)


def _parse_type(text: str) -> pa.DataType:
    kind, _, inner = text.removesuffix(">").partition("<")
    if kind == "list":
        return pa.list_(_parse_type(inner))
    if kind == "struct":
        fields = (field.partition(": ") for field in _split(inner))
        return pa.struct([(name, _parse_type(dtype)) for name, _, dtype in fields])
    return pa.type_for_alias(text)


def _split(fields: str) -> Iterator[str]:
    """Yields the fields of a struct, which may be structs themselves."""
    field = ""
    for piece in fields.split(", "):
        field = f"{field}, {piece}" if field else piece
        if field.count("<") == field.count(">"):
            yield field
            field = ""
