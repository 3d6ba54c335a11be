"""Cutting files into blocks: whatever the cuts, every record is read once and whole."""

import csv
import io
import tempfile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from transforms.elements import Source
from transforms.formats import blocks
from transforms.formats.quotes import add_quotes
from transforms.formats.ranges import plan_ranges
from transforms.formats.read import read_blocks

FIELDS = st.lists(st.sampled_from(["a", '"', ",", "\n", "\r\n", " ", "é"]), max_size=8).map("".join)


def write_csv(rows: list[list[str]], ending: str, final_break: bool) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator=ending).writerows(rows)
    return text.getvalue().removesuffix("" if final_break else ending).encode()


def read_csv(data: bytes) -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(data.decode(), newline="")) if row]


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """CSV with fields that hold quotes, commas and line breaks."""
    width = draw(st.integers(2, 3))
    rows = draw(st.lists(st.lists(FIELDS, min_size=width, max_size=width), max_size=12))
    return write_csv(rows, draw(st.sampled_from(["\n", "\r\n"])), draw(st.booleans()))


def read_in_ranges(data: bytes, range_size: int, chunk_size: int, free_text: bool) -> list[bytes]:
    """What the ranges of a file hold, cut and read as a build does it."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        source = Source(0, "images" if free_text else "boxes", file.name, len(data))
        pieces = plan_ranges(source, range_size)
        counts = [blocks.count_quotes(file, piece.start, piece.stop) for piece in pieces]
        ranges = add_quotes(zip(pieces, counts, strict=True))
        return [data for piece in ranges for data in read_blocks(source, piece, chunk_size)]


SIZES = st.integers(1, 40)


@given(tables(), SIZES, SIZES)
@example(b'a,"b\nc"\nd,e\n', 5, 5)
@example(b'a,"b\nc"\nd,e\n', 40, 5)
def test_ranges_of_any_size_hold_whole_records(data: bytes, range_size: int, chunk_size: int):
    pieces = read_in_ranges(data, range_size, chunk_size, free_text=True)
    assert b"".join(pieces) == data
    assert [row for piece in pieces for row in read_csv(piece)] == read_csv(data)


@given(st.lists(st.text(st.sampled_from('a",'), max_size=9)), SIZES, SIZES)
def test_without_free_text_every_line_break_ends_a_record(
    lines: list[str], range_size: int, chunk_size: int
):
    data = "\n".join(lines).encode()
    pieces = read_in_ranges(data, range_size, chunk_size, free_text=False)
    assert b"".join(pieces) == data
    assert all(piece.endswith(b"\n") for piece in list(filter(None, pieces))[:-1])


@given(st.lists(st.text(st.sampled_from('a"\n'), max_size=9)), SIZES, SIZES)
def test_no_byte_is_lost_however_the_quotes_lie(texts: list[str], range_size: int, chunk_size: int):
    data = "".join(texts).encode()
    assert b"".join(read_in_ranges(data, range_size, chunk_size, free_text=True)) == data


@given(tables(), st.integers(1, 40), st.integers(1, 9))
def test_blocks_of_a_stream_hold_whole_records(data: bytes, block_size: int, chunk_size: int):
    chunks = (data[at : at + chunk_size] for at in range(0, len(data), chunk_size))
    pieces = list(blocks.stream_blocks(chunks, block_size, free_text=True))
    assert b"".join(pieces) == data
    assert [row for piece in pieces for row in read_csv(piece)] == read_csv(data)


def test_a_broken_stream_gives_its_whole_lines_then_the_error():
    def chunks():
        yield b"1,a\n2,b\n3"
        raise EOFError("ended early")

    stream = blocks.stream_blocks(chunks(), 1000, free_text=False)
    assert next(stream) == b"1,a\n2,b\n"
    with pytest.raises(EOFError, match="ended early"):
        next(stream)


def test_a_stray_quote_in_a_stream_fills_no_memory(monkeypatch):
    monkeypatch.setattr(blocks, "MAX_RECORD_BYTES", 100)
    data = b'1,"a\n' + b"".join(b"%d,b\n" % i for i in range(200))
    chunks = (data[at : at + 10] for at in range(0, len(data), 10))
    pieces = list(blocks.stream_blocks(chunks, 20, free_text=True))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) < 150
    assert all(piece.endswith(b"\n") for piece in pieces)


@pytest.mark.parametrize(
    ("text", "unclosed", "continued"),
    [
        pytest.param("a,b\nc,d\n", [], [], id="no quotes"),
        pytest.param('a,"b\nc"\nd,e\n', [], [1], id="a quoted line break"),
        pytest.param('a,"\n\n"\nd,e', [], [1, 2], id="a quoted blank line"),
        pytest.param('a,"b\nc,d\ne,f\n', [0], [], id="a quote that nothing closes"),
        pytest.param('a,"b\nc,d\ne,"f\ng,h', [0, 2], [], id="two that don't close each other"),
        pytest.param('a,"b\nc,"d\ne"\n', [0], [2], id="one before a quoted line break"),
        pytest.param('a,5" disk\nc,d\n', [], [], id="a quote that stands for itself"),
        pytest.param('a,5" disk\nc,"d\ne"\n', [], [2], id="and before a quoted line break"),
        pytest.param('a,"""b"\nc,d\n', [], [], id="a doubled quote"),
        pytest.param('a,"b\nc",d\ne,f', [0], [], id="a record of too many fields"),
    ],
)
def test_stray_quotes_are_told_from_quoted_line_breaks(text, unclosed, continued):
    found = blocks.find_quoted_lines(text.encode(), fields=2, free_text=True)
    assert found == (unclosed, continued)


def test_no_line_break_is_quoted_where_there_is_no_free_text():
    assert blocks.find_quoted_lines(b'a,"b\nc"\n', 2, free_text=False) == ([0], [])


@given(tables())
def test_sound_csv_has_no_stray_quotes(data: bytes):
    rows = read_csv(data)
    found = blocks.find_quoted_lines(data, len(rows[0]) if rows else 2, free_text=True)
    assert not found.unclosed
    assert len(found.continued) == sum("".join(row).count("\n") for row in rows)
