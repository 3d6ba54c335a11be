"""Cutting files into blocks: whatever the cuts, every record is read once and whole."""

import csv
import io
import tempfile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from transforms.dataset.elements import Source
from transforms.kinds.parsing import blocks, records
from transforms.kinds.parsing.blocks import TextBlock, stream_blocks
from transforms.kinds.parsing.records import Layout
from transforms.kinds.reading.ranges import plan_ranges
from transforms.kinds.reading.text import read_blocks

FIELDS = st.lists(st.sampled_from(["a", '"', ",", "\n", "\r\n", " ", "é"]), max_size=8).map("".join)
IDS = st.integers(0, 99).map("{:016x}".format)
COLUMNS = ("ImageID", "Subset", "Title")
LAYOUT = Layout(fields=3, id_place=0, delimiter=",", has_free_text=True)
SIZES = st.integers(1, 60)


def write_csv(rows: list[tuple], ending: str, final_break: bool) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator=ending).writerows(rows)
    return text.getvalue().removesuffix("" if final_break else ending).encode()


def read_csv(data: bytes) -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(data.decode(), newline="")) if row]


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """CSV with fields that hold quotes, commas and line breaks."""
    rows = draw(st.lists(st.tuples(IDS, FIELDS, FIELDS), max_size=12))
    return write_csv(rows, draw(st.sampled_from(["\n", "\r\n"])), draw(st.booleans()))


def read_in_ranges(
    data: bytes, range_size: int, chunk_size: int, kind: str = "images"
) -> list[TextBlock]:
    """What the ranges of a file hold, cut and read as a build does it."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        source = Source(0, kind, file.name, len(data), columns=COLUMNS)
        pieces = plan_ranges(source, range_size)
        return [block for piece in pieces for block in read_blocks(source, piece, chunk_size)]


def in_chunks(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def joined(found: list[TextBlock]) -> bytes:
    """All bytes of blocks, each of which says where it begins."""
    data = b""
    for block in found:
        assert block.start == len(data)
        data += block.data
    return data


@given(tables(), SIZES, SIZES)
@example(b'000000000000000a,"b\nc",d\n000000000000000b,e,f\n', 5, 5)
@example(b'000000000000000a,"b\nc",d\n000000000000000b,e,f\n', 40, 5)
def test_ranges_of_any_size_hold_whole_records(data: bytes, range_size: int, chunk_size: int):
    pieces = [block.data for block in read_in_ranges(data, range_size, chunk_size)]
    assert b"".join(pieces) == data
    assert [row for piece in pieces for row in read_csv(piece)] == read_csv(data)


@given(tables(), SIZES, st.integers(1, 9))
def test_blocks_of_a_stream_hold_whole_records(data: bytes, block_size: int, chunk_size: int):
    stream = stream_blocks(iter(in_chunks(data, chunk_size)), 0, block_size, LAYOUT)
    pieces = [block.data for block in stream]
    assert b"".join(pieces) == data
    assert [row for piece in pieces for row in read_csv(piece)] == read_csv(data)


@given(st.lists(st.text(st.sampled_from('a",'), max_size=9)), SIZES, SIZES)
def test_without_free_text_every_line_break_ends_a_record(
    lines: list[str], range_size: int, chunk_size: int
):
    data = "\n".join(lines).encode()
    pieces = [block.data for block in read_in_ranges(data, range_size, chunk_size, "masks")]
    assert b"".join(pieces) == data
    assert all(piece.endswith(b"\n") for piece in pieces[:-1])


#: Lines of which some begin records, some run out of quotes, and some close them.
LINES = st.sampled_from(
    [
        *("000000000000000a,train,a", '000000000000000b,train,"b', '000000000000000c,"train,c'),
        *('"000000000000000d",train,"d', "x", 'y"', '"', '",z', '"x,,', "", '000000000000000e"'),
        *('z",000000000000000f,"', "\r", 'a,"b', 'b","c'),
    ]
)


def records_of(data: bytes) -> list[bytes]:
    continued = records.find_quoted_lines(data, LAYOUT).continued
    found: list[bytes] = []
    for i, line in enumerate(data.split(b"\n")):
        if i in continued:
            found[-1] += b"\n" + line
        else:
            found.append(line)
    return list(filter(None, found))


@given(st.lists(LINES, max_size=14), SIZES, SIZES)
def test_records_are_the_same_wherever_a_file_is_cut(
    lines: list[str], range_size: int, chunk_size: int
):
    data = "\n".join(lines).encode()
    whole = records_of(data)
    pieces = [block.data for block in read_in_ranges(data, range_size, chunk_size)]
    assert b"".join(pieces) == data
    assert [record for piece in pieces for record in records_of(piece)] == whole
    stream = stream_blocks(iter(in_chunks(data, chunk_size)), 0, range_size, LAYOUT)
    assert [record for block in stream for record in records_of(block.data)] == whole


@given(st.lists(LINES, max_size=14), SIZES, SIZES)
def test_also_where_records_are_too_long(lines: list[str], range_size: int, chunk_size: int):
    with pytest.MonkeyPatch.context() as patched:
        for module in (records, blocks):
            patched.setattr(module, "MAX_RECORD_BYTES", 50)
        data = "\n".join([*lines, "x" * 120, *lines]).encode()
        pieces = read_in_ranges(data, range_size, chunk_size)
        stream = list(stream_blocks(iter(in_chunks(data, chunk_size)), 0, range_size, LAYOUT))
        assert joined(pieces) == data
        assert joined(stream) == data
        whole = [record[:51] for record in records_of(data)]
        for found in (pieces, stream):
            kept = [r for block in found if not block.is_rest for r in records_of(block.data)]
            assert [record[:51] for record in kept] == whole


def test_a_broken_stream_gives_its_whole_lines_then_the_error():
    def chunks():
        yield b"1,a\n2,b\n3"
        raise EOFError("ended early")

    stream = stream_blocks(chunks(), 0, 1000, None)
    assert next(stream).data == b"1,a\n2,b\n"
    with pytest.raises(EOFError, match="ended early"):
        next(stream)


@pytest.mark.parametrize("layout", [None, LAYOUT])
def test_no_line_fills_memory(monkeypatch: pytest.MonkeyPatch, layout: Layout | None):
    monkeypatch.setattr(blocks, "MAX_RECORD_BYTES", 100)
    chunks = (b"x" * 10 for _ in range(1000))
    found = list(stream_blocks(chunks, 0, 20, layout))
    assert max(len(block.data) for block in found) <= 111
    assert [block.is_rest for block in found] == [False, *[True] * (len(found) - 1)]


@pytest.mark.parametrize("layout", [None, LAYOUT])
def test_lines_that_are_no_records_fill_no_memory(
    monkeypatch: pytest.MonkeyPatch, layout: Layout | None
):
    monkeypatch.setattr(blocks, "MAX_RECORD_BYTES", 100)
    found = list(stream_blocks((b'x"\n' * 5 for _ in range(100)), 0, 20, layout))
    assert max(len(block.data) for block in found) <= 150


A, B = b"000000000000000a", b"000000000000000b"


@pytest.mark.parametrize(
    ("text", "unclosed", "continued"),
    [
        pytest.param("<A>,b,c\n<B>,c,d\n", [], [], id="no quotes"),
        pytest.param('<A>,"b\nc",\n<B>,d,e\n', [], [1], id="a quoted line break"),
        pytest.param('"<A>","b\nc",\n<B>,d,e\n', [], [1], id="a quoted ImageID"),
        pytest.param('a/<A>.jpg,"b\nc",\n', [], [1], id="the path of a picture"),
        pytest.param('<A>,"\n\n",\n<B>,d,e', [], [1, 2], id="a quoted blank line"),
        pytest.param('<A>,"b\nc","\nd"\n', [], [1, 2], id="two quoted line breaks"),
        pytest.param('<A>,"b\n<B>,c,d\ne,f\n', [0], [], id="a quote that nothing closes"),
        pytest.param('<A>,"b\n<B>,c,d\n<A>,"f\n', [0, 2], [], id="two that close nothing"),
        pytest.param('<A>,"b\n<B>,c,d\n<A>,f,"\n', [0, 2], [], id="two that might be a pair"),
        pytest.param('<A>,"b\n<B>,c,"d\ne"\n', [0], [2], id="one before a quoted line break"),
        pytest.param('<A>,5" disk,\n<B>,c,d\n', [], [], id="a quote that stands for itself"),
        pytest.param('<A>,5" disk,"a\nb"\n', [], [1], id="and before a quoted line break"),
        pytest.param('<A>,"""b",\n<B>,c,d\n', [], [], id="a doubled quote"),
        pytest.param('<A>,"b\nc",d,e\n<B>,f,g', [0], [], id="a record of too many fields"),
        pytest.param('<A>,"b\nc"x,\n<B>,f,g', [0], [], id="text after the closing quote"),
        pytest.param('x,"b\nc",\n<B>,f,g', [0], [], id="no ImageID"),
        pytest.param('"<A>,b,c\n<B>,"f\n",g', [0], [2], id="a quote before the ImageID"),
    ],
)
def test_stray_quotes_are_told_from_quoted_line_breaks(text, unclosed, continued):
    data = text.encode().replace(b"<A>", A).replace(b"<B>", B)
    assert records.find_quoted_lines(data, LAYOUT) == (unclosed, continued)


def test_no_line_break_is_quoted_where_there_is_no_free_text():
    layout = Layout(2, 0, ",", has_free_text=False)
    assert records.find_quoted_lines(A + b',"b\nc"\n', layout) == ([0], [])


def test_a_quote_is_stray_if_it_is_closed_too_far_away(monkeypatch: pytest.MonkeyPatch):
    data = A + b',"b\nc",\n'
    for size, wanted in ((len(data), [1]), (len(data) - 1, [])):
        monkeypatch.setattr(records, "MAX_RECORD_BYTES", size)
        assert records.find_quoted_lines(data + B + b",c,d\n", LAYOUT).continued == wanted


@given(tables())
def test_sound_csv_has_no_stray_quotes(data: bytes):
    rows = read_csv(data)
    found = records.find_quoted_lines(data, LAYOUT)
    assert not found.unclosed
    assert len(found.continued) == sum("".join(row).count("\n") for row in rows)
