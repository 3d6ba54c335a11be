"""Parquet and Arrow files as predictions: tables of detections with columns by name."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.dataset.keys import image_keys
from transforms.evaluation.errors import PredictionsError
from transforms.evaluation.kinds.rows import CORNERS, DETECTION
from transforms.evaluation.label_map import LabelMap
from transforms.kinds.parsing.table import fold, struct_array
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

NAME, IN_PIXELS = "detection_table", "detection_table_in_pixels"
#: What columns may be called, case and underscores apart.
COLUMNS: Mapping[str, Sequence[str]] = {
    "image_id": ("image_id", "image"),
    "label": ("label_name", "label", "class", "category", "category_id", "class_id"),
    "score": ("score", "confidence", "conf"),
    "xmin": ("xmin", "x1", "left"),
    "xmax": ("xmax", "x2", "right"),
    "ymin": ("ymin", "y1", "top"),
    "ymax": ("ymax", "y2", "bottom"),
}
_PARQUET, _ARROW = b"PAR1", b"ARROW1"
#: A coordinate above this is in pixels.
_MOST = 1.5


@dataclasses.dataclass(frozen=True)
class Unit:
    """A piece of a file that is read at once.

    Attributes:
        source: the index of the file.
        path: of the file.
        number: of the row group or record batch.
    """

    source: int
    path: str
    number: int


def matches(head: bytes) -> bool:
    """Returns whether a file's first bytes are those of Parquet or Arrow."""
    return head.startswith((_PARQUET, _ARROW))


def units(source: int, path: str, options: ObjectOptions) -> list[Unit]:
    """Returns the pieces of a file."""
    with files.open_file(path, options) as file:
        if file.read(4) == _PARQUET:
            count = pq.ParquetFile(file).num_row_groups
        else:
            count = pa.ipc.open_file(file).num_record_batches
    return [Unit(source, path, number) for number in range(count)]


def are_in_pixels(path: str, options: ObjectOptions) -> bool:
    """Returns whether the coordinates in a file are in pixels, by its first rows.

    Raises:
        PredictionsError: It lacks columns.
    """
    table = _read(Unit(0, path, 0), options) if units(0, path, options) else None
    if table is None:
        return False
    corners = [_numbers(table[name]) for name in CORNERS]
    return bool(np.nanmax(np.concatenate([[0.0], *corners])) > _MOST)


def read(
    unit: Unit, labels: LabelMap, options: ObjectOptions
) -> Iterator[tuple[pa.RecordBatch, int, int]]:
    """Yields the detections of a piece, with how many rows there were and were bad.

    Raises:
        PredictionsError: It lacks columns.
    """
    table = _read(unit, options)
    keys, sound = image_keys(table["image_id"].cast(pa.string()).fill_null(""))
    columns = {name: _numbers(table[name]) for name in ("score", *CORNERS)}
    sound &= np.isfinite(np.stack(list(columns.values()))).all(axis=0)
    sound &= np.asarray(table["label"].is_valid())
    value = struct_array(
        DETECTION,
        {
            "label": labels.to_labels(table["label"]),
            **{name: pa.array(values) for name, values in columns.items()},
        },
        table.num_rows,
    )
    rows = pa.record_batch({"key": keys, "value": value})
    yield rows.filter(pa.array(sound)), len(sound), int((~sound).sum())


def _read(unit: Unit, options: ObjectOptions) -> pa.RecordBatch:
    """Returns the rows of a piece, with the columns of `COLUMNS`."""
    with files.open_file(unit.path, options) as file:
        if file.read(4) == _PARQUET:
            table = pq.ParquetFile(file).read_row_group(unit.number)
        else:
            table = pa.Table.from_batches([pa.ipc.open_file(file).get_batch(unit.number)])
    given = {fold(name): name for name in reversed(table.column_names)}
    chosen = {
        name: next((given[fold(each)] for each in accepted if fold(each) in given), None)
        for name, accepted in COLUMNS.items()
    }
    if missing := [name for name, column in chosen.items() if column is None]:
        raise PredictionsError(
            f"{unit.path} has no column {missing[0]} (or {', '.join(COLUMNS[missing[0]][1:])})"
        )
    plain = {name: table[column].combine_chunks() for name, column in chosen.items()}
    decoded = {
        name: each.dictionary_decode() if pa.types.is_dictionary(each.type) else each
        for name, each in plain.items()
    }
    return pa.record_batch(decoded)


def _numbers(column: pa.Array) -> np.ndarray:
    return column.cast(pa.float64()).fill_null(float("nan")).to_numpy(zero_copy_only=False)
