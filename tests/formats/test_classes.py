"""What `classes.json` holds."""

import itertools
import json

from transforms.dataset.classes import (
    ClassEntry,
    ClassFile,
    build_classes,
    class_index,
    complete_classes,
    complete_encoded,
    encode_classes,
)


def names_file(path: str, **names: str) -> ClassFile:
    return ClassFile(0, path, [ClassEntry(f"/m/{key[1:]}", name) for key, name in names.items()])


def list_file(path: str, name: str, *labels: str) -> ClassFile:
    return ClassFile(1, path, [ClassEntry(label, list_name=name) for label in labels])


def points(yes_points: int, count: int, *mentions: str) -> dict:
    return {"yes_points": yes_points, "points": count, "text_mentions": [*mentions]}


NAMES = [names_file("v6/b.csv", m2="two", m1="uno"), names_file("a/c.csv", m3="drei", m2="zwei")]
LISTS = [
    list_file("2017_11/classes.txt", "classes", "/m/4", "/m/2"),
    list_file("classes-bbox.txt.gz", "classes-bbox", "/m/2"),
    list_file("more/classes.txt", "classes", "/m/2"),
]
HIERARCHY = ClassFile(
    2,
    "h.json",
    [
        ClassEntry("/m/0bl9f"),
        ClassEntry("/m/2", parents=["/m/0bl9f"]),
        ClassEntry("/m/1", parents=["/m/2", "/m/0bl9f"]),
    ],
)
POINTS = ClassFile(
    0,
    "bb.csv",
    [
        ClassEntry("/m/1", "one", points=points(3, 5, "eins")),
        ClassEntry("/m/5", "five", points=points(0, 1)),
    ],
)
FILES = [*NAMES, *LISTS, HIERARCHY, POINTS]


def test_classes_in_index_order() -> None:
    classes = build_classes(FILES, ["/m/9", "/m/7", "/m/1", "/m/9"])
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
    expected = build_classes(FILES, ["/m/9"])
    for files in itertools.permutations(FILES):
        assert build_classes(files, ["/m/9"]) == expected


def test_labels_of_the_data_complete_the_classes() -> None:
    classes = build_classes(NAMES, ())
    labels = {"/m/9", "/m/7", "/m/1"}
    assert complete_classes(classes, labels) == build_classes(NAMES, labels)
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
    classes = build_classes([names_file("x.csv", m1="Spätzle")], ["/m/2"])
    data = encode_classes(classes)
    assert json.loads(data) == classes
    assert "Spätzle".encode() in data.splitlines()[1]
    assert json.loads(encode_classes([])) == []


def test_encoded_classes_are_completed() -> None:
    classes = build_classes(NAMES, ())
    encoded = encode_classes(classes)
    assert complete_encoded(encoded, []) is encoded
    more = ["/m/0unknown"]
    assert complete_encoded(encoded, more) == encode_classes(complete_classes(classes, more))


def test_an_order_numbers_its_classes_alone() -> None:
    order = ["/m/5", "/m/0zz", "/m/2"]
    plain = {each["label"]: each for each in build_classes(FILES, ["/m/9"])}
    classes = build_classes(FILES, ["/m/9"], order)
    numbers = [(each["index"], each["label"]) for each in classes]
    others = [label for label in plain if label not in order]
    assert numbers == [(1, "/m/5"), (2, "/m/0zz"), (3, "/m/2"), *((None, each) for each in others)]
    for each in classes:
        if each["label"] in plain:
            assert each | {"index": 0} == plain[each["label"]] | {"index": 0}
    assert class_index(["/m/2", "/m/1"], ["/m/9"], order) == {
        "/m/2": 3,
        "/m/1": 0,
        "/m/9": 0,
        "/m/5": 1,
        "/m/0zz": 2,
    }
    files_alone = encode_classes(build_classes(FILES, (), order))
    assert complete_encoded(files_alone, ["/m/9"], with_index=False) == encode_classes(classes)


def test_an_order_of_all_numbers_no_others() -> None:
    classes = build_classes([NAMES[1]], (), ["/m/3", "/m/2"])
    (added,) = json.loads(complete_encoded(encode_classes(classes), ["/m/9"], False))[2:]
    assert (added["index"], added["label"]) == (None, "/m/9")
