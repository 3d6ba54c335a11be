"""Turning annotations together with their pictures.

Coordinates are known by the names of a struct's fields: `x` and `y` are a point; `xmin`, `xmax`,
`ymin` and `ymax`, or those with a 1 or a 2, a box. So a new kind of annotation needs no code here.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import in_one_piece, relist
from transforms.kinds.registry import ANNOTATION_COLUMNS

# Left, right, top and bottom; a point is a box without extent.
_BOXES = [
    ("x", "x", "y", "y"),
    *(tuple(f"{edge}{i}" for edge in ("xmin", "xmax", "ymin", "ymax")) for i in ("", "1", "2")),
]


def turn_annotations(table: pa.Table, rotation: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Turns the annotations of n images counter-clockwise, each by its own angle.

    A point (x, y) of an image that is turned by 90 degrees comes to (y, 1 - x). Boxes stay ordered,
    minimum before maximum. The column `rotation` isn't touched.

    Args:
        table: n rows with any of the columns `ANNOTATION_COLUMNS`, of examples or as joined.
        rotation: (n,) integers: 0, 90, 180, 270; null, unknown, turns nothing.

    Returns:
        The table with these columns turned.
    """
    degrees = rotation.fill_null(0).to_numpy(zero_copy_only=False)
    turns = degrees.astype(np.int64) // 90 % 4
    if not turns.any():
        return table
    for i, name in enumerate(table.column_names):
        if name in ANNOTATION_COLUMNS:
            turned = _turn(in_one_piece(table[name]), turns)
            table = table.set_column(i, table.schema.field(name), turned)
    return table


def _turn(array: pa.Array, turns: np.ndarray) -> pa.Array:
    """Turns all coordinates in (n,) values by (n,) quarters of a full turn."""
    if pa.types.is_list(array.type):
        lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        return relist(array, _turn(array.flatten(), np.repeat(turns, lengths)))
    if not pa.types.is_struct(array.type):
        return array
    names = [field.name for field in array.type]
    fields = {name: _turn(field, turns) for name, field in zip(names, array.flatten(), strict=True)}
    for box in _BOXES:
        if box[0] in fields:
            turned = _turn_boxes([fields[name] for name in box], turns)
            fields.update(zip(box, turned, strict=True))
    absent = array.is_null() if array.null_count else None
    return pa.StructArray.from_arrays(list(fields.values()), fields=list(array.type), mask=absent)


def _turn_boxes(box: Sequence[pa.Array], turns: np.ndarray) -> list[pa.Array]:
    """Turns left, right, top and bottom, (n,) each, by (n,) quarters of a full turn."""
    left, right, top, bottom = box
    one = pa.scalar(1, left.type)
    from_right, from_left, from_bottom, from_top = (
        pc.subtract(one, edge) for edge in (right, left, bottom, top)
    )
    edges = [
        (left, top, from_right, from_bottom),
        (right, bottom, from_left, from_top),
        (top, from_right, from_bottom, left),
        (bottom, from_left, from_top, right),
    ]
    return [pc.choose(pa.array(turns), *by_turns) for by_turns in edges]
