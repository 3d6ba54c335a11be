"""JSON of Arrow arrays by Arrow's kernels, a field at a time: no row becomes Python objects.

A null is `null`, a struct an object with all of its fields, a list an array. Bytes are text, and
those of recordings base64. A float32 has the fewest digits by which it is told from others, and a
point or an exponent.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from transforms.dataset.elements import in_one_piece, relist
from transforms.dataset.schema import VOICE
from transforms.dataset.texts import join
from transforms.formats.format import FormatError

_ESCAPES = {"\\": "\\\\", '"': '\\"'}
_CONTROLS = {chr(code): f"\\u{code:04x}" for code in range(0x20)}


def encode(values: pa.Array) -> pa.StringArray:
    """Returns the JSON of values: (n,) texts without line breaks.

    Args:
        values: (n,) of any type of `EXAMPLE`; texts may be dictionaries. Bytes are UTF-8, but for
            recordings.

    Raises:
        pa.ArrowInvalid: Texts of a field exceed 2 GiB; encode fewer rows at a time.
    """
    dtype = values.type
    if values.null_count == len(values):  # as most columns are; their leaves cost as much as others
        return pa.repeat("null", len(values))
    if pa.types.is_dictionary(dtype):
        texts = encode(values.dictionary).take(values.indices)
    elif pa.types.is_struct(dtype):
        fields = dict(zip(dtype.names, values.flatten(), strict=True))
        if dtype == VOICE:
            fields["bytes"] = _by_value(fields["bytes"], base64.b64encode).cast(pa.string())
        texts = _where_valid(values, encode_objects(fields))
    elif pa.types.is_list(dtype):
        elements = pc.binary_join(relist(values, encode(values.flatten())), ",")
        texts = join("[", elements, "]")
    elif pa.types.is_string(dtype) or pa.types.is_binary(dtype):
        texts = strings(values.cast(pa.string()))
    elif pa.types.is_floating(dtype):
        texts = _encode_floats(values)
    else:
        texts = values.cast(pa.string())
    return texts.fill_null("null")


def encode_objects(columns: Mapping[str, pa.Array]) -> pa.StringArray:
    """Returns objects with all of these members: (n,) texts without line breaks.

    Args:
        columns: (n,) values by name, as of `encode`; at least one.
    """
    pieces: list[str | pa.Array] = []
    for name, column in columns.items():
        pieces += [f"{',' if pieces else '{'}{json.dumps(name)}:", encode(column)]
    return join(*pieces, "}")


def numbers(values: np.ndarray | pa.Array) -> pa.StringArray:
    """Returns (n,) numbers, float32 as short as they can be told from others; null where they
    are."""
    return pa.array(values).cast(pa.string())


def strings(values: pa.Array) -> pa.StringArray:
    """Returns (n,) texts, plain or as a dictionary, in quotes and escaped; null where they are."""
    if pa.types.is_dictionary(values.type):
        return strings(values.dictionary).take(values.indices)
    return join('"', _escape(values), '"')


def lists(values: pa.StringArray, offsets: np.ndarray) -> pa.StringArray:
    """Returns (n,) lists.

    Args:
        values: (m,) JSON values.
        offsets: (n + 1,) int64; list i has those from `offsets[i]` up to `offsets[i + 1]`.
    """
    texts = pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), values)
    return join("[", pc.binary_join(texts, ","), "]")


def members(values: Mapping[str, pa.StringArray]) -> pa.StringArray:
    """Returns the members of objects, without the braces.

    Args:
        values: (n,) JSON values by name, at least one; an object lacks those that are null.
    """
    texts = [join(f",{json.dumps(name)}:", each).fill_null("") for name, each in values.items()]
    return pc.utf8_slice_codeunits(join(*texts), 1)


def objects(values: Mapping[str, pa.StringArray]) -> pa.StringArray:
    """Returns objects; see `members`."""
    return join("{", members(values), "}")


def decode(lines: Sequence[bytes], schema: pa.Schema) -> pa.Table:
    """Returns the rows of objects; members that an object lacks are null.

    Args:
        lines: an object each, without line breaks.
        schema: of the rows.

    Raises:
        FormatError: One of them isn't an object of that schema.
    """
    data = b"\n".join(lines)
    try:
        found = pj.read_json(
            pa.BufferReader(data),
            pj.ReadOptions(use_threads=False, block_size=len(data) + 1),
            pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise FormatError(str(error).partition("\n")[0]) from None
    if len(found) != len(lines):
        raise FormatError("has an example that is no JSON object")
    for place, field in enumerate(found.schema):
        if _holds_recordings(field.type):
            column = _decode_recordings(in_one_piece(found[field.name]))
            found = found.set_column(place, field, column)
    return found


def _holds_recordings(dtype: pa.DataType) -> bool:
    if pa.types.is_list(dtype):
        return _holds_recordings(dtype.value_type)
    return dtype == VOICE or (
        pa.types.is_struct(dtype) and any(_holds_recordings(field.type) for field in dtype)
    )


def _decode_recordings(values: pa.Array) -> pa.Array:
    """Returns values with the bytes of recordings, of such with base64 in place of these."""
    dtype = values.type
    if not _holds_recordings(dtype):
        return values
    if pa.types.is_list(dtype):
        return relist(values, _decode_recordings(values.flatten()))
    if dtype == VOICE:
        data, path = values.flatten()
        try:
            fields = [_by_value(data, partial(base64.b64decode, validate=True)), path]
        except ValueError as error:
            raise FormatError(f"has a recording that is no base64: {error}") from None
    else:
        fields = [_decode_recordings(field) for field in values.flatten()]
    return pa.StructArray.from_arrays(fields, fields=list(dtype), mask=values.is_null())


def _by_value(values: pa.Array, function: Callable[[bytes], bytes]) -> pa.Array:
    """Returns what a function makes of each value; null stays null."""
    found = (None if value is None else function(value) for value in values.to_pylist())
    return pa.array(found, values.type)


def _where_valid(values: pa.Array, texts: pa.Array) -> pa.Array:
    return pc.if_else(values.is_valid(), texts, None) if values.null_count else texts


def _escape(texts: pa.Array) -> pa.Array:
    controls = pc.any(pc.match_substring_regex(texts, "[\\x00-\\x1f]")).as_py()
    for plain, escaped in (_ESCAPES | _CONTROLS if controls else _ESCAPES).items():
        texts = pc.replace_substring(texts, plain, escaped)
    return texts


def _encode_floats(values: pa.Array) -> pa.Array:
    texts = values.cast(pa.string())
    is_whole = pc.equal(values, pc.trunc(values))
    if not pc.any(is_whole).as_py():
        return texts
    # Else a reader takes them for integers, and -0 for 0.
    is_whole = pc.and_(is_whole, pc.invert(pc.match_substring(texts, "e")))
    return pc.if_else(is_whole, join(texts, ".0"), texts)
