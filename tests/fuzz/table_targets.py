"""What is tried on mutated tables of annotations, class files and image lists.

A table is read whole, in ranges and blocks of any size, and gzipped: each time the same rows come
out, and the same failures with their lines, which are those of the oracle. Each line stands for
itself: the table without some of its sound rows, or with others between, gives the same for the
rest. Each target returns `refused`, `sound` or `bad rows`; whatever is raised but an error of this
project, or differs, is a finding.
"""

import csv
import dataclasses
import gzip
import io
import json
import os
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from open_images.downloading.image_list import read_list
from tests import oracle
from tests.oracle_records import decode
from tests.oracle_rows import LeftOutError, image_id_of, parse_row
from transforms.dataset import failures
from transforms.dataset.classes import encode_labels
from transforms.dataset.elements import ByteRange, Source, SourceCount
from transforms.dataset.keys import image_ids
from transforms.errors import UsageError
from transforms.exchange.batches import KeyedBatch
from transforms.kinds.parsing.head import SourceError
from transforms.kinds.reading import read
from transforms.kinds.reading.detect import detect
from transforms.kinds.registry import VOCABULARY

_CLICKS = ",".join(f"XClick{i}{axis}" for axis in "XY" for i in (1, 2, 3, 4))
_HEADERS = {
    "images": "ImageID,Subset,OriginalURL,Author,Title,OriginalSize,OriginalMD5,Rotation",
    "boxes": "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsInside,"
    + _CLICKS,
    "person_boxes": "ImageID,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsDepictionOf,"
    "GenderPresentation,AgePresentation",
    "masks": "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks",
    "relationships": "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,"
    "YMax2,RelationshipLabel",
    "points": "ImageId,X,Y,Label,EstimatedYesNo,Source,YesVotes,NoVotes,UnsureVotes,TextLabel",
    "image_labels": "ImageID,Source,LabelName,Confidence",
}
_LABELS = ["/m/01", "/m/02", "/m/0abc"]
#: What is put where it doesn't belong.
_SCRAPS = [
    *(b'"', b'""', b",", b"\t", b"\n", b"\r", b"\r\n", b"\n\n", b";", b" ", b"\0", b"\x1a", b"\\"),
    b"\n\xef\xbb\xbf",
    *(b"\xef\xbb\xbf", b"\xef", b"\xff", b"\xe9", b"\xc3\xa9", b"\xed\xa0\x80", b"\xf0\x9f\x92"),
    *(b"0x10", b"1e5", b"+5", b" 5", b"nan", b"NaN(1)", b"-nan", b"inf", b"Infinity", b"1e999"),
    *(b"9" * 19, b"9223372036854775808", b"-1", b"1.0", b"1_0", "١٢".encode(), b"1,000", b"True"),
    *(b"x" * 3000, b",,,,,,,,,,,,", b'"a\nb"', b'","', b'"\n"', b",\n", b"ImageID", b"0000"),
    *(
        b"0000000000000001,",
        b"0000000000000001,train,",
        b"{",
        b"}",
        b"[",
        b"]",
        b"]}",
        b"[[[[",
        b":",
    ),
    *(b"\\ud800", b"null", b"{}", b"NaN", b'{"image_id":"0000000000000001"}', b"},{", b'"x":1,'),
]


class Verdict(NamedTuple):
    """What became of a table.

    Attributes:
        rows: line by line, not counting those that are left out: ImageID and values.
        failures: line, reason, detail and ImageID of each.
        counts: how many rows, bad rows and lines there are.
    """

    rows: list[tuple]
    failures: list[tuple]
    counts: tuple[int, int, int]


def table(number: int) -> str:
    """A mutated table of any kind, in whatever pieces it is read."""
    rng = random.Random(number)
    kind = rng.choice([*_HEADERS, "narratives"])
    lines = _lines(kind, rng)
    data = _mutated(b"".join(lines), rng)
    if rng.random() < 0.9 and kind != "narratives" and not data.startswith(lines[0]):
        data = lines[0] + data[len(lines[0]) :]
    path = Path(os.environ.get("TMPDIR", "/tmp"), f"train-{kind}.csv")
    path.write_bytes(data)
    try:
        source = detect(str(path))
    except SourceError as error:
        assert len(str(error)) < 500, str(error)
        return "refused"
    if source.kind != kind:
        return "another kind"
    whole = _read(source, len(data) + 1)
    for _ in range(2):
        sizes = rng.randint(1, len(data)), rng.choice([None, rng.randint(1, len(data))])
        assert _read(source, *sizes) == whole, sizes
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(data, 1))
    assert _read(detect(str(packed)), rng.randint(1, len(data))) == whole, "gzipped"
    _check_company(path, source, data, whole, rng)
    _check_oracle(source, data, whole)
    return "bad rows" if whole.counts[1] else "failures" if whole.failures else "sound"


def class_file(number: int) -> str:
    """A mutated file of classes, whose readers return what is good beside failures."""
    rng = random.Random(number)
    kind = rng.choice([*_CLASS_FILES])
    data = _mutated(_CLASS_FILES[kind], rng)
    if rng.random() < 0.2:
        data = gzip.compress(data)[: None if rng.random() < 0.5 else -rng.randint(1, 20)]
    path = Path(os.environ.get("TMPDIR", "/tmp"), "classes")
    path.write_bytes(data)
    outcomes = set()
    try:
        detect(str(path))
    except SourceError as error:
        assert len(str(error)) < 500, str(error)
        outcomes.add("refused")
    try:
        _, bad = VOCABULARY[kind].read(data, "classes")
        assert all(len(failure.detail) < 300 for failure in bad)
        outcomes.add("bad rows" if bad else "sound")
    except ValueError as error:
        assert str(error).startswith("classes")
        assert len(str(error)) < 500, str(error)
        outcomes.add("refused")
    return min(outcomes)


def image_list(number: int) -> str:
    """A mutated list of images: the pictures, or a line that says which line is none."""
    rng = random.Random(number)
    splits = ("train", "validation", "test", "challenge2018")
    lines = [f"{rng.choice(splits)}/{rng.getrandbits(64):016x}\n".encode() for _ in range(9)]
    path = Path(os.environ.get("TMPDIR", "/tmp"), "list.txt")
    path.write_bytes(_mutated(b"".join(lines), rng))
    try:
        read_list(path)
    except UsageError as error:
        assert len(str(error)) < 500, str(error)
        return "refused"
    return "sound"


def _check_company(
    path: Path, source: Source, data: bytes, whole: Verdict, rng: random.Random
) -> None:
    """Reads the table without its last row or with more rows, and compares the rest."""
    if not data.endswith(b"\n"):
        return  # whether the last record is cut is told by those before
    more = b"".join(_lines(source.kind, rng)[source.kind != "narratives" :])
    if source.delimiter == "\t":
        return
    bad = rng.choice([b"\xff\n", b"x\n", b'0000000000000001,"\n', b"a,b\rc\n", b" \n"])
    after = bad + more
    path.write_bytes(data + after)
    whole_source = dataclasses.replace(source, size=len(data) + len(after))
    longer = _read(whole_source, whole_source.size)
    count = data.count(b"\n")
    # A quote that is left open at its end might be closed by what comes after.
    last = data.rstrip(b"\r\n").rpartition(b"\n")[2]
    if b'"' in last:
        return
    assert longer.rows[: len(whole.rows)] == whole.rows
    told = [failure for failure in longer.failures if failure[0] <= count]
    assert told == whole.failures


def _check_oracle(source: Source, data: bytes, whole: Verdict) -> None:
    """Compares what was read with the naive reading."""
    if not data.endswith(b"\n") or source.delimiter != ",":
        return
    rest = decode(data[source.data_start :])
    if source.kind == "narratives":
        lines = [(i, line) for i, line in enumerate(rest.split("\n"), 1) if line.strip(" \t\r")]
        rows = [(i, oracle.read_json(line)) for i, line in lines]
    else:
        first = data[: source.data_start].decode().removeprefix("\ufeff").strip("\r\n")
        (names,) = csv.reader([first])
        header = [oracle.ALIASES.get(name.strip(), name.strip()) for name in names]
        known = [oracle.ALIASES.get(column, column) for column in source.columns]
        together = [sum(bool(re.match(p, name)) for name in known) for p in ("XClick", "Box[XY]")]
        if {*known} - {*header, ""} or together not in ([8, 0], [0, 4], [0, 0]):
            return  # by other names than published, or without some columns of a field
        rows = oracle.read_table(rest, source.kind, header)
    wanted, expected, bad_rows = [], Counter(), 0
    for line, row in rows:
        image_id = image_id_of(row["ImageID"]) if row else None
        at = line + source.header_lines
        try:
            value, lost = parse_row(source.kind, row)
        except LeftOutError as left_out:
            expected[at, left_out.args[1]] += 1
            bad_rows += 1
            continue
        value.pop("png", None)
        value.pop("voice", None)
        wanted.append((image_id, _text(value)))
        expected[at, "bad_row"] += len(lost)
        if source.kind == "images":
            expected[at, "bad_rotation"] += oracle.has_bad_rotation(row)
    found = Counter((line, reason) for line, reason, *_ in whole.failures)
    assert found == +expected, f"failures: {found - +expected} and not {+expected - found}"
    assert (len(rows), bad_rows) == whole.counts[:2], (len(rows), bad_rows, whole.counts)
    for ours, theirs in zip(whole.rows, wanted, strict=True):
        assert ours == theirs, f"{ours} and not {theirs}"


def _read(source: Source, chunk_size: int, step: int | None = None) -> Verdict:
    """What reading a file gives, in blocks and ranges of so many bytes."""
    source = dataclasses.replace(source, stamp="")  # whose file is written again meanwhile
    reader = read.RangeReader((source,), chunk_size, is_coded=False)
    step = step or max(source.size, 1)
    ranges = [ByteRange(0, 0, source.size)]
    if not source.compressed:
        starts = range(source.data_start, source.size, step)
        ranges = [ByteRange(0, at, min(at + step, source.size)) for at in starts]
    blocks, counts, failed = [], [], []
    for piece in ranges:
        for output in reader.read(piece, encode_labels([])):
            if isinstance(output, KeyedBatch):
                blocks.append(output)
            elif output.tag == "counts":
                counts.append(output.value)
            elif output.tag == "failed":
                failed.append(output.value)
    before = dict(_lines_before(source, counts))
    told = [
        (row["line"] + before[each.order], row["reason"], row["detail"], row["image_id"])
        for each in failed
        for table in failures.unpack(each.packed)
        for row in table.to_pylist()
    ]
    assert all(len(detail) <= 300 for _, _, detail, _ in told)
    rows = []
    for block in sorted(blocks, key=lambda block: block.order):
        ids = image_ids(block.rows["key"].to_numpy()).to_pylist()
        values = block.rows["value"].to_pylist()
        rows += [(id_, _text(value)) for id_, value in zip(ids, values, strict=True)]
    total = [sum(count[i] for count in counts) for i in (2, 3, 4)]
    assert len(rows) == total[0] - total[1], (len(rows), total)
    return Verdict(rows, sorted(told), tuple(total))


def _lines_before(source: Source, counts: list[SourceCount]) -> list[tuple[int, int]]:
    line = source.header_lines
    found = []
    for count in sorted(counts, key=lambda count: count.order):
        found.append((count.order, line))
        line += count.lines
    return found


def _text(value: dict) -> str:
    """A row in one text, with its numbers as they are published, and NaN equal to itself."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: plain(each)
                for name, each in sorted(value.items())
                if name not in ("mask_path", "size", "counts", "area")
            }
        if isinstance(value, list):
            return [plain(each) for each in value]
        return float(np.float32(value)) + 0.0 if isinstance(value, float) else value

    return repr(plain(value))


def _mutated(data: bytes, rng: random.Random) -> bytes:
    """Changes a text in a few places."""
    text = bytearray(data)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3, 5, 8])):
        at, other = rng.randint(0, len(text)), rng.randint(0, len(text))
        match rng.randrange(7):
            case 0 if at < len(text):
                text[at] ^= 1 << rng.randrange(8)
            case 1 | 2:
                text[at:at] = rng.choice(_SCRAPS)
            case 3:
                del text[at : at + rng.choice([1, 1, 2, 20])]
            case 4:
                text[at : at + rng.randint(1, 9)] = rng.choice(_SCRAPS)
            case 5:  # a piece of another line
                text[at:at] = text[other : other + rng.randint(1, 60)]
            case 6:  # something in place of a field
                marks = [m.start() for m in re.finditer(rb"[,\n]", text)]
                if len(marks) > 1:
                    i = rng.randrange(len(marks) - 1)
                    text[marks[i] + 1 : marks[i + 1]] = rng.choice(_SCRAPS)
    if rng.random() < 0.1:
        text = text.replace(b"\n", b"\r\n")
    if rng.random() < 0.05:
        text = text.rstrip(b"\r\n")
    return bytes(text)


def _lines(kind: str, rng: random.Random) -> list[bytes]:
    """A sound table of some rows, with its header."""
    count = rng.randint(1, 9)
    if kind == "narratives":
        return [json.dumps(_narrative(rng)).encode() + b"\n" for _ in range(count)]
    out = io.StringIO()
    quoting = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    names = _HEADERS[kind].split(",")
    csv.writer(out, lineterminator="\n").writerow(names)
    places = [out.tell()]
    writer = csv.writer(out, lineterminator="\n", quoting=quoting)
    for _ in range(count):
        writer.writerow([_value(name, kind, rng) for name in names])
        places.append(out.tell())
    text = out.getvalue()
    return [text[: places[0]].encode(), text[places[0] :].encode()]


def _value(name: str, kind: str, rng: random.Random) -> str:
    match name:
        case "ImageID" | "ImageId":
            return f"{rng.randrange(20):016x}"
        case "Subset":
            return rng.choice(["train", "validation", "test"])
        case "Title" | "Author" | "TextLabel":
            odd = [
                "a, b",
                'say "hi"',
                "two\nlines",
                "three\n\nlines",
                '"\n"',
                "é",
                " x ",
                '5" disk',
            ]
            return rng.choice(["", "plain", "plain", *odd])
        case "Rotation":
            return rng.choice(["", "nan", "0.0", "90.0", "180", "270."])
        case "OriginalSize" | "YesVotes" | "NoVotes" | "UnsureVotes":
            return str(rng.randrange(10**6))
        case "MaskPath":
            return f"{rng.getrandbits(32):08x}.png"
        case "Clicks":
            return rng.choice(["", "0.1 0.2 1", "0.1 0.2 1;0.5 0.75 0"])
        case "EstimatedYesNo":
            return rng.choice(["yes", "no", "unsure"])
        case "PredictedIoU":
            return rng.choice(["", "0.5", "nan"])
    if name.startswith("Is"):
        return rng.choice(["0", "1", "-1"])
    if re.search("Min", name):
        return rng.choice(["0", "0.0", "0.25", ".125"])
    if re.search("Max", name):
        return rng.choice(["1", "0.5", "0.9642005"])
    if "Click" in name or name in ("X", "Y", "Confidence"):
        return rng.choice(["0.5", "1", "0", "0.123456"])
    return rng.choice(_LABELS) if "Label" in name else rng.choice(["xclick", "verification", "ih"])


def _narrative(rng: random.Random) -> dict:
    point = {"x": rng.random(), "y": -0.5, "t": 1.5}
    words = {"utterance": "A cat.", "start_time": 0.5, "end_time": 1}
    return {
        "dataset_id": "open_images_train",
        "image_id": f"{rng.randrange(20):016x}",
        "annotator_id": rng.randrange(100),
        "caption": rng.choice(["A cat.", 'A "cat"\n', "é", ""]),
        "timed_caption": [words] * rng.randrange(3),
        "traces": [[point] * rng.randrange(3)] * rng.randrange(3),
        "voice_recording": "a.ogg",
    }


_NODE = {"LabelName": "/m/01", "Subcategory": [{"LabelName": "/m/02"}], "Part": []}
_CLASS_FILES = {
    "classes": b'LabelName,DisplayName\n/m/01,Cat\n/m/02,"Cat, wild"\n/m/03,"a ""b"""\n',
    "class_list": b"/m/01\n/m/02\n/m/03\n",
    "point_classes": b"LabelName,DisplayName,YesPoints,Points,Mentions\n/m/01,Cat,3,5,cat,cats\n",
    "hierarchy": json.dumps({"LabelName": "/m/0bl9f", "Subcategory": [_NODE]}).encode(),
}
