"""Levels, against a walk over Python objects as the Dremel paper describes it."""

from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.formats.parquet.levels import leaves

TYPES = st.recursive(
    st.just(pa.int32()),
    lambda inner: st.one_of(
        inner.map(pa.list_),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda types: pa.struct([(f"f{n}", dtype) for n, dtype in enumerate(types)])
        ),
    ),
    max_leaves=4,
)


def _values(dtype: pa.DataType) -> st.SearchStrategy:
    if pa.types.is_list(dtype):
        some = st.lists(_values(dtype.value_type), max_size=3)
    elif pa.types.is_struct(dtype):
        some = st.fixed_dictionaries({field.name: _values(field.type) for field in dtype})
    else:
        some = st.integers(0, 9)
    return st.none() | some


def _walk(value: Any, dtype: pa.DataType, place: tuple[int, int, int], out: list) -> int:
    """Appends (repetition, definition, value) to the list of each leaf; the number of leaves.

    `place` has the repetition level of what comes next, the definition level so far, and how many
    lists are around.
    """
    repetition, definition, lists = place
    deeper = definition + (value is not None)
    if pa.types.is_list(dtype):
        first = (repetition, deeper + bool(value), lists + 1)
        leaves = _walk(value[0] if value else None, dtype.value_type, first, out)
        for element in (value or [])[1:]:
            _walk(element, dtype.value_type, (lists + 1, deeper + 1, lists + 1), out)
        return leaves
    if pa.types.is_struct(dtype):
        at = 0
        for field in dtype:
            inner = None if value is None else value[field.name]
            at += _walk(inner, field.type, (repetition, deeper, lists), out[at:])
        return at
    out[0].append((repetition, deeper, value))
    return 1


@settings(deadline=None, max_examples=300)
@given(data=st.data(), dtype=TYPES, start=st.integers(0, 2))
def test_levels_and_values(data: st.DataObject, dtype: pa.DataType, start: int) -> None:
    rows = data.draw(st.lists(_values(dtype), min_size=1, max_size=6))
    found = list(leaves("column", pa.array(rows, dtype)[start:]))
    expected: list[list] = [[] for _ in found]
    for row in rows[start:]:
        assert _walk(row, dtype, (0, 0, 0), expected) == len(found)
    for leaf, slots in zip(found, expected, strict=True):
        repetition, definition, values = zip(*slots, strict=True) if slots else ((), (), ())
        assert leaf.slots.definition.tolist() == list(definition)
        if leaf.slots.repetition is None:
            assert not any(repetition)
        else:
            assert leaf.slots.repetition.tolist() == list(repetition)
        assert leaf.values.to_pylist() == [value for value in values if value is not None]


def test_paths_and_depths() -> None:
    boxes = pa.list_(pa.struct({"label": pa.string(), "points": pa.list_(pa.float32())}))
    found = [
        (".".join(leaf.path), leaf.slots.max_definition, leaf.slots.max_repetition)
        for leaf in leaves("boxes", pa.array([None], boxes))
    ]
    assert found == [
        ("boxes.list.element.label", 4, 1),
        ("boxes.list.element.points.list.element", 6, 2),
    ]


def test_fields_side_by_side_share_their_levels() -> None:
    pairs = pa.array([[{"a": 1, "b": 2, "c": None}], []])
    a, b, c = (leaf.slots for leaf in leaves("pairs", pairs))
    assert a is b
    assert c.repetition is a.repetition
    assert c.definition.tolist() == [3, 1]
