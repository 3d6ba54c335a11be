"""The readers of class names, lists, hierarchies and point classes."""

import gzip

import pytest

from transforms.dataset.classes import ClassEntry
from transforms.dataset.failures import Failure, Reason, Stage
from transforms.kinds.class_list import CLASS_LIST
from transforms.kinds.classes import CLASSES
from transforms.kinds.hierarchy import HIERARCHY
from transforms.kinds.point_classes import POINT_CLASSES


def read_names(data: bytes) -> tuple[dict[str, str | None], list[Failure]]:
    """Reads class names: MID to name, in file order, and failures."""
    entries, failures = CLASSES.read(data, "x.csv")
    names = {entry.label: entry.name for entry in entries}
    assert entries == [ClassEntry(label, name) for label, name in names.items()]
    return names, failures


def read_parents(data: bytes) -> dict[str, list[str]]:
    """Reads a hierarchy: MID to parents, in file order."""
    entries, failures = HIERARCHY.read(data, "h.json")
    parents = {entry.label: [*entry.parents] for entry in entries}
    assert entries == [ClassEntry(label, parents=above) for label, above in parents.items()]
    assert not failures
    return parents


BOXABLE = b"/m/011k07,Tortoise\n/m/011q46kg,Container\n/m/012074,Magpie"
V6 = (
    b"LabelName,DisplayName \n/m/0100nhbf,Sprenger's tulip\n/m/0zrv5th,Lamborghini hurac\xc3\xa1n\n"
)
ATTRIBUTES = b"id,name\n/m/02gy9n,Transparent\n/m/0dnr7,(made of)Textile\n"
V3 = b'/m/02wvth,"Fiat 500 ""topolino"""\n/m/03hgsf0,"Lemon, lime and bitters"\n'


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (BOXABLE, {"/m/011k07": "Tortoise", "/m/011q46kg": "Container", "/m/012074": "Magpie"}),
        (V6, {"/m/0100nhbf": "Sprenger's tulip", "/m/0zrv5th": "Lamborghini huracán"}),
        (ATTRIBUTES, {"/m/02gy9n": "Transparent", "/m/0dnr7": "(made of)Textile"}),
        (V3, {"/m/02wvth": 'Fiat 500 "topolino"', "/m/03hgsf0": "Lemon, lime and bitters"}),
        (b"DisplayName,LabelName\nCat,/m/01yrx\n", {"/m/01yrx": "Cat"}),
        (b"/m/1,a,1\n/m/2,b,7\n", {"/m/1": "a", "/m/2": "b"}),
        (b",labelname,displayname\n0,/m/1,a\n1,/m/2,b", {"/m/1": "a", "/m/2": "b"}),
        (b"LabelName,DisplayName,Count\n/m/1,a,7\n", {"/m/1": "a"}),
        ("/m/1,a\u2028b\x85c\n".encode(), {"/m/1": "a\u2028b\x85c"}),
        (b"", {}),
        (b"LabelName,DisplayName\n", {}),
    ],
)
def test_class_names(data: bytes, names: dict[str, str]) -> None:
    assert read_names(data) == (names, [])


@pytest.mark.parametrize(
    "change",
    [
        gzip.compress,
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b"\n", b"\n\n \r\n"),
        lambda data: data.removesuffix(b"\n"),
    ],
    ids=["gzip", "crlf", "bom", "blank lines", "no final newline"],
)
@pytest.mark.parametrize("data", [BOXABLE, V6])
def test_class_names_however_they_are_stored(data: bytes, change) -> None:
    plain, _ = read_names(data)
    assert read_names(change(data)) == (plain, [])


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        (b"/m/1", "1 fields in place of 2"),
        (b"/m/1,a,b", "3 fields in place of 2"),
        (b"m/1,a", "'m/1' is not a MID"),
        (b'/m/1,"a', "not CSV"),
        (b"/m/1,a\rb", "not CSV"),
        (b'/m/1,"a"b', "not CSV"),
        (b"/m/1,\xff", "not UTF-8"),
        (b"/m/011k07,Turtle", "/m/011k07 is 'Turtle' here and 'Tortoise' further up"),
    ],
)
def test_a_bad_row_is_a_failure_and_spoils_no_other(row: bytes, detail: str) -> None:
    names, failures = read_names(BOXABLE + b"\n\n" + row + b"\n/m/2,b\n")
    assert list(names) == ["/m/011k07", "/m/011q46kg", "/m/012074", "/m/2"]
    (failure,) = failures
    assert failure[:3] == (None, None, Stage.READ)
    assert failure.reason == (Reason.CONFLICT if "further up" in detail else Reason.BAD_ROW)
    assert detail in failure.detail
    assert failure[5:] == ("x.csv", 5)


def test_an_unknown_header_is_a_bad_row() -> None:
    names, failures = read_names(b"mid,text\n/m/1,a\n")
    assert names == {"/m/1": "a"}
    assert [failure.line for failure in failures] == [1]


def test_class_list() -> None:
    data = b"/m/0100nhbf\r\n/m/01_097\r\n\r\nTortoise\r\n/m/0100nhbf\r\n/g/11k2xz7mr"
    entries, failures = CLASS_LIST.read(data, "a/classes.txt")
    labels = ["/m/0100nhbf", "/m/01_097", "/g/11k2xz7mr"]
    assert entries == [ClassEntry(label, list_name="classes") for label in labels]
    detail = "'Tortoise' is not a MID"
    assert failures == [Failure(None, None, Stage.READ, Reason.BAD_ROW, detail, "a/classes.txt", 4)]
    packed = gzip.compress(b"LabelName\n/m/1")
    assert CLASS_LIST.read(packed, "x.gz") == ([ClassEntry("/m/1", list_name="x")], [])


def test_point_classes() -> None:
    data = (
        b"LabelName,DisplayName,YesPoints,Points,TextMentions,...\n"
        b'/m/01g317,Person,12,345,person,"man, standing",\n'
        b"/m/01yrx,Cat,0,7\n"
        b"/m/2,Two,-1,7\n"
        b"/m/3,Three,1\n"
        b"/m/4,Four,1.5,2,four\n"
    )
    classes, failures = POINT_CLASSES.read(data, "p.csv")
    mentions = ["person", "man, standing"]
    person = {"yes_points": 12, "points": 345, "text_mentions": mentions}
    cat = {"yes_points": 0, "points": 7, "text_mentions": []}
    assert classes == [
        ClassEntry("/m/01g317", "Person", points=person),
        ClassEntry("/m/01yrx", "Cat", points=cat),
    ]
    assert [(failure.line, failure.detail) for failure in failures] == [
        (4, "'-1' is not a count"),
        (5, "3 fields in place of 4 or more"),
        (6, "'1.5' is not a count"),
    ]


def test_hierarchy_of_v4() -> None:
    data = b"""{\r
        "LabelName": "/m/0bl9f",\r
        "Subcategory": [\r
            {"LabelName": "/m/0138tl", "Subcategory": [{"LabelName": "/m/0kmg4"}]},\r
            {"LabelName": "/m/01g317", "Part": [{"LabelName": "/m/0dzct",
              "Subcategory": [{"LabelName": "/m/014sv8"}]}]},\r
            {"LabelName": "/m/01dws", "Subcategory": [{"LabelName": "/m/0kmg4"}]}\r
        ]\r
    }"""
    parents = read_parents(data)
    assert parents == {
        "/m/0bl9f": [],
        "/m/0138tl": ["/m/0bl9f"],
        "/m/0kmg4": ["/m/0138tl", "/m/01dws"],
        "/m/01g317": ["/m/0bl9f"],
        "/m/0dzct": [],
        "/m/014sv8": ["/m/0dzct"],
        "/m/01dws": ["/m/0bl9f"],
    }
    assert list(parents)[:3] == ["/m/0bl9f", "/m/0138tl", "/m/0kmg4"]
    assert read_parents(gzip.compress(data)) == parents


def test_hierarchy_of_v3() -> None:
    data = b'{"name": "/m/0bl9f", "children": [{"name": "/m/1", "children": [{"name": "/m/2"}]}]}'
    parents = read_parents(data)
    assert parents == {"/m/0bl9f": [], "/m/1": ["/m/0bl9f"], "/m/2": ["/m/1"]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"LabelName":\n "/m/1",\n}', "h.json, line 3: not JSON"),
        (b"\xff", "h.json: not JSON"),
        (b"[" * 100_000, "h.json: not JSON"),
        (b"[]", "h.json: the root of the hierarchy has no LabelName"),
        (b'{"LabelName": "/m/1", "Subcategory": [{}]}', "a node in Subcategory of /m/1"),
        (b'{"LabelName": "/m/1", "Part": {}}', "Part of /m/1 is not a list"),
        (gzip.compress(b"{}", mtime=0)[:-4], "h.json: damaged gzip file"),
    ],
)
def test_a_file_that_is_no_hierarchy_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_parents(data)
