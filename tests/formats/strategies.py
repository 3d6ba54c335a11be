"""Random tables of examples."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from transforms.kinds.registry import EXAMPLE


def values(dtype: pa.DataType) -> st.SearchStrategy:
    """Values of an Arrow type, None among them at every level."""
    if pa.types.is_list(dtype):
        strategy = st.lists(values(dtype.value_type), max_size=3)
    elif pa.types.is_struct(dtype):
        strategy = st.fixed_dictionaries({field.name: values(field.type) for field in dtype})
    elif pa.types.is_floating(dtype):
        strategy = st.floats(width=32, allow_nan=False)
    elif pa.types.is_integer(dtype):
        half = 1 << dtype.bit_width - 1
        strategy = st.integers(-half, half - 1) | st.sampled_from([-1, 0, 1, 127, -half, half - 1])
    elif pa.types.is_string(dtype):
        strategy = st.text(max_size=20)
    else:
        strategy = st.binary(max_size=300)
    return st.none() | strategy


@st.composite
def rows_and_columns(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[str]]:
    """Some rows, null but for up to four columns, and the names of these columns."""
    names = draw(st.lists(st.sampled_from(EXAMPLE.names), unique=True, min_size=1, max_size=4))
    row = st.fixed_dictionaries({name: values(EXAMPLE.field(name).type) for name in names})
    return draw(st.lists(row, max_size=6)), names


@st.composite
def tables(draw: st.DrawFn, rows: Sequence[dict[str, Any]]) -> pa.Table:
    """A table of these rows: in some chunks, each a slice of a longer array."""
    borders = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    chunks = []
    for start, stop in zip([0, *borders], [*borders, len(rows)], strict=True):
        before, after = draw(st.integers(0, len(rows))), draw(st.integers(0, len(rows)))
        longer = [*rows[:before], *rows[start:stop], *rows[after:]]
        chunk = pa.Table.from_pylist(longer, schema=EXAMPLE)
        chunks.append(chunk.slice(before, stop - start))
    return pa.concat_tables(chunks)
