"""Lines of localized narratives: each a JSON object, or a failure that harms no other."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.dataset.elements import Source
from transforms.dataset.keys import image_ids
from transforms.kinds.narratives import NARRATIVES
from transforms.kinds.parsing.parsed import ParsedBlock

A, B = f"{10:016x}", f"{11:016x}"
FLOAT32 = st.floats(-4, 4, width=32)
POINT = st.fixed_dictionaries({"x": FLOAT32, "y": FLOAT32, "t": FLOAT32})
TRACES = st.lists(st.lists(POINT, max_size=3), max_size=3)


def line(image_id: object = A, **changes: object) -> str:
    narrative = {
        "dataset_id": "open_images_train",
        "image_id": image_id,
        "annotator_id": 7,
        "caption": "A cat.",
        "timed_caption": [{"utterance": "A cat.", "start_time": 0.5, "end_time": 1.5}],
        "traces": [[{"x": 0.25, "y": -0.5, "t": 0.0}], []],
        "voice_recording": "a/b.ogg",
    }
    return json.dumps(narrative | changes, ensure_ascii=False)


def parse(data: bytes) -> ParsedBlock:
    return NARRATIVES.parse(Source(0, "narratives", "a.jsonl", len(data)), data)


def problems(data: bytes) -> list[tuple]:
    rows = parse(data).failures.to_pylist()
    return [(row["line"], row["reason"], row["image_id"]) for row in rows]


@given(st.lists(st.tuples(st.text(), TRACES), max_size=5), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_sound_lines_come_through_whole(rows: list, ending: str):
    lines = [line(f"{i:016x}", caption=c, traces=t) for i, (c, t) in enumerate(rows)]
    parsed = parse(ending.join(lines).encode())
    assert (parsed.rows, parsed.bad_rows) == (len(rows), 0)
    ids = image_ids(parsed.table["key"].to_numpy()).to_pylist()
    assert ids == [f"{i:016x}" for i in range(len(rows))]
    values = parsed.table["value"].to_pylist()
    assert [(value["caption"], value["traces"]) for value in values] == rows


BAD_LINES = {
    "cut off": line()[:-9],
    "an array": "[1, 2]",
    "an object in an array": f"[{line()}]",
    "a number": "5",
    "null": "null",
    "two objects": line() + line(),
    "an object and more": line() + "x",
    "nothing known in it": "{}",
    "a key twice": '{"image_id": "a", "image_id": "b"}',
    "a caption that is a number": line(caption=5),
    "a caption that is an object": line(caption={}),
    "an id that is a number": line(image_id=5),
    "no id": line(image_id=None),
    "half a surrogate pair": line().replace("A cat.", "\\ud800"),
    "deep brackets": "[" * 5000,
    "deep braces": "{" * 5000,
    "a null byte": "\0",
}


@pytest.mark.parametrize("bad", BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_harms_no_other(bad: str):
    for lines, at in (([bad], 1), ([line(A), bad, line(B)], 2), ([line(A), "", bad], 3)):
        data = "\n".join(lines).encode()
        parsed = parse(data)
        assert problems(data) == [(at, "bad_row", None)]
        rows = len(list(filter(None, lines)))
        assert (parsed.rows, parsed.bad_rows, len(parsed.table)) == (rows, 1, rows - 1)


@given(st.lists(st.none() | st.sampled_from(list(BAD_LINES.values())), max_size=12))
def test_any_mixture_of_lines(rows: list[str | None]):
    lines = [line(f"{i:016x}") if row is None else row for i, row in enumerate(rows)]
    data = "\n".join(lines).encode()
    parsed = parse(data)
    good = [f"{i:016x}" for i, row in enumerate(rows) if row is None]
    assert image_ids(parsed.table["key"].to_numpy()).to_pylist() == good
    assert [at for at, _, _ in problems(data)] == [i for i, row in enumerate(rows, 1) if row]


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([line(A)[:-1] + ', "m": [', "]}" + line(B) + "{", "}"], id="over lines"),
        pytest.param([line(A) + line(B), line(A)[:-1], "}"], id="two and two halves"),
        pytest.param([line(A) + '], "k": [' + line(B)], id="out of an array"),
        pytest.param([line(A) + "]}\t{" + '"only": [' + line(B), line(A)[:-1]], id="and into one"),
        pytest.param([line(A) + ", " + line(B)], id="with a comma"),
    ],
)
def test_lines_do_not_complete_each_other(lines: list[str]):
    data = "\n".join([line(B), *lines, line(A)]).encode()
    parsed = parse(data)
    assert (parsed.rows, parsed.bad_rows, len(parsed.table)) == (len(lines) + 2, len(lines), 2)
    for each in lines:
        assert len(parse(each.encode()).table) == 0


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e99"])
@pytest.mark.parametrize("field", ["x", "y", "t"])
def test_traces_of_no_finite_number_are_lost_alone(number: str, field: str):
    point = f'{{"{field}": {number}}}'
    bad = line(B).replace('[{"x": 0.25, "y": -0.5, "t": 0.0}]', f"[{point}]")
    assert point in bad
    data = f"{line(A)}\n{bad}".encode()
    assert problems(data) == [(2, "bad_row", B)]
    good, kept = parse(data).table["value"].to_pylist()
    assert kept == good | {"traces": None}


@pytest.mark.parametrize("field", ["start_time", "end_time"])
@pytest.mark.parametrize("number", ["NaN", "-Infinity", "0.1e55"])
def test_a_timed_caption_of_no_finite_time_is_lost_alone(number: str, field: str):
    bad = line(timed_caption=[{"utterance": "A cat.", field: "N"}]).replace('"N"', number)
    parsed = parse("\n".join([bad, line(B)]).encode())
    values = parsed.table["value"].to_pylist()
    assert [value["timed_caption"] is None for value in values] == [True, False]
    assert all(value["caption"] == "A cat." and value["traces"] for value in values)
    assert [(row["line"], row["reason"]) for row in parsed.failures.to_pylist()] == [(1, "bad_row")]


@pytest.mark.parametrize("other", [', "traces": null', "", ', "traces": [null, [null], []]'])
def test_traces_of_no_finite_number_beside_a_narrative_without_traces(other: str):
    bad = f'{{"image_id": "{A}", "caption": "b", "traces": [[{{"x": NaN, "y": 0, "t": 0}}]]}}'
    sound = f'{{"image_id": "{B}", "caption": "s"{other}}}'
    for lines in ([bad, sound], [sound, bad, sound]):
        parsed = parse("\n".join(lines).encode())
        assert (parsed.rows, parsed.bad_rows) == (len(lines), 0)
        assert [failure["image_id"] for failure in parsed.failures.to_pylist()] == [A]
        values = parsed.table["value"].to_pylist()
        traces = parse(sound.encode()).table["value"].to_pylist()[0]["traces"]
        assert [value["traces"] for value in values if value["caption"] == "b"] == [None]
        assert all(value["traces"] == traces for value in values if value["caption"] == "s")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("annotator_id", "seven"),
        ("annotator_id", 1 << 70),
        ("traces", [{"x": 1, "y": 1, "t": 1}]),
        ("timed_caption", "A cat."),
        ("voice_recording", 7),
    ],
)
def test_a_bad_field_is_lost_and_its_caption_kept(field: str, value: object):
    lines = [line(A), line(B, **{field: value}), line(A)]
    parsed = parse("\n".join(lines).encode())
    good, kept, _ = parsed.table["value"].to_pylist()
    assert kept == good | {field: None}
    (failure,) = parsed.failures.to_pylist()
    assert (failure["line"], failure["image_id"]) == (2, B)
    assert failure["detail"] == f"{field} is not of the format's type: null, the row is kept"
    assert (parsed.rows, parsed.bad_rows) == (3, 0)


@pytest.mark.parametrize("written", ["ABCDEF0123456789", "ABCDEF0123456789.jpg"])
def test_ids_as_toolkits_write_them(written: str):
    parsed = parse(line(written).encode())
    assert image_ids(parsed.table["key"].to_numpy()).to_pylist() == ["abcdef0123456789"]
    assert len(parsed.failures) == 0


@pytest.mark.parametrize(
    ("last", "is_cut"),
    [(line()[:-9], True), ("{", True), (line(), False), ("[1, 2]", False), (line() + "\n", False)],
)
def test_a_line_that_breaks_off_is_a_warning(last: str, is_cut: bool):
    parsed = parse(f"{line()}\n{last}".encode())
    assert ("download it again" in parsed.warning) == is_cut


def test_text_that_is_not_utf8_is_bad():
    data = f"{line(A)}\n{line(B, caption='café')}\n".encode("latin-1")
    assert problems(data) == [(2, "bad_row", None)]


def test_what_is_missing_is_null():
    parsed = parse(f'{{"image_id": "{A}", "caption": "c"}}'.encode())
    (value,) = parsed.table["value"].to_pylist()
    assert value.pop("caption") == "c"
    assert set(value.values()) == {None}


def test_unknown_fields_are_passed_over():
    parsed = parse(line(more={"of": [1, {"it": "all"}]}).encode())
    assert (parsed.rows, parsed.bad_rows) == (1, 0)
