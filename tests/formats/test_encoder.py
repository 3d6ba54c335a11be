"""Encoded examples against tf.train.Example."""

import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.formats.reference import encoded, example_of, in_key_order
from tests.formats.strategies import rows_and_columns, tables
from transforms.dataset.schema import MAP_COLUMNS
from transforms.formats.tfrecord.encoder import encode_examples
from transforms.kinds.boxes import BOX
from transforms.kinds.narratives import NARRATIVE
from transforms.kinds.registry import EXAMPLE, example_columns

ALL = example_columns(maps=MAP_COLUMNS)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), rows_and_columns())
def test_encodes_as_protobuf_does(data, drawn):
    rows, names = drawn
    expected = [example_of(row, names) for row in rows]
    records = encoded(data.draw(tables(rows)), names)
    assert records == [in_key_order(message) for message in expected]
    for record, message in zip(records, expected, strict=True):
        parsed = tf.train.Example.FromString(record)
        assert parsed.SerializeToString(deterministic=True) == message.SerializeToString(
            deterministic=True
        )


def test_all_columns_of_no_rows():
    assert encoded(EXAMPLE.empty_table(), ALL) == []


def test_all_columns_null():
    row = dict.fromkeys(EXAMPLE.names)
    (record,) = encoded(pa.Table.from_pylist([row], schema=EXAMPLE), ALL)
    assert record == in_key_order(example_of(row, ALL))


def test_features_without_values_in_any_row_stand_among_those_with():
    rows = [{"width": 7}, {"width": None, "bboxes": [{"label": "/m/a"}]}]
    table = pa.Table.from_pylist([dict.fromkeys(EXAMPLE.names) | row for row in rows], EXAMPLE)
    expected = [in_key_order(example_of(row, ALL)) for row in table.to_pylist()]
    assert encoded(table, ALL) == expected
    assert encoded(table[:1], ALL) == expected[:1]


def test_lists_hidden_behind_nulls_stay_hidden():
    """Arrow allows a null list, or a struct, to have values all the same; they don't count."""
    traces = pa.array([[[{"x": 1.0, "y": 2.0, "t": 3.0}]]], NARRATIVE.field("traces").type)
    narratives = pa.StructArray.from_arrays(
        [
            pa.array([7], pa.int64()),
            pa.array(["caption"]),
            pa.nulls(1, NARRATIVE.field("timed_caption").type),
            traces,
            pa.array(["a.ogg"]),
            pa.array([{"bytes": b"OggS", "path": "a.ogg"}], NARRATIVE.field("voice").type),
        ],
        fields=list(NARRATIVE),
    )
    two = pa.concat_arrays([narratives, narratives])
    null_struct = pa.StructArray.from_arrays(
        two.flatten(), fields=list(NARRATIVE), mask=pa.array([False, True])
    )
    column = pa.ListArray.from_arrays(
        pa.array([0, 1, 2], pa.int32()), null_struct, mask=pa.array([True, False])
    )
    table = pa.table({"narratives": column})
    expected = [
        in_key_order(example_of({"narratives": value}, ["narratives"])) for value in (None, [None])
    ]
    assert encoded(table, ["narratives"]) == expected


def test_text_may_come_as_dictionaries_that_differ_between_chunks():
    rows = [{"bboxes": [{"label": label, "source": None}]} for label in ("/m/b", "/m/a", None)]
    fields = [field for field in BOX if field.name != "label"]
    dictionary = pa.field("label", pa.dictionary(pa.int32(), pa.string()))
    schema = pa.schema({"bboxes": pa.list_(pa.struct([dictionary, *fields]))})
    chunks = [pa.Table.from_pylist(some, schema=schema) for some in (rows[:1], rows[1:])]
    expected = [in_key_order(example_of(row, ["bboxes"])) for row in rows]
    assert encoded(pa.concat_tables(chunks), ["bboxes"]) == expected


def test_tensorflow_parses_it():
    row = dict.fromkeys(EXAMPLE.names) | {
        "image_id": "000000000000000a",
        "original_size": -5,
        "points": [{"x": 0.25, "label": "/m/é", "yes_votes": 300}, {"x": 0.5}],
    }
    table = pa.Table.from_pylist([row, row], schema=EXAMPLE)
    sequence = {"shape": (), "allow_missing": True}
    parsed = tf.io.parse_example(
        encoded(table, ALL),
        {
            "image_id": tf.io.FixedLenFeature((), tf.string),
            "original_size": tf.io.FixedLenFeature((), tf.int64),
            "points/x": tf.io.FixedLenSequenceFeature(dtype=tf.float32, **sequence),
            "points/label": tf.io.FixedLenSequenceFeature(dtype=tf.string, **sequence),
            "points/yes_votes": tf.io.FixedLenSequenceFeature(dtype=tf.int64, **sequence),
            "masks/counts": tf.io.FixedLenSequenceFeature(dtype=tf.string, **sequence),
        },
    )
    assert {key: value.numpy().tolist() for key, value in parsed.items()} == {
        "image_id": [b"000000000000000a"] * 2,
        "original_size": [-5] * 2,
        "points/x": [[0.25, 0.5]] * 2,
        "points/label": [["/m/é".encode(), b""]] * 2,
        "points/yes_votes": [[300, -1]] * 2,
        "masks/counts": [[]] * 2,
    }


def test_a_missing_column_is_an_error():
    with pytest.raises(KeyError, match="points"):
        encode_examples(EXAMPLE.empty_table().drop_columns("points"), ALL)
