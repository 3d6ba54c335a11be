"""Comparison of what a build published with what it should have, to the first difference.

Written against the contract and the documented keys of TFRecord features, not the encoder's code.
"""

import io
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

MAPS = ("instance_map", "semantic_map")
CORNERS = ("ymin", "xmin", "ymax", "xmax")


def assert_examples_equal(actual_table: pa.Table, expected: list[dict]) -> None:
    """Asserts that Parquet rows equal the oracle's examples, in order; NaN equals NaN.

    Maps are compared by their pixels, since a PNG may be encoded in many ways.
    """
    actual_ids = actual_table["image_id"].to_pylist()
    expected_ids = [example["image_id"] for example in expected]
    _assert_same_ids(actual_ids, expected_ids)
    for actual, wanted in zip(actual_table.to_pylist(), expected, strict=True):
        difference = first_difference(_with_pixels(actual), _with_pixels(wanted))
        assert difference is None, f"image {wanted['image_id']}: {difference}"


def assert_tfrecord_equals_parquet(
    tfrecord_paths: Iterable[Path | str], parquet_table: pa.Table
) -> None:
    """Asserts that TFRecord shards hold the rows of Parquet shards, in order, as flat features."""
    records = tfrecord_to_rows(tfrecord_paths)
    rows = parquet_table.to_pylist()
    actual_ids = [record["image_id"][0].decode() for record in records]
    _assert_same_ids(actual_ids, [row["image_id"] for row in rows])
    for record, row in zip(records, rows, strict=True):
        wanted = flat_features(row, parquet_table.schema)
        for column in ("image", *MAPS):
            if row[column] is None and column not in record:
                del wanted[column]
        difference = first_difference(record, wanted)
        assert difference is None, f"image {row['image_id']}: {difference}"


def tfrecord_to_rows(paths: Iterable[Path | str]) -> list[dict[str, list]]:
    """Every record of TFRecord files, in order: feature key to list of values."""
    import tensorflow as tf  # Slow to import, and not needed for Parquet alone.

    rows = []
    for record in tf.data.TFRecordDataset([str(path) for path in paths]):
        features = tf.train.Example.FromString(record.numpy()).features.feature
        row = {}
        for key, feature in features.items():
            kind = feature.WhichOneof("kind")
            row[key] = list(getattr(feature, kind).value) if kind else []
        rows.append(row)
    return rows


def flat_features(row: dict, schema: pa.Schema) -> dict[str, list]:
    """The features of tf.train.Example that a row must become.

    A leaf's key is its path. Corners of a box become one `bbox`, pictures and recordings
    their bytes. Nulls become b"", -1, NaN or an empty list. A list within a list is written flat,
    with its lists' lengths beside it.

    Example:
        `{"narratives": [{"traces": [[{"x": 1.0}, {"x": 2.0}], []]}]}` becomes
        `narratives/traces/x/ragged_flat_values` [1.0, 2.0],
        `narratives/traces/x/ragged_row_lengths_0` [2] (traces of each narrative) and
        `narratives/traces/x/ragged_row_lengths_1` [2, 0] (points of each trace).
    """
    features = {}
    for column in schema:
        if column.name in ("image", *MAPS):
            picture = row[column.name]
            features[column.name] = [picture["bytes"] if picture else b""]
            continue
        for key, values, lengths in _leaves(column.name, column.type, [row[column.name]]):
            if len(lengths) < 2:  # The outermost list has no lengths: there is one of it in a row.
                features[key] = values
            else:
                features[f"{key}/ragged_flat_values"] = values
                for level, numbers in enumerate(lengths[1:]):
                    features[f"{key}/ragged_row_lengths_{level}"] = numbers
    return features


def _leaves(key: str, dtype: pa.DataType, values: list) -> Iterator[tuple[str, list, list[list]]]:
    """For all leaves under a node: key, values, and the lengths of its lists, outermost first."""
    if pa.types.is_list(dtype):
        lengths = [len(value or []) for value in values]
        elements = [element for value in values for element in value or []]
        for leaf, flat, inner in _leaves(key, dtype.value_type, elements):
            yield leaf, flat, [lengths, *inner]
    elif pa.types.is_struct(dtype) and dtype.names == ["bytes", "path"]:
        recordings = [value and value["bytes"] for value in values]
        yield from _leaves(key, pa.binary(), recordings)
    elif pa.types.is_struct(dtype):
        for field in dtype:
            side, suffix = field.name[:4], field.name[4:]
            if side == "ymin":
                box = [value[corner + suffix] for value in values for corner in CORNERS]
                yield f"{key}/bbox{suffix}", [_or_null(field.type, n) for n in box], []
            elif side not in CORNERS:
                inner = [value[field.name] for value in values]
                yield from _leaves(f"{key}/{field.name}", field.type, inner)
    else:
        yield key, [_or_null(dtype, value) for value in values], []


def _or_null(dtype: pa.DataType, value: Any) -> Any:
    """A value as tf.train.Example holds it, which knows no null."""
    if value is None:
        return (
            math.nan if pa.types.is_floating(dtype) else -1 if pa.types.is_integer(dtype) else b""
        )
    return value.encode() if isinstance(value, str) else value


def first_difference(actual: Any, expected: Any, path: str = "") -> str | None:
    """Where two nested values first differ and how, or None. Tuples are lists without NaN."""
    if isinstance(actual, tuple) and actual == expected:
        return None
    if isinstance(actual, dict) and isinstance(expected, dict):
        if actual.keys() != expected.keys():
            missing, extra = expected.keys() - actual.keys(), actual.keys() - expected.keys()
            return f"{path or 'columns'}: missing {sorted(missing)}, unexpected {sorted(extra)}"
        pairs = ((f"{path}.{key}".lstrip("."), actual[key], expected[key]) for key in expected)
    elif isinstance(actual, list | tuple) and isinstance(expected, list | tuple):
        if len(actual) != len(expected):
            shown = f"{_shorten(actual)}, expected {_shorten(expected)}"
            return f"{path} has {len(actual)} elements, expected {len(expected)}: {shown}"
        pairs = (
            (f"{path}[{i}]", *pair) for i, pair in enumerate(zip(actual, expected, strict=True))
        )
    elif _same(actual, expected):
        return None
    else:
        return f"{path} is {_shorten(actual)}, expected {_shorten(expected)}"
    return next(filter(None, (first_difference(a, e, where) for where, a, e in pairs)), None)


def _same(actual: Any, expected: Any) -> bool:
    """Whether two leaves are equal, types too: 1 is not True, and not 1.0."""
    if isinstance(actual, float) and isinstance(expected, float):
        return actual == expected or (math.isnan(actual) and math.isnan(expected))
    return type(actual) is type(expected) and actual == expected


def _assert_same_ids(actual: list[str], expected: list[str]) -> None:
    """Asserts the same images in the same order."""
    missing, extra = sorted({*expected} - {*actual}), sorted({*actual} - {*expected})
    assert not missing + extra, f"images missing {missing[:5]}, unexpected {extra[:5]}"
    difference = first_difference(actual, expected, "order")
    assert difference is None, f"images are there but {difference}"


def _with_pixels(example: dict) -> dict:
    """An example with the PNGs of its maps decoded to size, type and rows of values."""
    decoded = dict(example)
    for column in MAPS:
        if example.get(column) is not None:
            pixels = np.asarray(Image.open(io.BytesIO(example[column]["bytes"])))
            decoded[column] = {
                "path": example[column]["path"],
                "type": str(pixels.dtype),
                "size": list(pixels.shape),
                "rows": [tuple(row) for row in pixels.tolist()],
            }
    return decoded


def _shorten(value: Any) -> str:
    """A value's text, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"
