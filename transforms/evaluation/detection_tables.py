"""Parquet and Arrow files as predictions: tables of detections with columns by name."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.dataset.elements import Source
from transforms.dataset.keys import read_image_ids
from transforms.evaluation.errors import PredictionsError
from transforms.evaluation.file_ranges import FileRange, ReadRows
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


def matches(head: bytes) -> bool:
    """Returns whether a file's first bytes are those of Parquet or Arrow."""
    return head.startswith((_PARQUET, _ARROW))


def file_ranges(source: Source, size: int, options: ObjectOptions) -> list[FileRange]:
    """Returns row groups, or record batches."""
    count = _count_groups(source.path, options)
    return [FileRange(source.index, number, number + 1) for number in range(count)]


def are_in_pixels(path: str, options: ObjectOptions) -> bool:
    """Returns whether the coordinates in a file are in pixels, by its first rows.

    Raises:
        PredictionsError: It lacks columns.
    """
    if not _count_groups(path, options):
        return False
    table = _read(path, 0, options)
    corners = [_numbers(table[name], f"{path}: {name}") for name in CORNERS]
    return bool(np.nanmax(np.concatenate([[0.0], *corners])) > _MOST)


def read(
    source: Source, file_range: FileRange, labels: LabelMap, options: ObjectOptions
) -> Iterator[ReadRows]:
    """Yields the detections of a row group or record batch; see `Layout.read`."""
    with _explained(f"{source.shown_name} can't be read"):
        detections = _detections(source, _read(source.path, file_range.start, options), labels)
    yield detections


def _detections(source: Source, table: pa.RecordBatch, labels: LabelMap) -> ReadRows:
    ids = table["image_id"].cast(pa.string()).fill_null("")
    _, keys, sound = read_image_ids(ids)
    columns = {
        name: _numbers(table[name], f"{source.shown_name}: {name}") for name in ("score", *CORNERS)
    }
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
    return ReadRows(rows.filter(pa.array(sound)), len(sound), int((~sound).sum()))


def _count_groups(path: str, options: ObjectOptions) -> int:
    damaged = f"{path}: it is cut or damaged"
    with _explained(damaged), files.open_file(path, options) as file:
        if file.read(4) == _PARQUET:
            return pq.ParquetFile(file).num_row_groups
        return pa.ipc.open_file(file).num_record_batches


@contextlib.contextmanager
def _explained(message: str) -> Iterator[None]:
    """Turns what pyarrow raises for damage and for other types into PredictionsError."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # of the system, not of pyarrow
            raise
        raise PredictionsError(f"{message}: {str(error).splitlines()[0]}") from None


def _read(path: str, group: int, options: ObjectOptions) -> pa.RecordBatch:
    """Returns the rows of a row group or record batch, with the columns of `COLUMNS`."""
    with files.open_file(path, options) as file:
        if file.read(4) == _PARQUET:
            table = pq.ParquetFile(file).read_row_group(group)
        else:
            table = pa.Table.from_batches([pa.ipc.open_file(file).get_batch(group)])
    places = reversed([*enumerate(table.column_names)])
    given = {fold(name): place for place, name in places}
    chosen = {
        name: next((given[fold(each)] for each in accepted if fold(each) in given), None)
        for name, accepted in COLUMNS.items()
    }
    if missing := [name for name, place in chosen.items() if place is None]:
        raise PredictionsError(
            f"{path} has no column {missing[0]} (or {', '.join(COLUMNS[missing[0]][1:])})"
        )
    plain = {name: table.column(place).combine_chunks() for name, place in chosen.items()}
    decoded = {
        name: each.dictionary_decode() if pa.types.is_dictionary(each.type) else each
        for name, each in plain.items()
    }
    return pa.record_batch(decoded)


def _numbers(column: pa.Array, place: str) -> np.ndarray:
    """Returns the numbers of a column, (n,) float64; NaN for null.

    Raises:
        PredictionsError: The column holds something else.
    """
    try:
        numbers = column.cast(pa.float64())
    except pa.ArrowException:
        raise PredictionsError(f"{place} isn't a column of numbers") from None
    return numbers.fill_null(float("nan")).to_numpy(zero_copy_only=False)
