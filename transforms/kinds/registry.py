"""Every kind of annotation file, and what follows from all of them.

`names` has the list.
"""

import importlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.schema import MAP_COLUMNS, example_schema
from transforms.kinds import names
from transforms.kinds.images import IMAGE_FIELDS, IMAGES
from transforms.kinds.kind import Kind
from transforms.kinds.vocabulary import SmallFileKind, UnusedKind, VocabularyKind


def _load(kinds: Iterable[str]) -> Mapping[str, Any]:
    """Returns the objects of kinds, by name."""
    modules = {name: importlib.import_module(f"transforms.kinds.{name}") for name in kinds}
    return MappingProxyType(
        {name: getattr(module, name.upper()) for name, module in modules.items()}
    )


#: The kinds of tables, by name.
TABLES: Mapping[str, Kind] = _load(names.TABLES)

#: The kinds of small files, by name: the vocabulary, those that aren't used, and both.
VOCABULARY: Mapping[str, VocabularyKind] = _load(names.VOCABULARY)
UNUSED: Mapping[str, UnusedKind] = _load(names.UNUSED)
SMALL_FILES: Mapping[str, SmallFileKind] = MappingProxyType({**VOCABULARY, **UNUSED})

#: The kinds whose rows are annotations, by the column of an example that holds them.
ANNOTATIONS: Mapping[str, Kind] = MappingProxyType(
    {kind.column: kind for kind in TABLES.values() if kind is not IMAGES}
)

#: Columns of annotations, with the type of an element of their lists.
ANNOTATION_COLUMNS: Mapping[str, pa.StructType] = MappingProxyType(
    {column: kind.element or kind.row for column, kind in ANNOTATIONS.items()}
)

#: The columns of an example.
EXAMPLE = example_schema(IMAGE_FIELDS, ANNOTATION_COLUMNS)


def tables() -> Mapping[str, Kind]:
    """Returns `TABLES`: a function, unlike what it returns, can be sent to workers by its name."""
    return TABLES


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
