"""What kinds declare fits together, so that a mistake in a new one is found here."""

import pyarrow as pa
import pytest

from transforms.kinds import names
from transforms.kinds.kind import Kind
from transforms.kinds.registry import (
    ANNOTATION_COLUMNS,
    ANNOTATIONS,
    EXAMPLE,
    SMALL_FILES,
    TABLES,
    VOCABULARY,
)

KINDS = pytest.mark.parametrize("kind", TABLES.values(), ids=TABLES)


def leaves(name: str, dtype: pa.DataType) -> set[str]:
    if pa.types.is_list(dtype):
        return leaves(name, dtype.value_type)
    if pa.types.is_struct(dtype):
        return set().union(*(leaves(field.name, field.type) for field in dtype))
    return {name}


def test_kinds_go_by_their_names():
    assert [*TABLES, *SMALL_FILES] == [*names.KINDS]
    assert len({*names.KINDS}) == len(names.KINDS)
    for name, kind in {**TABLES, **SMALL_FILES}.items():
        assert kind.name == name


def test_each_kind_of_annotation_has_a_column():
    assert len(ANNOTATIONS) == len(TABLES) - 1  # images have columns of the frame
    columns = [name for name in EXAMPLE.names if name in ANNOTATIONS]
    assert columns == [*ANNOTATIONS] == [*ANNOTATION_COLUMNS]
    for name, dtype in ANNOTATION_COLUMNS.items():
        assert EXAMPLE.field(name).type == pa.list_(dtype)


@KINDS
def test_fields_are_those_of_a_row(kind: Kind):
    fields = {field.name: field.type for field in kind.row}
    assert {*kind.identity, *kind.labels, *kind.coded} <= fields.keys()
    assert all(fields[name] == pa.string() for name in (*kind.labels, *kind.coded))
    assert {*kind.free_texts} <= kind.types.keys()
    assert {*kind.aliases.values()} <= kind.types.keys()
    assert bool(kind.identity) == (kind.name != "images")


@KINDS
def test_columns_are_those_of_examples(kind: Kind):
    assert {*kind.other_columns} <= {*EXAMPLE.names}
    element = kind.element or kind.row
    known = {*EXAMPLE.names} if kind.name == "images" else leaves("", element)
    assert {*kind.few_values} <= known


def test_a_kind_of_annotation_file_has_one_header():
    for kind in VOCABULARY.values():
        headers = [[*table.types] for table in TABLES.values()]
        assert not any(kind.matches(header) for header in headers)
