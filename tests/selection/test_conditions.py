"""Conditions on rows, one by one, as Python would decide them."""

import operator
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from open_images.building.class_names import ClassNames
from open_images.building.parse_conditions import parse_condition
from transforms.selection.conditions import OPERATORS, Condition

ROW = pa.struct(
    {
        "label": pa.string(),
        "source": pa.string(),
        "confidence": pa.float32(),
        "votes": pa.int32(),
        "size": pa.int64(),
        "is_group_of": pa.int8(),
        **dict.fromkeys(("xmin", "xmax", "ymin", "ymax"), pa.float32()),
    }
)
TEXTS = st.sampled_from(("xclick", "XClick", "activemil", "", "click")) | st.none()
NUMBERS = st.sampled_from((0.0, 0.1, 0.25, 0.7, 1.0)) | st.none()
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "label": TEXTS,
    "source": TEXTS,
    "confidence": NUMBERS,
    "votes": st.integers(-2, 3) | st.none(),
    "is_group_of": st.sampled_from((-1, 0, 1, None)),
    **dict.fromkeys(("xmin", "xmax", "ymin", "ymax"), NUMBERS),
}
ROWS = st.lists(st.fixed_dictionaries(VALUES), max_size=12)
PLAIN = {"=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt}
PLAIN[">="] = operator.ge
NEGATED = {"!=": "=", "not in": "in", "!~": "~"}
TEXT_OPERATORS = ("=", "!=", "in", "not in", "~", "!~")


def _holds(row: dict, field: str, name: str, values: tuple) -> bool:
    if name in NEGATED:
        return not _holds(row, field, NEGATED[name], values)
    if field in ("width", "height", "area"):
        wide, high = ("xmax", "xmin"), ("ymax", "ymin")
        sides = {"width": [wide], "height": [high], "area": [wide, high]}[field]
        value: Any = 1.0
        for upper, lower in sides:
            if row[upper] is None or row[lower] is None:
                return False
            value *= float(np.float32(row[upper])) - float(np.float32(row[lower]))
    else:
        value = row[field]
    if value is None or (field == "is_group_of" and value == -1 and -1 not in values):
        return False
    if isinstance(value, str):
        some = [text.lower() for text in values]
        return any(text in value.lower() for text in some) if name == "~" else value.lower() in some
    if field == "confidence":
        value, values = np.float32(value), tuple(np.float32(each) for each in values)
    return value in values if name == "in" else PLAIN[name](value, values[0])


@st.composite
def _conditions(draw: st.DrawFn) -> Condition:
    field = draw(st.sampled_from([*VALUES, "width", "height", "area"]))
    if field in ("label", "source"):
        name = draw(st.sampled_from(TEXT_OPERATORS))
        values = st.sampled_from(("xclick", "CLICK", "ACTIVEMIL", "mil"))
    else:
        name = draw(st.sampled_from([each for each in OPERATORS if "~" not in each]))
        values = st.sampled_from((-1.0, 0.0, 0.1, 0.7, 1.0, 0.0625))
    several = draw(st.lists(values, min_size=1, max_size=3 if "in" in name else 1))
    return Condition("boxes", field, name, tuple(several), "")


@given(ROWS, _conditions(), st.booleans())
def test_each_row_by_itself(rows: list[dict], condition: Condition, coded: bool) -> None:
    values = pa.array(rows, ROW)
    if coded:
        arrays = [
            each.dictionary_encode() if pa.types.is_string(each.type) else each
            for each in values.flatten()
        ]
        values = pa.StructArray.from_arrays(arrays, ROW.names)
    expected = [_holds(row, condition.field, condition.operator, condition.values) for row in rows]
    assert condition.mask(values).tolist() == expected


def test_what_is_not_known_holds_only_what_negates() -> None:
    """`= 1` and `= 0` exclude it, `!= 1` includes it."""
    rows = pa.array([{"is_group_of": flag} for flag in (-1, 0, 1, None)], ROW)
    names = ClassNames([])
    found = {
        text: parse_condition("where", f"boxes.is_group_of {text}", names).mask(rows).tolist()
        for text in ("= 1", "= 0", "!= 1", ">= 0", "= -1", "in (0, 1)", "not in (0, 1)")
    }
    assert found == {
        "= 1": [False, False, True, False],
        "= 0": [False, True, False, False],
        "!= 1": [True, True, False, True],
        ">= 0": [False, True, True, False],
        "= -1": [True, False, False, False],
        "in (0, 1)": [False, True, True, False],
        "not in (0, 1)": [True, False, False, True],
    }


def test_numbers_of_any_size() -> None:
    sizes = pa.array([{"size": 2**53 + 1, "confidence": 0.5}, {"size": None}], ROW)
    conditions = {("size", ">"): 2.0**52, ("confidence", "<"): 1e300}
    found = {
        each: Condition("images", *each, (value,), "").mask(sizes).tolist()
        for each, value in conditions.items()
    }
    assert list(found.values()) == 2 * [[True, False]]


TRIPLETS = st.tuples(*3 * [st.sampled_from(("/m/a", "/m/b", "holds"))])
SOME = st.lists(st.sampled_from(("/m/a", "holds")), max_size=2)


@given(st.lists(TRIPLETS, max_size=8), SOME, SOME, SOME, st.sampled_from(("=", "!=")))
def test_triplets(
    rows: list[tuple], first: list[str], relation: list[str], second: list[str], name: str
) -> None:
    names = ("label1", "relationship", "label2")
    values = pa.array(
        [dict(zip(names, row, strict=True)) for row in rows],
        pa.struct(dict.fromkeys(names, pa.string())),
    )
    wanted = tuple(map(tuple, map(dict.fromkeys, (first, relation, second))))
    condition = Condition("relationships", "", name, wanted, "")
    equal = [
        all(not some or value in some for value, some in zip(row, wanted, strict=True))
        for row in rows
    ]
    assert condition.mask(values).tolist() == [each == (name == "=") for each in equal]
