"""Image labels as numbers of classes."""

import pyarrow as pa
import pytest

from transforms.formats.label_numbers import label_numbers
from transforms.kinds.registry import EXAMPLE

LABELS = EXAMPLE.field("image_labels").type
INDEX = {"/m/a": 1, "/m/b": 2, "/m/c": 3, "/m/none": 0}


def label(mid: str, confidence: float | None, source: str | None = "verification") -> dict:
    return {"label": mid, "source": source, "confidence": confidence}


@pytest.mark.parametrize(
    ("labels", "positive", "negative"),
    [
        ([label("/m/c", 1), label("/m/a", 1), label("/m/b", 0)], [0, 2], [1]),
        ([label("/m/a", 1), label("/m/a", 1, "crowdsource-verification")], [0], []),  # once
        ([label("/m/a", 0), label("/m/a", 1)], [0], []),  # somebody has seen it
        ([label("/m/a", 1, "machine"), label("/m/b", 0, "machine")], [], []),
        ([label("/m/a", 1, None), label("/m/b", 0.6)], [0, 1], []),  # V3's have no source
        ([label("/m/a", None), label("/m/none", 1), label("/m/unheard", 0)], [], []),
        ([], [], []),
        (None, None, None),
    ],
)
def test_classes_that_people_found_and_did_not_find(
    labels: list | None, positive: list | None, negative: list | None
):
    others = [[label("/m/b", 1)], None]
    column = pa.array([*others, labels, *others], LABELS)[2:]
    expected = [{"positive": positive, "negative": negative}]
    expected += [{"positive": [1], "negative": []}, {"positive": None, "negative": None}]
    assert label_numbers(column, INDEX).to_pylist() == expected


def test_labels_that_are_dictionaries():
    rows = pa.array([label("/m/b", 1), label("/m/c", 0)], LABELS.value_type)
    coded = pa.StructArray.from_arrays(
        [
            each.dictionary_encode() if pa.types.is_string(each.type) else each
            for each in rows.flatten()
        ],
        rows.type.names,
    )
    (found,) = label_numbers(pa.ListArray.from_arrays([0, 2], coded), INDEX).to_pylist()
    assert found == {"positive": [1], "negative": [2]}


def test_no_class_has_an_index():
    (found,) = label_numbers(pa.array([[label("/m/a", 1)]], LABELS), {}).to_pylist()
    assert found == {"positive": [], "negative": []}
