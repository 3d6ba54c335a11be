"""A table that ends inside a record is noticed; one that lacks the last line break alone isn't."""

import gzip
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builds import run_build
from transforms.dataset.classes import encode_labels
from transforms.dataset.elements import ByteRange, Source, SourceCount
from transforms.exchange.batches import KeyedBatch
from transforms.kinds.reading.detect import detect
from transforms.kinds.reading.read import RangeReader
from transforms.kinds.registry import TABLES

CUT = Path(__file__).parent.parent / "data" / "field_cases" / "cut-in-last-number"
A = f"{10:016x}"
BOXES = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")
FLAGGED = (*BOXES, "IsOccluded")
LABELS = ("ImageID", "Source", "LabelName", "Confidence")
IMAGES = ("ImageID", "Subset", "Title", "Thumbnail300KURL", "Rotation")
V3_IMAGES = IMAGES[:4]
RELATIONSHIPS = (*("ImageID", "LabelName1", "LabelName2"), *TABLES["relationships"].required)
RELATIONSHIPS = tuple(dict.fromkeys(RELATIONSHIPS))


def is_cut(kind: str, columns: tuple[str, ...], values: list[str], start: str) -> bool:
    """Whether a table, whose last column has these values, is cut; its rows start alike."""
    text = "\n".join(f"{start},{value}" for value in values)
    return is_cut_text(kind, columns, text.encode())


def is_cut_text(kind: str, columns: tuple[str, ...], text: bytes) -> bool:
    source = Source(0, kind, "a.csv", len(text), columns=columns)
    return TABLES[kind].find_cut(source, text) is not None


BOX = f"{A},/m/01,0,1,0"
LABEL = f"{A},machine,/m/01"
IMAGE = f"{A},train,a title"
RELATIONSHIP = f"{A},/m/01,/m/02,0,1,0,1,0,1,0,1"
SIX = ["0.512345", "0.734512", "0.999999", "0.100001"]
MANY = [f"0.{n:04}" for n in range(1000, 1200)]
MASKS = ("ImageID", "MaskPath", "LabelName", "Clicks")
MASK = f"{A},a.png,/m/01"
CLICKS = ["0.25 0.5 1;0.5 0.75 0", "0.125 0.5 1", "0.5 0.5 0;0.25 0.5 1"]
ENDINGS = {
    # of fixed width
    "a digit of six": ("boxes", BOXES, [*SIX, "0.5"], BOX),
    "five digits of six": ("boxes", BOXES, [*SIX, "0.51234"], BOX),
    "a digit of two": ("boxes", BOXES, ["0.25", "0.50", "0.5"], BOX),
    "no digit at all": ("boxes", BOXES, ["0.25", "0.5", "0."], BOX),
    "nothing": ("boxes", BOXES, [*SIX, ""], BOX),
    "zero among six digits": ("boxes", BOXES, [*SIX * 3, "0"], BOX),
    "one among fixed width": ("boxes", BOXES, ["0.25", "1.00", "1"], BOX),
    # of any width
    "a digit of five or more": ("boxes", BOXES, ["0.512345", "0.25625", "0.3842975", "0.5"], BOX),
    "a digit of many": ("boxes", BOXES, [*MANY, "0.555"], BOX),
    "a whole number among many": ("boxes", BOXES, [*MANY, "0"], BOX),
    # other numbers
    "a sign": ("boxes", FLAGGED, ["1", "0", "-"], f"{BOX},1"),
    "half a rotation": ("images", IMAGES, ["0.0", "90.0", "27."], f"{IMAGE},u"),
    "an exponent": ("boxes", BOXES, ["0.5", "1e-05", "2e-"], BOX),
    "half a truth": ("boxes", FLAGGED, ["True", "False", "True", "True", "Fal"], f"{BOX},1"),
    # texts
    "half a relationship": (
        "relationships",
        RELATIONSHIPS,
        ["at", "holds", "holds", "at", "at", "hol"],
        RELATIONSHIP,
    ),
    "half a click": ("masks", MASKS, [*CLICKS, "0.25 0.5 1;0.5 0."], MASK),
    "a click without a kind": ("masks", MASKS, [*CLICKS, "0.25 0.5 1;0.5 0.75 "], MASK),
    "half a URL": (
        "images",
        V3_IMAGES,
        [f"https://c1/{n}_z.jpg" for n in "abc"] + ["https://c1/d_z."],
        IMAGE,
    ),
    # fewer fields
    "a field less": ("boxes", FLAGGED, ["1,0", "1,1", "1"], BOX),
    "half a quoted field": ("images", V3_IMAGES, ["u", "u", '"u'], IMAGE),
}
WHOLE = {
    "flags": ("boxes", FLAGGED, ["-1", "-1", "0", "1"], f"{BOX},1"),
    "an unknown flag": ("boxes", FLAGGED, ["0", "0", "0", "-1"], f"{BOX},1"),
    "confidences": ("image_labels", LABELS, ["0.7", "0.8", "0.6", "1"], LABEL),
    "confidences as published": ("image_labels", LABELS, ["1", "1.0", "0.7", "1"], LABEL),
    "confidences of one": ("image_labels", LABELS, ["1.0", "1.0", "1"], LABEL),
    "a confidence of one": ("image_labels", LABELS, ["0.7", "0.8", "0.6"] * 50 + ["1"], LABEL),
    "one row": ("boxes", BOXES, ["0.5"], BOX),
    "two rows": ("boxes", BOXES, ["0.512345", "0.5"], BOX),
    "quarters": ("boxes", BOXES, ["0.25", "0.75", "0.25", "0.5"], BOX),
    "sixteenths": ("boxes", BOXES, ["0.0625", "0.1875", "0.8125", "0.5"], BOX),
    "an edge among fractions": ("boxes", BOXES, ["0.512345", "0.734512", "0.123456", "1"], BOX),
    "a width that occurs": ("boxes", BOXES, [*MANY, "0.55", "0.51"], BOX),
    "an edge that occurs": ("boxes", BOXES, [*MANY, "1", "0"], BOX),
    "more digits": ("boxes", BOXES, ["0.50", "0.25", "0.512345"], BOX),
    "an exponent": ("boxes", BOXES, [*SIX, "1e-05"], BOX),
    "an unknown rotation": ("images", IMAGES, ["0.0", "90.0", "0.0", "0.0", ""], f"{IMAGE},u"),
    "other clicks": ("masks", MASKS, [*CLICKS, "0.5 0.25 0"], MASK),
    "no clicks": ("masks", MASKS, [*CLICKS, ""], MASK),
    "no thumbnail": ("images", V3_IMAGES, ["https://c1/a_z.jpg"] * 4 + [""], IMAGE),
    "another label": ("boxes", BOXES[::-1], [A] * 5, "1,0,1,0,/m/01"),
    "another relationship": (
        "relationships",
        RELATIONSHIPS,
        ["at", "holds", "holds", "at", "at", "on"],
        RELATIONSHIP,
    ),
    "a field more": ("boxes", FLAGGED, ["1,0", "1,1", "1,1,1"], BOX),
    "no row of the right length": ("boxes", FLAGGED, ["1", "1", "1"], BOX),
    "a quoted title over lines": ("images", V3_IMAGES, ["u", "u"], f'{A},train,"a\nb"'),
    "a carriage return": ("boxes", BOXES, [*SIX, "0.5\r"], BOX),
    "a line break": ("boxes", BOXES, [*SIX, "0.5\n"], BOX),
    "blanks after the last line": ("boxes", BOXES, [*SIX, "0.5\n  "], BOX),
}


@pytest.mark.parametrize("case", ENDINGS.values(), ids=ENDINGS)
def test_ends_inside_a_record(case: tuple):
    kind, columns, values, start = case
    assert is_cut(kind, columns, values, start)
    assert is_cut(kind, columns, [value + "\r" for value in values[:-1]] + values[-1:], start)


@pytest.mark.parametrize("case", WHOLE.values(), ids=WHOLE)
def test_only_lacks_a_line_break(case: tuple):
    kind, columns, values, start = case
    assert not is_cut(kind, columns, values, start)


def test_wherever_a_table_of_one_width_is_cut():
    whole = (CUT / "train-annotations-bbox.csv").read_bytes()
    header, _, rows = whole.partition(b"\n")
    columns = tuple(header.decode().split(","))
    rows = rows[: rows.rfind(b"\n")] + b"\n" + rows.splitlines()[0]
    assert not is_cut_text("boxes", columns, rows)
    assert all(is_cut_text("boxes", columns, rows[:-n]) for n in range(1, 100))


def read(
    path: Path, chunk_size: int, step: int | None = None
) -> Iterator[SourceCount | KeyedBatch]:
    """What reading a file gives, in ranges of so many bytes."""
    source = detect(str(path))
    reader = RangeReader((source,), chunk_size, is_coded=True)
    starts = range(0 if source.compressed else source.data_start, source.size, step or source.size)
    for start in starts:
        piece = ByteRange(0, start, min(start + (step or source.size), source.size))
        for output in reader.read(piece, encode_labels([])):
            yield output if isinstance(output, KeyedBatch) else output.value


@pytest.mark.parametrize("form", ["plain", "gzip", "ranges"])
@pytest.mark.parametrize(
    ("rows", "chunk_size"), [(3, 20), (150, 20), (3000, 5000), (3000, 1 << 20)]
)
def test_in_whatever_blocks_a_file_is_read(tmp_path: Path, form: str, rows: int, chunk_size: int):
    random.seed(1)
    text = "".join(f"{n:016x},/m/01,0,1,0,{random.random():.6f}\n" for n in range(rows))
    data = (",".join(BOXES) + "\n" + text + f"{A},/m/01,0,1,0,0.51").encode()
    path = tmp_path / "train-boxes.csv"
    path.write_bytes(gzip.compress(data) if form == "gzip" else data)
    found = list(read(path, chunk_size, step=333 if form == "ranges" else None))
    counts = [each for each in found if isinstance(each, SourceCount)]
    assert (sum(c.rows for c in counts), sum(c.bad_rows for c in counts)) == (rows + 1, 1)
    (warning,) = {count.warning for count in counts} - {""}
    assert "download it again" in warning
    assert sum(each.rows.num_rows for each in found if isinstance(each, KeyedBatch)) == rows
    path.write_bytes(path.read_bytes() + b"\n" if form != "gzip" else gzip.compress(data + b"\n"))
    counts = [each for each in read(path, chunk_size) if isinstance(each, SourceCount)]
    assert sum(count.bad_rows for count in counts) == 0
    assert {count.warning for count in counts} == {""}


def test_a_gzip_that_is_cut_is_damaged(tmp_path: Path):
    rows = [f"{random.getrandbits(64):016x},/m/01,0,1,0,1" for _ in range(60_000)]
    path = tmp_path / "train-boxes.csv.gz"
    path.write_bytes(gzip.compress("\n".join([",".join(BOXES), *rows]).encode())[:-2000])
    counts = [each for each in read(path, 1 << 20) if isinstance(each, SourceCount)]
    (damage,) = {count.damage for count in counts} - {""}
    assert damage.startswith("compressed data is cut or damaged (")
    assert damage.endswith("): download it again")


@pytest.mark.parametrize("flags", [(), ("--chunk_size", 64), ("--exchange", "engine")])
def test_a_build_leaves_the_cut_record_out(tmp_path: Path, flags: tuple):
    built = run_build(
        *("--annotations", CUT, "--images", "none", "--format", "parquet"),
        *("--output", tmp_path, "--max_failure_rate", 1, "--max_bad_rate", 1, *flags),
    )
    assert built.returncode == 0, built.stderr
    account = built.version.source("train-annotations-bbox.csv")
    assert (account["rows"], account["bad_rows"]) == (14, 1)
    (failure,) = built.version.failures
    assert (failure["image_id"], failure["line"]) == ("617959ce3f1f65a8", 15)
    assert failure["detail"] == "the file ends inside this record"
    assert len(built.version.examples) == 13
