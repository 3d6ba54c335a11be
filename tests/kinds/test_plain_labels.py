"""Plain image labels, parsed by words, are what `parse_csv` and `codes.encode` make of them."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.dataset import codes
from transforms.kinds.image_labels import IMAGE_LABELS
from transforms.kinds.parsing.parse_csv import CsvParser
from transforms.kinds.parsing.parsed import ParsedBlock
from transforms.kinds.parsing.plain_labels import KnownLabels, parse_plain_labels

COLUMNS = ["ImageID", "Source", "LabelName", "Confidence"]
LABELS = ["/m/01", "/m/01g317", "/m/0bt_c3x", "/m/01yrx12345xyz", "x", "/m/café", "a,b", "/m/02"]
KNOWN = KnownLabels(pa.array(LABELS, pa.string()))
ROW = "000026e7ee790996,verification,/m/01g317,1\n"


def expected(data: bytes) -> ParsedBlock:
    parsed = CsvParser(COLUMNS, IMAGE_LABELS).parse(data)
    value = parsed.table["value"].combine_chunks()
    coded = codes.encode(value, IMAGE_LABELS.coded, IMAGE_LABELS.labels, KNOWN.labels)
    parsed.table = parsed.table.set_column(1, "value", coded)
    return parsed


def assert_is_expected(found: ParsedBlock, data: bytes) -> None:
    wanted = expected(data)
    assert found.table.schema == wanted.table.schema
    assert found.table.equals(wanted.table)
    assert wanted.failures.num_rows == found.failures.num_rows == 0
    assert (found.rows, found.bad_rows) == (wanted.rows, wanted.bad_rows)
    assert found.lines == wanted.lines + (not data.endswith(b"\n"))


image_id = st.integers(0, 2**64 - 1).map("{:016x}".format)
source = st.sampled_from(["machine", "verification", "crowdsource-verification", "a b", "x"])
confidence = st.one_of(
    st.integers(0, 9).map(str), st.tuples(st.integers(0, 9), st.integers(0, 9)).map("%d.%d".__mod__)
)
plain_label = st.sampled_from(["/m/01", "/m/01g317", "/m/0bt_c3x", "x", "/m/02"])
plain_row = st.tuples(image_id, source, plain_label, confidence).map(",".join)


@settings(deadline=None)
@given(
    st.lists(plain_row, min_size=1, max_size=300),
    st.sampled_from([("\n", ""), ("\n", "\n"), ("\r\n", "\r\n")]),
    st.sampled_from([300, 1 << 18]),
)
def test_plain_rows_of_any_kind(rows: list[str], breaks: tuple[str, str], step: int) -> None:
    data = (breaks[0].join(rows) + breaks[1]).encode()
    found = parse_plain_labels(data, COLUMNS, KNOWN, step)
    assert found
    assert_is_expected(found, data)


def test_every_confidence_of_one_or_two_digits() -> None:
    texts = [f"{a}" for a in range(10)] + [f"{n / 10:.1f}" for n in range(100)]
    data = "".join(f"000026e7ee790996,machine,/m/01,{text}\n" for text in texts).encode()
    found = parse_plain_labels(data, COLUMNS, KNOWN)
    assert found
    assert_is_expected(found, data)


def test_labels_that_share_a_slot() -> None:
    labels = [f"/m/0{n:x}" for n in range(500)]
    data = "".join(f"000026e7ee790996,machine,{label},1\n" for label in labels).encode()
    found = parse_plain_labels(data, COLUMNS, KnownLabels(pa.array(labels), slot_bits=4))
    assert found
    assert found.table["value"].combine_chunks().field("label").to_pylist() == [*range(500)]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "000026e7ee790996",
        "000026E7EE790996,verification,/m/01,1",
        "000026e7ee79099,verification,/m/01,1",
        "000026e7ee7909961,verification,/m/01,1",
        "000026e7ee790996,verification,/m/01,1,",
        "000026e7ee790996,verification,/m/01",
        "000026e7ee790996,verification,/m/unknown,1",
        "000026e7ee790996,verification,/m/0,1",
        "000026e7ee790996,verification,/m/01\0,1",
        "000026e7ee790996,verification,/m/café,1",
        "000026e7ee790996,verification,a,b,1",
        "000026e7ee790996,verification,/m/01yrx12345xyz,1",
        "000026e7ee790996,verification,,1",
        "000026e7ee790996,,/m/01,1",
        "000026e7ee790996,a source that is longer than any,/m/01,1",
        '000026e7ee790996,"verification",/m/01,1',
        "000026e7ee790996,ça,/m/01,1",
        "000026e7ee790996,a\rb,/m/01,1",
        "000026e7ee790996,verification,/m/01,1\r" + "\n" + "000026e7ee790996,verification,/m/01,15",
        "000026e7ee790996,verification,/m/01,",
        "000026e7ee790996,verification,/m/01,x",
        "000026e7ee790996,verification,/m/01,.5",
        "000026e7ee790996,verification,/m/01,0.55",
        "000026e7ee790996,verification,/m/01,0x5",
        "000026e7ee790996,verification,/m/01,-1",
        " 000026e7ee790996,verification,/m/01,1",
    ],
)
@pytest.mark.parametrize("place", ["first", "between", "last"])
def test_what_is_not_plain_is_left_to_others(line: str, place: str) -> None:
    lines = {"first": [line, ROW[:-1]], "between": [ROW[:-1], line, ROW[:-1]], "last": [ROW + line]}
    data = ("\n".join(lines[place]) + "\n").encode()
    assert parse_plain_labels(data, COLUMNS, KNOWN) is None


alphabet = st.sampled_from([*b',.\n\r"0123456789abcdefmx/_- ', 0, 0xC3, 0xA9])


@settings(max_examples=400, deadline=None)
@given(st.lists(plain_row, min_size=1, max_size=4), st.data())
def test_no_change_of_a_byte_makes_a_wrong_answer(rows: list[str], drawn: st.DataObject) -> None:
    data = bytearray(("\n".join(rows) + "\n").encode())
    at = drawn.draw(st.integers(0, len(data) - 1))
    change = drawn.draw(st.sampled_from(["replace", "insert", "delete"]))
    data[at : at + (change != "insert")] = [] if change == "delete" else [drawn.draw(alphabet)]
    if drawn.draw(st.booleans()):
        data = data.replace(b"\n", b"\r\n")
    if found := parse_plain_labels(bytes(data), COLUMNS, KNOWN):
        assert_is_expected(found, bytes(data))


def test_without_a_known_label() -> None:
    assert parse_plain_labels(ROW.encode(), COLUMNS, KnownLabels(pa.array([], pa.string()))) is None


@pytest.mark.parametrize("data", [b"", b"\n", b"x" * 1_000_000])
def test_blocks_without_a_row(data: bytes) -> None:
    assert parse_plain_labels(data, COLUMNS, KNOWN) is None


def test_other_columns_are_left_to_others() -> None:
    assert parse_plain_labels(ROW.encode(), [*COLUMNS[::-1]], KNOWN) is None
    names = IMAGE_LABELS.columns_of([*COLUMNS[:3], "Condidence"])
    assert parse_plain_labels(ROW.encode(), names, KNOWN)
