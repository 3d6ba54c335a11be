"""Lines that are dropped before parsing: what is left is as if all had been parsed."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from transforms.dataset.elements import Source, in_one_piece
from transforms.dataset.keys import KeySet, image_keys, mix
from transforms.kinds.kind import Kind
from transforms.kinds.parsing.parsed import ParsedBlock
from transforms.kinds.reading.label_set import LabelSet
from transforms.kinds.reading.lines import RowFilter
from transforms.kinds.registry import TABLES

IDS = [f"{number:016x}" for number in (1, 2, 0xABCDEF0123456789, 0xFFFFFFFFFFFFFFFF)]
LABELS = ("/m/0", "/m/01", "/m/01y", "/m/01yr", "/m/01yrx", "/m/01yrxz", "/g/11abc", "/m/09x")
COLUMNS = {
    "image_labels": ("ImageID", "Source", "LabelName", "Confidence"),
    "boxes": ("ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax"),
    "masks": ("MaskPath", "ImageID", "LabelName", "BoxID"),
    "points": ("ImageID", "X", "Y", "Label", "EstimatedYesNo", "TextLabel"),
    "relationships": (
        *("LabelName1", "ImageID", "LabelName2", "XMin1", "XMax1", "YMin1", "YMax1"),
        *("XMin2", "XMax2", "YMin2", "YMax2", "RelationshipLabel"),
    ),
    "images": ("Title", "ImageID", "Subset", "Author"),
}
FREE = st.sampled_from(
    ("", "plain", '"a, b"', '"two\nlines"', '"two\r\nlines, /m/01yrx"', '"not closed', 'in"side')
)
FREE |= st.sampled_from([f'"quoted\n{image_id},train,x"' for image_id in IDS[:2]])
WRITTEN = (str, str, str, str.upper, '"{}"'.format, " {} ".format, "{}.jpg".format, "a/{}".format)


def _source(kind: str, columns: tuple[str, ...], delimiter: str = ",") -> Source:
    columns = columns if kind != "narratives" else ()
    return Source(0, kind, f"{kind}.csv", 0, columns=columns, delimiter=delimiter)


@st.composite
def _field(draw: st.DrawFn, name: str) -> str:
    if name == "ImageID":
        return draw(st.sampled_from(WRITTEN))(draw(st.sampled_from(IDS)))
    if name in ("Title", "Author", "TextLabel"):
        return draw(FREE)
    if "Label" in name and name != "RelationshipLabel":
        return draw(st.sampled_from((str, str, '"{}"'.format, " {} ".format)))(
            draw(st.sampled_from(LABELS))
        )
    others = {"MaskPath": "a.png", "Subset": "train", "EstimatedYesNo": "yes", "Source": "xclick"}
    return draw(st.sampled_from((others.get(name, "1"), "0", "1", "2", "")))


@st.composite
def _line(draw: st.DrawFn, columns: tuple[str, ...], delimiter: str) -> str:
    fields = [draw(_field(name)) for name in columns]
    count = draw(st.sampled_from((len(fields), len(fields), len(fields), 1, 2, 3, 20)))
    return delimiter.join((fields * 20)[:count])


@st.composite
def _tables(draw: st.DrawFn) -> tuple[Source, bytes]:
    """A table and lines below its header."""
    kind = draw(st.sampled_from(list(COLUMNS)))
    columns = COLUMNS[kind]
    columns = draw(st.sampled_from((columns, columns[::-1], columns[1:] + columns[:1])))
    delimiter = draw(st.sampled_from(",\t"))
    other = st.sampled_from(("", "\r", "x", ",,,", delimiter.join(columns), '"', "/m/01"))
    lines = draw(st.lists(_line(columns, delimiter) | other, max_size=8))
    ends = draw(st.lists(st.sampled_from(("\n", "\n", "\r\n")), min_size=8, max_size=8))
    text = "".join(f"{line}{end}" for line, end in zip(lines, ends, strict=False))
    if draw(st.booleans()):
        text = text.rstrip("\r\n")
    return _source(kind, columns, delimiter), text.encode()


def _keys(ids: list[str]) -> np.ndarray:
    return np.sort(image_keys(pa.array(ids, pa.string()))[0])


def _filtered(source: Source, data: bytes, wanted: RowFilter) -> ParsedBlock:
    finder = wanted.finder()
    assert finder
    kind = TABLES[source.kind]
    found = finder.filter_lines(source, kind, data)
    return finder.filter_rows(kind.parse(source, found.data), found)


def _failures(block: ParsedBlock) -> list[str]:
    return [json.dumps(each, default=str) for each in block.failures.to_pylist()]


def _check_keys(source: Source, data: bytes, ids: list[str]) -> None:
    keys = _keys(ids)
    every = TABLES[source.kind].parse(source, data)
    block = _filtered(source, data, RowFilter(keys=keys.tobytes()))
    wanted = np.isin(np.array(every.table["key"].to_pylist(), np.uint64), keys)
    assert block.table.equals(every.table.filter(pa.array(wanted)))
    assert block.rows == every.rows
    assert block.lines == every.lines
    assert block.table.num_rows + block.deselected + block.bad_rows == block.rows
    unread = set(_failures(every)) - set(_failures(block))
    assert not set(_failures(block)) - set(_failures(every))
    assert not any(json.loads(each)["image_id"] in ids for each in unread)


#: A quote that is closed by another row's line, if the row between them isn't there.
STRAY = f"""{IDS[0]},0,0,/m/01,yes,"not
{IDS[1]},0,0,/m/01,yes,
closed"
""".encode()
#: A row that names a short label, far from the end.
SHORT = b"0000000000000001,x,/m/0,1\n" + 3 * b"0000000000000001,x,/m/09xyz,1\n"


@given(_tables(), st.lists(st.sampled_from(IDS), unique=True))
@example((_source("points", COLUMNS["points"]), STRAY), [IDS[0]])
@example((_source("images", COLUMNS["images"]), b"\n\n"), [])
@example((_source("masks", COLUMNS["masks"]), b"x\n\na.png,0000000000000002,/m/01,b\n"), [IDS[0]])
@example((_source("boxes", COLUMNS["boxes"]), b""), [])
def test_rows_of_some_images(table: tuple[Source, bytes], ids: list[str]) -> None:
    _check_keys(*table, ids)


@given(
    _tables().filter(lambda table: TABLES[table[0].kind].labels),
    st.lists(st.sampled_from(LABELS), min_size=1, unique=True),
    st.lists(st.sampled_from(IDS), unique=True) | st.none(),
)
@example((_source("boxes", COLUMNS["boxes"]), b"/m/01\n"), list(LABELS), None)
@example((_source("image_labels", COLUMNS["image_labels"]), SHORT), list(LABELS[:4]), None)
def test_rows_that_name_some_labels(
    table: tuple[Source, bytes], labels: list[str], ids: list[str] | None
) -> None:
    source, data = table
    keys = None if ids is None else _keys(ids)
    every = TABLES[source.kind].parse(source, data)
    wanted = RowFilter(keys=None if keys is None else keys.tobytes(), labels=tuple(labels))
    block = _filtered(source, data, wanted)
    kind = TABLES[source.kind]
    expected = every.table.filter(pa.array(_names(kind, every, labels)))
    if keys is not None:
        has_key = np.isin(np.array(expected["key"].to_pylist(), np.uint64), keys)
        expected = expected.filter(pa.array(has_key))
    assert block.table.filter(pa.array(_names(kind, block, labels))).equals(expected)


def _names(kind: Kind, block: ParsedBlock, labels: list[str]) -> np.ndarray:
    """Which rows name one of some labels."""
    values = in_one_piece(block.table["value"])
    fields = [values.field(name).to_pylist() for name in kind.labels]
    return np.array([not {*each}.isdisjoint(labels) for each in zip(*fields, strict=True)], bool)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                (
                    '{{"dataset_id": "x", "image_id": "{}", "caption": "c"}}',
                    '{{"dataset_id":"x","image_id":"{}","caption":"c"}}',
                    '{{"image_id": "{}", "caption": "c"}}',
                    '{{"caption": "c", "image_id": "{}"}}',
                    ' {{"image_id": "{}", "caption": "c"}}',
                    '{{"image_id": "{}", "caption": 7}}',
                    '{{"image_id": "{}", ',
                    "{}",
                    "",
                )
            ),
            st.sampled_from((str, str.upper, "{}x".format)),
            st.sampled_from(IDS),
        ),
        max_size=6,
    ),
    st.lists(st.sampled_from(IDS), unique=True),
    st.booleans(),
)
def test_narratives_of_some_images(lines: list, ids: list[str], ends: bool) -> None:
    data = "\n".join(form.format(write(image_id)) for form, write, image_id in lines)
    data += "\n" if ends else ""
    _check_keys(_source("narratives", ()), data.encode(), ids)


@given(
    st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=50),
    st.lists(st.integers(0, 2**64 - 1), max_size=50),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64),
)
def test_keys_are_found(some: list[int], others: list[int], start: int, size: int) -> None:
    keys = np.sort(np.array(some, np.uint64))
    asked = np.array([*some, *others], np.uint64)
    assert KeySet(keys).holds(asked).tolist() == np.isin(asked, keys).tolist()
    finder = RowFilter(start=start, size=size).finder()
    if finder:
        within = [(key - start) % 2**64 < size for key in [*some, *others]]
        assert finder.wants(asked).tolist() == within


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_labels_that_nothing_names_are_passed_over(count: int) -> None:
    """Most lines without a label are dropped, or there would be no use."""
    labels = [f"/m/0{number}abc" for number in range(count)]
    data = b"".join(b"%016x,x,/m/0%dxyz,1\n" % (number, number) for number in range(1000))
    assert len(LabelSet(labels).places(data)) < 30


def test_ids_are_of_keys() -> None:
    assert _keys(IDS[:1])[0] == mix(np.array([1], np.uint64))[0]
