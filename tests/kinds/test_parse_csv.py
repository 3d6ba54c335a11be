"""Blocks of CSV become checked rows; a bad one is left out alone, with its line."""

import csv
import io
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from transforms.dataset.keys import image_ids
from transforms.kinds.parsing import parse_csv
from transforms.kinds.parsing.parsed import ParsedBlock
from transforms.kinds.registry import TABLES

A, B = f"{10:016x}", f"{11:016x}"
IMAGES = ("ImageID", "Subset", "Title", "OriginalSize", "Rotation")
BOXES = ("ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax")
CLICKS = tuple(f"XClick{i}{axis}" for axis in "XY" for i in (1, 2, 3, 4))
MASKS = ("MaskPath", "ImageID", "LabelName", "BoxID", "BoxXMin", "BoxXMax", "BoxYMin", "BoxYMax")
MASKS += ("PredictedIoU", "Clicks")
POINTS = ("ImageId", "X", "Y", "Label", "EstimatedYesNo", "Source", "YesVotes", "NoVotes")
POINTS += ("UnsureVotes", "TextLabel")


def parse(kind: str, columns: tuple[str, ...], text: str | bytes, **sizes: int) -> ParsedBlock:
    data = text.encode() if isinstance(text, str) else text
    with pytest.MonkeyPatch.context() as patch:
        for name, size in sizes.items():
            patch.setattr(parse_csv, name, size)
        return parse_csv.CsvParser(columns, TABLES[kind]).parse(data)


def values(parsed: ParsedBlock, field: str) -> list[Any]:
    return [value[field] for value in parsed.table["value"].to_pylist()]


def problems(parsed: ParsedBlock) -> list[tuple]:
    return [(row["line"], row["reason"], row["image_id"]) for row in parsed.failures.to_pylist()]


def box(image_id: str = A, confidence: str = "1", corners: str = "0,1,0,1", rest: str = "") -> str:
    return f"{image_id},xclick,/m/01,{confidence},{corners}{rest}\n"


def label(image_id: str, confidence: str) -> str:
    return f"{image_id},verification,/m/01,{confidence}\n"


CELLS = st.sampled_from(
    ["", "a", "é", '"', '""', ",", "\n", "\r\n", 'say "hi"', " x ", "日本", "\0"]
)
GOOD_ROW = st.tuples(
    st.integers(0, 2**64 - 1).map("{:016x}".format),
    st.sampled_from(["train", "validation", "test"]),
    st.lists(CELLS, max_size=4).map("".join),
    st.just("") | st.integers(0, 2**60).map(str),
    st.sampled_from(["", "nan", "0.0", "90.0", "180", "270."]),
)


@given(st.lists(GOOD_ROW, max_size=12), st.sampled_from(["\n", "\r\n"]), st.booleans())
@example([(A, "train", 'a "b"\n\nc', "", "nan"), (B, "test", "", "3", "")], "\n", False)
def test_sound_rows_are_those_of_the_csv_module(rows: list[tuple], ending: str, final: bool):
    text = io.StringIO()
    csv.writer(text, lineterminator=ending).writerows(rows)
    parsed = parse("images", IMAGES, text.getvalue().removesuffix("" if final else ending))
    assert (parsed.rows, parsed.bad_rows, len(parsed.failures)) == (len(rows), 0, 0)
    assert image_ids(parsed.table["key"].to_numpy()).to_pylist() == [row[0] for row in rows]
    assert values(parsed, "split") == [row[1] for row in rows]
    assert values(parsed, "title") == [row[2] or None for row in rows]
    assert values(parsed, "original_size") == [int(row[3]) if row[3] else None for row in rows]
    degrees = {"": None, "nan": None, "0.0": 0, "90.0": 90, "180": 180, "270.": 270}
    assert values(parsed, "rotation") == [degrees[row[4]] for row in rows]


ODD_ROW = st.sampled_from(
    [
        ("x",),
        (A, "train", "a\nb", "1", "0", "more"),
        (A, "nowhere", "", "", ""),
        ("g" * 16, "train", "", "", ""),
    ]
) | st.tuples(st.just(A), st.just("test"), st.integers(0, 3000).map("x".__mul__), st.just(""))


@given(
    st.lists(GOOD_ROW | ODD_ROW, min_size=1, max_size=8),
    st.integers(1, 60),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.booleans(),
)
def test_in_several_parts_a_block_is_the_same(
    rows: list[tuple], times: int, ending: str, final: bool, converts: bool
):
    text = io.StringIO()
    csv.writer(text, lineterminator=ending).writerows(
        [*rows * times, *(() if converts else [(A, "train", "", "much", "")])]
    )
    block = text.getvalue().removesuffix("" if final else ending)
    whole = parse("images", IMAGES, block)
    parts = parse("images", IMAGES, block, _PART_BYTES=1024)
    assert parts.table.equals(whole.table)
    assert parts.failures.equals(whole.failures)
    assert (parts.rows, parts.bad_rows) == (whole.rows, whole.bad_rows)


@pytest.mark.parametrize("rest", ["", "\n", "\n\n", f"\nx\n{A},train,c,3,0"])
@pytest.mark.parametrize("title", ["x" * 60_000, '"' + "x\n" * 30_000 + '"'])
def test_a_record_longer_than_a_part_is_read(title: str, rest: str):
    text = f"{A},train,a,1,0\n{B},test,{title},2,90{rest}"
    parsed = parse("images", IMAGES, text, _PART_BYTES=1024)
    assert values(parsed, "title") == ["a", title.strip('"'), *(["c"] if "c" in rest else [])]
    bad = 3 + title.count("\n")
    assert problems(parsed) == ([(bad, "bad_row", None)] if "c" in rest else [])


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_blank_lines_may_fill_parts(ending: str):
    blank, row = ending * 3000, f"{A},train,a,1,0{ending}"
    text = blank + row + blank + "x" + ending + blank + row + blank
    parsed = parse("images", IMAGES, text, _PART_BYTES=1024)
    assert (values(parsed, "title"), parsed.rows) == (["a", "a"], 3)
    assert problems(parsed) == [(6002, "bad_row", None)]


#: Rows that are no box, each over as many lines as it has records.
BAD_BOXES = [
    "",
    "x",
    f"{A},xclick,/m/01,1,0,1,0\n"[:-1],
    box(rest=",1")[:-1],
    box(image_id="g" * 16)[:-1],
    box(corners="much,1,0,1")[:-1],
    box(corners="0,1,0,1.5")[:-1],
    box(corners="1,0,0,1")[:-1],
    f'{A},xclick,"/m/01,1,0,1,0,1',
]


@given(st.lists(st.sampled_from([None, *BAD_BOXES]), max_size=12), st.booleans())
def test_bad_rows_are_left_out_alone_and_told_by_line(rows: list[str | None], final: bool):
    lines = [box(image_id=f"{i:016x}")[:-1] if row is None else row for i, row in enumerate(rows)]
    parsed = parse("boxes", BOXES, "\n".join(lines) + "\n" * final)
    good = [f"{i:016x}" for i, row in enumerate(rows) if row is None]
    assert image_ids(parsed.table["key"].to_numpy()).to_pylist() == good
    bad_lines = [line for line, row in enumerate(rows, 1) if row]
    assert [row["line"] for row in parsed.failures.to_pylist()] == bad_lines
    assert {row["reason"] for row in parsed.failures.to_pylist()} <= {"bad_row"}
    assert (parsed.rows, parsed.bad_rows) == (len(good) + len(bad_lines), len(bad_lines))


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("1.0", 1), ("0.7", 0.7), ("1e-3", 0.001), (".5", 0.5), (" 1 ", 1), ("+1", 1)]
    + [(text, None) for text in ("", "nan", "NaN", "inf", "1e999", "0x1", "1_0", '"0,5"', "１")],
)
def test_numbers(text: str, value: float | None):
    parsed = parse(
        "image_labels",
        ("ImageID", "Source", "LabelName", "Confidence"),
        label(A, text) + label(B, "1"),
    )
    kept = [] if value is None else [value]
    assert values(parsed, "confidence") == pytest.approx([*kept, 1])
    assert problems(parsed) == ([(1, "bad_row", A)] if value is None else [])


@pytest.mark.parametrize(
    ("text", "value", "is_bad"),
    [(text, 1, False) for text in ("1", "1.0", " 1 ", "True", "TRUE", "true")]
    + [(text, 0, False) for text in ("0", "0.0", "-0", "False", "FALSE ", "false")]
    + [("-1", -1, False), ("-1.0", -1, False)]
    + [(text, None, False) for text in ("", " ", "nan", "NaN", "None", "NA")]
    + [(text, None, True) for text in ("2", "-2", "300", "0.5", "yes", "99999999999999999999")],
)
def test_flags(text: str, value: int | None, is_bad: bool):
    columns = (*BOXES, "IsOccluded")
    parsed = parse("boxes", columns, box(rest=f",{text}") + box(B, rest=",0"))
    assert values(parsed, "is_occluded") == [value, 0]
    assert problems(parsed) == ([(1, "bad_row", A)] if is_bad else [])
    assert (parsed.rows, parsed.bad_rows) == (2, 0)
    assert set(values(parsed, "is_truncated")) == {None}


@pytest.mark.parametrize(
    ("confidence", "is_bad"),
    [(text, False) for text in ("", "nan", "null")]
    + [(text, True) for text in ("inf", "much", "1e999")],
)
def test_a_box_is_kept_without_its_confidence(confidence: str, is_bad: bool):
    parsed = parse("boxes", BOXES, box(confidence=confidence) + box(B, confidence="0.5"))
    assert values(parsed, "confidence") == [None, 0.5]
    assert problems(parsed) == ([(1, "bad_row", A)] if is_bad else [])
    assert parsed.bad_rows == 0


NUMBERS = st.text(st.sampled_from("0159.eE+-xXnaifty() \t_\u0661"), max_size=6) | st.sampled_from(
    ["9" * 18, "9" * 19, "9" * 20, "0" * 30, "9223372036854775808", "nan(1)", "Infinity", "1e999"]
)
#: Rows that send a block the other way: a bad value, another length, no UTF-8, a stray quote.
COMPANY = [box(B, confidence="bad").encode(), b"x\n", b"\xff\n", f'{B},"\n'.encode(), b"\t\n"]


@given(NUMBERS, st.sampled_from(["Confidence", "XMin", "IsOccluded"]), st.sampled_from(COMPANY))
def test_a_number_is_one_or_not_whatever_stands_beside_it(text: str, column: str, other: bytes):
    fields = dict(zip(BOXES, box()[:-1].split(","), strict=True)) | {"IsOccluded": "0"}
    row = ",".join((fields | {column: text}).values()).encode() + b"\n"
    columns = (*BOXES, "IsOccluded")
    alone = parse("boxes", columns, row)
    beside = parse("boxes", columns, row + other)
    assert str(values(beside, "confidence")[: len(alone.table)]) == str(values(alone, "confidence"))
    assert beside.table.slice(0, len(alone.table)).equals(alone.table)
    told = [failure for failure in beside.failures.to_pylist() if failure["line"] == 1]
    assert told == alone.failures.to_pylist()


@given(NUMBERS, st.booleans())
def test_so_is_a_size(text: str, is_last: bool):
    row = f"{A},train,,{text},0\n"
    alone = parse("images", IMAGES, row)
    beside = parse("images", IMAGES, row + f"{B},train,,bad,0\n")
    assert values(beside, "original_size")[0] == values(alone, "original_size")[0]
    told = [failure for failure in beside.failures.to_pylist() if failure["line"] == 1]
    assert told == alone.failures.to_pylist()


@pytest.mark.parametrize("space", [" ", "\t"])
def test_spaces_are_trimmed_whatever_stands_beside_them(space: str):
    alone = parse("boxes", BOXES, box().replace("/m/01", f"{space}/m/01{space}"))
    assert values(alone, "label") == ["/m/01"]


@pytest.mark.parametrize("mark", ["\ufeff", '\ufeff"', "\ufeff\ufeff"])
def test_a_byte_order_mark_within_a_file_counts_alike_wherever_a_block_begins(mark: str):
    row = f"{mark}{A}{mark[1:].strip(chr(0xFEFF))},train,,5,0.0\n"
    header = f"{mark}{','.join(IMAGES)}\n".replace('"ImageID', '"ImageID"')
    for text, rows in ((row, 1), (header, 0)):
        for before in ("", f"{B},train,,5,0.0\n", "short\n"):
            parsed = parse("images", IMAGES, before + text)
            assert parsed.rows == bool(before) + rows
            assert parsed.bad_rows == (before == "short\n") + rows


def test_many_bad_records_are_told_one_by_one():
    rows = [box(A), "x\n", "\n", box(B), "y,z\n", box(A, corners="1,0,0,1"), box(B)] * 3
    parsed = parse("boxes", BOXES, "".join(rows), _MOST_RECORDS=3)
    assert (parsed.rows, parsed.bad_rows, parsed.lines, len(parsed.table)) == (18, 9, 21, 9)
    lines = [line for line, _, _ in problems(parsed)]
    assert lines == [2, 5, 6, 9, 12, 13, 16, 19, 20]


def test_a_record_that_is_too_long_is_a_bad_row(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parse_csv, "MAX_RECORD_BYTES", 200)
    rows = f"{A},train,{'x' * 100},1,0\n{B},train,{'x' * 200},1,0\n{B},train,b,1,0\n"
    parsed = parse("images", IMAGES, rows)
    assert [len(title) for title in values(parsed, "title")] == [100, 1]
    assert problems(parsed) == [(2, "bad_row", None)]
    assert "longer than" in parsed.failures["detail"][0].as_py()


def test_a_failure_of_a_field_says_that_the_rest_is_kept():
    parsed = parse("images", IMAGES, f"{A},train,,nada,0.0\n")
    (failure,) = parsed.failures.to_pylist()
    wanted = "OriginalSize is not a number of its type: null, the image is kept"
    assert failure["detail"] == wanted
    parsed = parse("boxes", (*BOXES, "IsInside"), box(rest=",7"))
    (failure,) = parsed.failures.to_pylist()
    assert failure["detail"] == "IsInside is not -1, 0 or 1: null, the row is kept"


def test_of_a_row_that_is_bad_no_field_is_reported():
    columns = (*BOXES, "IsOccluded", "IsInside")
    parsed = parse("boxes", columns, box(confidence="x", corners="1,0,0,1", rest=",9,y"))
    assert [f["detail"] for f in parsed.failures.to_pylist()] == [
        "box needs 0 <= XMin <= XMax <= 1"
    ]
    assert (parsed.rows, parsed.bad_rows, len(parsed.table)) == (1, 1, 0)


@pytest.mark.parametrize("click", ["inf", "left", "1e999"])
def test_a_box_is_kept_without_clicks_that_are_bad(click: str):
    rest = f",.1,{click},.3,.4,.5,.6,.7,{click}"
    parsed = parse("boxes", BOXES + CLICKS, box(rest=rest) + box(B, rest=",.1" * 8))
    bad, good = values(parsed, "extreme_points")
    assert (bad, len(good)) == (None, 4)
    assert problems(parsed) == [(1, "bad_row", A)]


@pytest.mark.parametrize(
    "corners",
    ["-0.1,1,0,1", "0,1.1,0,1", "1,0,0,1", "0,1,1,0", "nan,1,0,1", "0,,0,1", "0,1,0,inf"],
)
def test_boxes_that_are_none(corners: str):
    assert problems(parse("boxes", BOXES, box(corners=corners))) == [(1, "bad_row", A)]
    assert problems(parse("boxes", BOXES, box() + box(B, corners=corners))) == [(2, "bad_row", B)]


@pytest.mark.parametrize("corners", ["0,0,0,0", "1,1,1,1", "-0.0,1,0,1", "0,1.0,0,1e0"])
def test_boxes_at_the_limits(corners: str):
    assert parse("boxes", BOXES, box(corners=corners)).bad_rows == 0


def test_extreme_points_are_four_none_or_unknown():
    clicks = ",.1,.2,.3,.4,.5,.6,.7,.8"
    parsed = parse("boxes", BOXES + CLICKS, box(rest=clicks) + box(rest=",-1" * 8))
    four, none = values(parsed, "extreme_points")
    assert [point["x"] for point in four] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert [point["y"] for point in four] == pytest.approx([0.5, 0.6, 0.7, 0.8])
    assert none == []
    assert values(parse("boxes", BOXES, box()), "extreme_points") == [None]


def test_a_bad_rotation_keeps_its_image():
    rows = "".join(f"{A},train,,,{degrees}\n" for degrees in ("90.0", "45", "right", "360.0"))
    parsed = parse("images", IMAGES, rows)
    assert values(parsed, "rotation") == [90, None, None, None]
    assert problems(parsed) == [(line, "bad_rotation", A) for line in (2, 3, 4)]
    assert (parsed.rows, parsed.bad_rows) == (4, 0)


def test_a_subset_of_another_name_is_a_bad_row():
    parsed = parse("images", IMAGES, f"{A},val,,,\n{B},dev,,,\n")
    assert values(parsed, "split") == ["validation"]
    assert problems(parsed) == [(2, "bad_row", B)]


@pytest.mark.parametrize(
    ("clicks", "count"),
    [("", 0), ("0.1 0.2 1", 1), ("0.1 0.2 1;0 1 0", 2), ("0.1 0.2 1;", 1)]
    + [(text, None) for text in ("0.1 0.2", "0.1,0.2,1", "a b c", ";", "0.1 0.2 1;;")],
)
def test_clicks_of_masks(clicks: str, count: int | None):
    clicks = f'"{clicks}"' if "," in clicks else clicks
    other = f"b.png,{B},/m/01,b,0,1,0,1,,0 1 0;1 0 1\n"
    parsed = parse("masks", MASKS, f"a.png,{A},/m/01,b,0,1,0,1,,{clicks}\n{other}")
    found, sound = values(parsed, "clicks")
    assert (None if found is None else len(found), len(sound)) == (count, 2)
    assert problems(parsed) == ([(1, "bad_row", A)] if count is None else [])
    assert set(values(parsed, "predicted_iou")) <= {None}


@pytest.mark.parametrize(
    ("box_and_iou", "is_bad"),
    [(text, True) for text in ("0.9,0.1,0,1,0.5", "0,,0,1,0.5", "0,1,x,1,0.5")]
    + [(text, True) for text in ("0,1,0,1,high", "0,1,0,1,inf")]
    + [(text, False) for text in (",,,,0.5", "0,1,0,1,nan")],
)
def test_a_mask_is_kept_without_its_box_or_iou(box_and_iou: str, is_bad: bool):
    parsed = parse("masks", MASKS, f"a.png,{A},/m/01,b,{box_and_iou},\n")
    (value,) = parsed.table["value"].to_pylist()
    fields = [value[name] for name in ("xmin", "xmax", "ymin", "ymax", "predicted_iou")]
    has_iou = box_and_iou.endswith("0.5")
    assert fields == ([None] * 4 + [0.5] if has_iou else [0, 1, 0, 1, None])
    assert problems(parsed) == ([(1, "bad_row", A)] if is_bad else [])


def test_clicks_of_more_masks_than_are_split_at_once():
    counts = [n % 4 for n in range(10_000)]
    clicks = [";".join(f"0.5 {k / 8} {k}" for k in range(count)) for count in counts]
    rows = "".join(f"a.png,{A},/m/01,b,0,1,0,1,,{text}\n" for text in clicks)
    parsed = values(parse("masks", MASKS, rows), "clicks")
    assert [[click["y"] for click in row] for row in parsed] == [
        [k / 8 for k in range(count)] for count in counts
    ]


@pytest.mark.parametrize("path", ["../a.png", "/a.png", "a/b.png", "a\\b.png", "..", "a..png"])
def test_a_mask_path_that_is_no_plain_name_is_unsafe(path: str):
    parsed = parse(
        "masks", MASKS, f"{path},{A},/m/01,b,0,1,0,1,0.5,\nb.png,{A},/m/01,c,0,1,0,1,,\n"
    )
    assert problems(parsed) == [(1, "unsafe_path", A)]
    assert values(parsed, "box_id") == ["c"]


@pytest.mark.parametrize(
    "row", ["1.1,0,/m/01,yes,ih,1,0,0,", "0,nan,/m/01,yes,ih,1,0,0,", "0,0,,yes,ih,1,0,0,"]
)
def test_points_that_are_none(row: str):
    parsed = parse("points", POINTS, f"{A},{row}\n{B},0,1,/m/01,no,cc,0,3,0,\n")
    assert problems(parsed) == [(1, "bad_row", A)]
    assert values(parsed, "no_votes") == [3]
    assert values(parsed, "text_label") == [""]


@pytest.mark.parametrize("votes", ["-1", "some", "1.5", "9999999999"])
def test_a_point_is_kept_without_votes_that_are_no_count(votes: str):
    rows = f"{A},0,1,/m/01,no,cc,{votes},3,0,\n{B},0,1,/m/01,no,cc,,3,0,\n"
    parsed = parse("points", POINTS, rows)
    assert values(parsed, "yes_votes") == [None, None]
    assert values(parsed, "no_votes") == [3, 3]
    assert problems(parsed) == [(1, "bad_row", A)]


def test_text_that_is_not_utf8_is_lost_and_its_image_kept():
    text = f"{A},train,café,,\n".encode("latin-1") + f"{B},train,café,,\n".encode()
    parsed = parse("images", IMAGES, text)
    assert values(parsed, "title") == [None, "café"]
    assert problems(parsed) == [(1, "bad_row", A)]
    assert parsed.bad_rows == 0


@pytest.mark.parametrize("column", range(2, 5))
def test_a_name_that_is_no_utf8_costs_its_row_where_it_is_required(column: int):
    row = [A, "xclick", "/m/01", "1", "0", "1", "0", "1"]
    bad = [*row[:column], "é", *row[column + 1 :]]
    text = ",".join(bad).encode("latin-1") + b"\n" + ",".join(row).encode()
    parsed = parse("boxes", BOXES, text)
    assert parsed.bad_rows == (0 if BOXES[column] == "Confidence" else 1)
    assert problems(parsed) == [(1, "bad_row", A)]


@pytest.mark.parametrize("written", ["{}", " {} ", "{}.jpg", "{}.JPEG", "{}.png", "train/{}.jpg"])
@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_ids_as_toolkits_write_them(written: str, case):
    own = "00abcdef12345678"
    rows = box(written.format(case(own))) + box(B) + box(f"{own}0") + box(f"x{own}.jpg")
    parsed = parse("boxes", BOXES, rows)
    assert image_ids(parsed.table["key"].to_numpy()).to_pylist() == [own, B]
    assert problems(parsed) == [(3, "bad_row", None), (4, "bad_row", None)]


def test_failures_name_an_id_as_it_is_published():
    parsed = parse("boxes", BOXES, box("ABCDEF0123456789.jpg", corners="1,0,0,1"))
    assert problems(parsed) == [(1, "bad_row", "abcdef0123456789")]


def test_spaces_around_values_are_no_part_of_them():
    columns = (*BOXES, "IsOccluded")
    row = f" {A} , xclick, /m/01 , 1 , 0 , 1 , 0\t, 1 , 1 \n"
    parsed = parse("boxes", columns, row + box(B, rest=",0"))
    first, second = parsed.table["value"].to_pylist()
    assert first == second | {"is_occluded": 1}
    assert image_ids(parsed.table["key"].to_numpy()).to_pylist() == [A, B]
    (image,) = parse("images", IMAGES, f"{A}, train , a title ,1 , 90.0\n").table[1].to_pylist()
    found = [image[name] for name in ("split", "title", "original_size", "rotation")]
    assert found == ["train", " a title ", 1, 90]


def test_columns_that_no_format_knows_are_passed_over():
    columns = ("", *BOXES[:3], "ClassName", *BOXES[3:], "ClassName", "")
    row = box(B).strip().split(",")
    text = ",".join(["0", *row[:3], "caf\xe9", *row[3:], '"a,b"', ""]).encode("latin-1")
    parsed = parse("boxes", columns, text + b"\n" + text.replace(b"/m/01,", b"/m/01,x,"))
    assert parsed.table.slice(0, 1).equals(parse("boxes", BOXES, box(B)).table)
    assert problems(parsed) == [(2, "bad_row", None)]


@pytest.mark.parametrize("rest", [",more", ""])
def test_a_row_of_another_length_may_be_no_utf8(rest: str):
    rows = f"{A},train,café,,{rest or ',,'}\n{A},train,日本,,\n{B},test,é,1,0\n"
    data = rows.encode().replace("é".encode(), b"\xe9")
    parsed = parse("images", IMAGES, data)
    assert values(parsed, "title") == ["日本", None]
    assert problems(parsed) == [(1, "bad_row", None), (3, "bad_row", B)]


def test_names_of_columns_in_another_case():
    columns = ("image_id", "labelname", "X Min", "xmax", "YMIN", "ymax", "is_group_of")
    parsed = parse("boxes", columns, f"{A},/m/01,0,1,0,1,1\n")
    (value,) = parsed.table["value"].to_pylist()
    assert (value["label"], value["xmax"], value["is_group_of"]) == ("/m/01", 1, 1)
    assert (value["source"], value["confidence"]) == (None, None)
    # Beside the column by its very name, another is unknown.
    parsed = parse("image_labels", ("ImageID", "image_id", "LabelName", "Confidence"), f"{A},x,y,1")
    assert image_ids(parsed.table["key"].to_numpy()).to_pylist() == [A]


@pytest.mark.parametrize("kind", ["boxes", "image_labels", "masks", "points", "relationships"])
def test_a_name_that_is_required_is_not_empty(kind: str):
    table = TABLES[kind]
    sound = {pa.string(): "a", pa.float32(): "0.5", pa.int32(): "1", pa.int8(): "1"}
    columns = (table.image_id, *table.required)
    names = [name for name in table.required if table.required[name] == pa.string()]
    for empty in names:
        row = [A, *("" if name == empty else sound[table.required[name]] for name in columns[1:])]
        parsed = parse(kind, columns, ",".join(row))
        kept = empty == "EstimatedYesNo"
        assert (parsed.rows, parsed.bad_rows) == (1, 0 if kept else 1)


def test_lines_count_on_past_quoted_and_blank_lines():
    rows = [f'{A},train,"a\n\nb",,', "", f"{A},train,,,45", "\r", f"{B},train,,,45", "short"]
    parsed = parse("images", IMAGES, "\n".join(rows))
    reasons = [(5, "bad_rotation", A), (7, "bad_rotation", B), (8, "bad_row", None)]
    assert problems(parsed) == reasons
    assert values(parsed, "title") == ["a\n\nb", None, None]


@pytest.mark.parametrize("text", [b"", b"\n", b"\r\n\r\n"])
def test_a_block_without_rows(text: bytes):
    parsed = parse("images", IMAGES, text)
    assert (parsed.rows, parsed.bad_rows, len(parsed.table)) == (0, 0, 0)
    assert parsed.table.schema == parse("images", IMAGES, f"{A},train,,,\n").table.schema


def test_a_column_that_the_file_lacks_is_null():
    parsed = parse("images", ("ImageID", "Subset"), f"{A},train\n")
    (value,) = parsed.table["value"].to_pylist()
    assert value.pop("split") == "train"
    assert set(value.values()) == {None}


def test_columns_go_by_name():
    parsed = parse("boxes", BOXES[::-1], ",".join(["1", ".75", ".5", ".25", "1", "/m/01", "x", A]))
    (value,) = parsed.table["value"].to_pylist()
    corners = {name: value[name] for name in ("xmin", "xmax", "ymin", "ymax")}
    assert corners == {"xmin": 0.25, "xmax": 0.5, "ymin": 0.75, "ymax": 1}
    assert image_ids(parsed.table["key"].to_numpy()).to_pylist() == [A]


def test_every_kind_fills_the_type_it_declares():
    for kind, table in TABLES.items():
        if kind != "narratives":
            parsed = parse(kind, tuple(table.types), b"")
            assert parsed.table.schema == pa.schema({"key": pa.uint64(), "value": table.row})
