"""JSON of Arrow arrays: what is written is read back, by Arrow and by Python."""

import base64
import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.formats.strategies import values
from transforms.formats import json_text
from transforms.formats.format import FormatError
from transforms.kinds.registry import EXAMPLE

#: All columns that hold neither bytes, which need not be text, nor numbers that JSON hasn't.
COLUMNS = [
    name for name in EXAMPLE.names if name not in ("image", "masks", "instance_map", "semantic_map")
]


def is_json(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(map(is_json, parts))


@given(st.data())
def test_any_values_are_read_back(data: st.DataObject):
    name = data.draw(st.sampled_from(COLUMNS))
    schema = pa.schema([EXAMPLE.field(name)])
    column = st.lists(values(schema.field(name).type).filter(is_json), min_size=1, max_size=5)
    before, rows = data.draw(column), data.draw(column)
    array = pa.array([*before, *rows], schema.field(name).type).slice(len(before))
    lines = [line.encode() for line in json_text.encode_objects({name: array}).to_pylist()]
    assert json_text.decode(lines, schema)[name].combine_chunks().equals(array)
    for line, row in zip(lines, pa.table({name: array}).to_pylist(), strict=True):
        assert as_float32(json.loads(line)) == with_base64(row)


def with_base64(value: object) -> object:
    """Replaces bytes, which are those of recordings."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {name: with_base64(each) for name, each in value.items()}
    return list(map(with_base64, value)) if isinstance(value, list) else value


@pytest.mark.parametrize("data", [b"OggS\xff\0", b"", None])
def test_recordings_are_base64(data: bytes | None):
    schema = pa.schema([EXAMPLE.field("narratives")])
    rows = [[{"caption": "a", "voice": {"bytes": data, "path": "a.ogg"}}, {"caption": "b"}], None]
    array = pa.array(rows, schema.field(0).type)
    lines = [each.encode() for each in json_text.encode_objects({"narratives": array}).to_pylist()]
    (voice, none) = (each["voice"] for each in json.loads(lines[0])["narratives"])
    assert voice == {"bytes": with_base64(data), "path": "a.ogg"}
    assert none is None
    assert json_text.decode(lines, schema)["narratives"].combine_chunks().equals(array)


def test_a_recording_that_is_no_base64_is_told():
    line = b'{"narratives": [{"voice": {"bytes": "OggS!", "path": "a.ogg"}}]}'
    with pytest.raises(FormatError, match="no base64"):
        json_text.decode([line], pa.schema([EXAMPLE.field("narratives")]))


def as_float32(value: object) -> object:
    """Rounds all numbers with a point to float32, as columns are."""
    if isinstance(value, float):
        return float(np.float32(value))
    if isinstance(value, dict):
        return {key: as_float32(each) for key, each in value.items()}
    return [as_float32(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0125, "0.0125"),
        (1.0, "1.0"),  # which a reader shall not take for an integer
        (-0.0, "-0.0"),
        (1e15, "1e+15"),
        (123456790.0, "123456790.0"),
        (1e-7, "1e-7"),
        (None, "null"),
    ],
)
def test_floats_have_no_digit_too_many(value: float | None, text: str):
    (found,) = json_text.encode(pa.array([value], pa.float32())).to_pylist()
    assert found == text


def test_texts_that_are_dictionaries_are_written_alike():
    texts = pa.array(["b", None, 'a"\\\n\x00é\u2028', "b"])
    assert json_text.encode(texts.dictionary_encode()).equals(json_text.encode(texts))
    assert [json.loads(each) for each in json_text.encode(texts).to_pylist()] == texts.to_pylist()


def test_all_null_and_no_rows():
    assert json_text.encode(pa.nulls(2, EXAMPLE.field("bboxes").type)).to_pylist() == ["null"] * 2
    assert json_text.encode(pa.array([], EXAMPLE.field("bboxes").type)).to_pylist() == []


@pytest.mark.parametrize("line", [b"", b"[]", b"5", b"{", b'{"other": 1}', b'{"width": "x"}'])
def test_other_lines_are_refused(line: bytes):
    with pytest.raises(FormatError):
        json_text.decode([b'{"width": 1}', line], pa.schema([EXAMPLE.field("width")]))
