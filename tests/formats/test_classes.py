"""What `classes.json` holds."""

import itertools
import json

from transforms.dataset.classes import (
    build_classes,
    class_index,
    complete_classes,
    complete_encoded,
    encode_classes,
)
from transforms.kinds.vocabulary import PointClass

NAMES = {
    "v6/b.csv": {"/m/2": "two", "/m/1": "uno"},
    "a/c.csv": {"/m/3": "drei", "/m/2": "zwei"},
}
LISTS = {
    "2017_11/classes.txt": ["/m/4", "/m/2"],
    "classes-bbox.txt.gz": ["/m/2"],
    "more/classes.txt": ["/m/2"],
}
HIERARCHIES = {"h.json": {"/m/0bl9f": [], "/m/2": ["/m/0bl9f"], "/m/1": ["/m/2", "/m/0bl9f"]}}
POINTS = {
    "bb.csv": {"/m/1": PointClass("one", 3, 5, ["eins"]), "/m/5": PointClass("five", 0, 1, [])}
}


def _shuffled(files: dict) -> dict:
    return dict(reversed(files.items()))


def test_classes_in_index_order() -> None:
    classes = build_classes(NAMES, LISTS, HIERARCHIES, POINTS, ["/m/9", "/m/7", "/m/1", "/m/9"])
    names = [(each["index"], each["label"], each["name"]) for each in classes]
    assert names == [
        (1, "/m/2", "two"),
        (2, "/m/1", "uno"),
        (3, "/m/5", "five"),
        (4, "/m/3", "drei"),
        (5, "/m/4", None),
        (6, "/m/0bl9f", None),
        (7, "/m/7", None),
        (8, "/m/9", None),
    ]
    two, one, five, *_ = classes
    assert (two["parents"], two["lists"]) == (["/m/0bl9f"], ["classes-bbox", "classes"])
    assert one["parents"] == ["/m/2", "/m/0bl9f"]
    assert one["points"] == {"yes_points": 3, "points": 5, "text_mentions": ["eins"]}
    assert "points" in five
    assert "points" not in two


def test_the_order_in_which_files_are_named_is_no_matter() -> None:
    expected = build_classes(NAMES, LISTS, HIERARCHIES, POINTS, ["/m/9"])
    for flips in itertools.product([dict, _shuffled], repeat=4):
        given = (NAMES, LISTS, HIERARCHIES, POINTS)
        files = [flip(each) for flip, each in zip(flips, given, strict=True)]
        assert build_classes(*files, ["/m/9"]) == expected


def test_labels_of_the_data_complete_the_classes() -> None:
    classes = build_classes(NAMES, {}, {}, {}, ())
    labels = {"/m/9", "/m/7", "/m/1"}
    assert complete_classes(classes, labels) == build_classes(NAMES, {}, {}, {}, labels)
    completed = {each["label"]: each["index"] for each in complete_classes(classes, labels)}
    assert class_index([each["label"] for each in classes], labels) == completed
    assert completed == {
        "/m/2": 1, "/m/1": 2, "/m/3": 3, "/m/7": 4, "/m/9": 5,
    }  # fmt: skip


def test_a_label_list_is_shared_by_no_two_classes() -> None:
    classes = complete_classes([], ["/m/1", "/m/2"])
    classes[0]["parents"].append("/m/3")
    assert classes[1]["parents"] == []


def test_encoded_classes_are_json_with_a_class_a_line() -> None:
    classes = build_classes({"x.csv": {"/m/1": "Spätzle"}}, {}, {}, {}, ["/m/2"])
    data = encode_classes(classes)
    assert json.loads(data) == classes
    assert "Spätzle".encode() in data.splitlines()[1]
    assert json.loads(encode_classes([])) == []


def test_encoded_classes_are_completed() -> None:
    classes = build_classes(NAMES, {}, {}, {}, ())
    encoded = encode_classes(classes)
    assert complete_encoded(encoded, []) is encoded
    more = ["/m/0unknown"]
    assert complete_encoded(encoded, more) == encode_classes(complete_classes(classes, more))
