"""Malformed rows, pictures and masks: each has its failure row and count, and harms no other.

Many cases share a build. Each has files and images of its own, so that what became of it shows:
`<A>`, `<B>`, `<C>` in a file's content stand for the case's images.
"""

import dataclasses
import gzip
import io
import json
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.builds import Build, Version, run_build

MASK_HEADER = "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks"
HEADERS = {
    "images": "ImageID,Subset,Title,OriginalSize,Rotation",
    "bboxes": "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded",
    "masks": MASK_HEADER,
    "points": "ImageId,X,Y,Label,EstimatedYesNo,Source,YesVotes,NoVotes,UnsureVotes,TextLabel",
    "relationships": "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,"
    "XMin2,XMax2,YMin2,YMax2,RelationshipLabel",
    "image_labels": "ImageID,Source,LabelName,Confidence",
}


def table(column: str, *rows: str | bytes, ending: str = "\n") -> bytes:
    """A file of the rows below the header of what fills a column."""
    lines = [row if isinstance(row, bytes) else row.encode() for row in (HEADERS[column], *rows)]
    return ending.encode().join([*lines, b""])


def image(image_id: str, title: str = "", subset: str = "train", rest: str = ",0.0") -> str:
    return f"{image_id},{subset},{title},{rest}"


def box(image_id: str, label: str = "/m/01", corners: str = "0,1,0,1", flag: str = "0") -> str:
    return f"{image_id},xclick,{label},1,{corners},{flag}"


def mask(image_id: str, path: str, clicks: str = "") -> str:
    return f"{path},{image_id},/m/01,b,0,1,0,1,0.5,{clicks}"


def relationship(image_id: str, second: str = "0,1,0,1") -> str:
    return f"{image_id},/m/01,/m/02,0,1,0,1,{second},at"


def narrative(image_id: str) -> str:
    return json.dumps({"image_id": image_id, "annotator_id": 1, "caption": "c", "traces": []})


A, B, C = "<A>", "<B>", "<C>"


@dataclasses.dataclass(frozen=True)
class Case:
    """A malformed file, and what is to become of it.

    Attributes:
        column: what its rows fill; `image` tables are those of the case's images.
        content: the file's.
        failures: line, reason and image of each failure row, in order.
        counts: rows, bad rows and orphans.
        kept: of an image table the images that are built, of another the images whose rows are.
    """

    column: str
    content: bytes
    failures: list[tuple[int | None, str, str | None]]
    counts: tuple[int, int, int]
    kept: list[str]


BAD = "bad_row"
ROWS = {
    "a row of too few fields": Case(
        "bboxes",
        table("bboxes", box(A), "<B>,xclick,/m/01", box(C)),
        [(3, BAD, None)],
        (3, 1, 0),
        [A, C],
    ),
    "a row of too many fields": Case(
        "bboxes",
        table("bboxes", box(A), box(B) + ",5", box(C)),
        [(3, BAD, None)],
        (3, 1, 0),
        [A, C],
    ),
    "text in a number": Case(
        "bboxes",
        table("bboxes", box(A), box(B, corners="zero,1,0,1"), box(C)),
        [(3, BAD, B)],
        (3, 1, 0),
        [A, C],
    ),
    "a box outside the image": Case(
        "bboxes",
        table("bboxes", box(A), box(B, corners="0,1.01,0,1"), box(C, corners="-0.01,1,0,1")),
        [(3, BAD, B), (4, BAD, C)],
        (3, 2, 0),
        [A],
    ),
    "a reversed box": Case(
        "bboxes",
        table("bboxes", box(A, corners="0.5,0.4,0,1"), box(B)),
        [(2, BAD, A)],
        (2, 1, 0),
        [B],
    ),
    "a box with NaN": Case(
        "bboxes",
        table("bboxes", box(A, corners="0,1,nan,1"), box(B)),
        [(2, BAD, A)],
        (2, 1, 0),
        [B],
    ),
    "a box with a missing corner": Case(
        "bboxes",
        table("bboxes", box(A, corners="0,1,0,"), box(B)),
        [(2, BAD, A)],
        (2, 1, 0),
        [B],
    ),
    "a flag that is none of -1, 0, 1": Case(
        "bboxes",
        table("bboxes", box(A, flag="2"), box(B, flag="True"), box(C, flag="yes")),
        [(2, BAD, A), (4, BAD, C)],
        (3, 0, 0),
        [A, B, C],
    ),
    "an ImageID that isn't one": Case(
        "bboxes",
        table("bboxes", box(A), box("00000000000000AG"), box(C)),
        [(3, BAD, None)],
        (3, 1, 0),
        [A, C],
    ),
    "the name of a picture for an ImageID": Case(
        "bboxes",
        table("bboxes", box(A + ".jpg"), box("train/" + B + ".JPG")),
        [],
        (2, 0, 0),
        [A, B],
    ),
    "a box of no class": Case(
        "bboxes",
        table("bboxes", box(A, label=""), box(B)),
        [(2, BAD, A)],
        (2, 1, 0),
        [B],
    ),
    "a label that no class file knows": Case(
        "bboxes", table("bboxes", box(A, label="/m/0unknown")), [], (1, 0, 0), [A]
    ),
    "annotations of no image": Case(
        "bboxes",
        table("bboxes", box("00000000000000ff"), box(B), box("ffffffffffffffff")),
        [],
        (3, 0, 2),
        [B],
    ),
    "a header and no rows": Case("bboxes", table("bboxes"), [], (0, 0, 0), []),
    "a last line that is cut off": Case(
        "bboxes",
        table("bboxes", box(A), box(B))[:-9],
        [(3, BAD, B)],
        (2, 1, 0),
        [A],
    ),
    "a last number that is cut off": Case(
        "bboxes",
        table("bboxes", box(A, flag="1.0"), box(B, flag="0.0"), box(C, flag="1.0"))[:-2],
        [(4, BAD, C)],
        (3, 1, 0),
        [A, B],
    ),
    "a last line without line break": Case(
        "bboxes", table("bboxes", box(A), box(B))[:-1], [], (2, 0, 0), [A, B]
    ),
    "Windows line ends": Case(
        "bboxes",
        table("bboxes", box(A), box(B, corners="0,9,0,1"), box(C), ending="\r\n"),
        [(3, BAD, B)],
        (3, 1, 0),
        [A, C],
    ),
    "a byte order mark": Case(
        "bboxes",
        b"\xef\xbb\xbf" + table("bboxes", box(A), box(B, corners="0,9,0,1")),
        [(3, BAD, B)],
        (2, 1, 0),
        [A],
    ),
    "blank lines": Case(
        "bboxes",
        b"\n" + table("bboxes", box(A), "", "", box(B, corners="0,9,0,1"), "", box(C)),
        [(6, BAD, B)],
        (3, 1, 0),
        [A, C],
    ),
    "a quote that nothing closes, in a label": Case(
        "bboxes",
        table("bboxes", box(A), box(B, label='"/m/01'), box(C)),
        [(3, BAD, None)],
        (3, 1, 0),
        [A, C],
    ),
    "invalid UTF-8 in a label": Case(
        "bboxes",
        table("bboxes", box(A), b"<B>,xclick,/m/\xff,1,0,1,0,1,0", box(C)),
        [(3, BAD, B)],
        (3, 1, 0),
        [A, C],
    ),
    "a confidence that is infinite": Case(
        "image_labels",
        table("image_labels", "<A>,machine,/m/01,inf", "<B>,machine,/m/01,0.5"),
        [(2, BAD, A)],
        (2, 1, 0),
        [B],
    ),
    "points outside the image, and votes below 0": Case(
        "points",
        table(
            "points",
            "<A>,1.5,0,/m/01,yes,ih,1,0,0,",
            "<B>,0,0,/m/01,yes,ih,-1,0,0,",
            "<C>,0,1,/m/01,yes,ih,1,0,0,",
        ),
        [(2, BAD, A), (3, BAD, B)],
        (3, 1, 0),
        [B, C],
    ),
    "a second box of a relationship reversed": Case(
        "relationships",
        table("relationships", relationship(A), relationship(B, second="1,0,0,1")),
        [(3, BAD, B)],
        (2, 1, 0),
        [A],
    ),
    "a mask path that climbs": Case(
        "masks",
        table("masks", mask(A, "../../a.png"), mask(B, "/etc/b.png"), mask(C, "c.png")),
        [(2, "unsafe_path", A), (3, "unsafe_path", B)],
        (3, 2, 0),
        [C],
    ),
    "clicks that are infinitely far": Case(
        "masks",
        table("masks", mask(A, "a.png", "0.5 1e999 1"), mask(B, "b.png", "0.5 0.5 1")),
        [(2, BAD, A)],
        (2, 0, 0),
        [A, B],
    ),
    "clicks that are none": Case(
        "masks",
        table("masks", mask(A, "a.png", "0.5;0.5"), mask(B, "b.png", "0.5 0.5 1;")),
        [(2, BAD, A)],
        (2, 0, 0),
        [A, B],
    ),
    "a broken line of JSON": Case(
        "narratives",
        "\n".join([narrative(A), narrative(B)[:-5], narrative(C)]).encode(),
        [(2, BAD, None)],
        (3, 1, 0),
        [A, C],
    ),
    "a line that is a JSON array": Case(
        "narratives",
        "\n".join([narrative(A), f"[{narrative(B)}]", "", narrative(C), ""]).encode(),
        [(2, BAD, None)],
        (3, 1, 0),
        [A, C],
    ),
    "a line of JSON that is not UTF-8": Case(
        "narratives",
        narrative(A).encode() + b"\n" + narrative(B).encode().replace(b'"c"', b'"\xff"'),
        [(2, BAD, None)],
        (2, 1, 0),
        [A],
    ),
    "a first line of JSON that is broken": Case(
        "narratives",
        "\n".join([narrative(A)[:-3], narrative(B)]).encode(),
        [(1, BAD, None)],
        (2, 1, 0),
        [B],
    ),
    "a rotation by 45 degrees": Case(
        "images",
        table("images", image(A), image(B, rest=",45.0")),
        [(3, "bad_rotation", B)],
        (2, 0, 0),
        [A, B],
    ),
    "a subset that is none": Case(
        "images",
        table("images", image(A), image(B, subset="dev")),
        [(3, BAD, B)],
        (2, 1, 0),
        [A],
    ),
    "a size beyond 64 bits": Case(
        "images",
        table("images", image(A), image(B, rest="99999999999999999999,0.0")),
        [(3, BAD, B)],
        (2, 0, 0),
        [A, B],
    ),
    "an image twice the same": Case(
        "images", table("images", image(A), image(A), image(B)), [], (3, 0, 0), [A, B]
    ),
    "an image twice, differing": Case(
        "images",
        table("images", image(A, "x"), image(B), image(A, "y")),
        [(None, "conflict", A)],
        (3, 0, 0),
        [B],
    ),
    "an image in two splits": Case(
        "images",
        table("images", image(A), image(B), image(A, subset="test")),
        [(None, "conflict", A)],
        (3, 0, 0),
        [B],
    ),
    "a null byte in a title": Case(
        "images", table("images", image(A, "x\0y"), image(B)), [], (2, 0, 0), [A, B]
    ),
    "a title over three lines": Case(
        "images",
        table("images", image(A), image(B, '"one\n\n""two"", 2"'), image(C, rest=",1")),
        [(6, "bad_rotation", C)],
        (3, 0, 0),
        [A, B, C],
    ),
    "a quote that nothing closes, in a title": Case(
        "images",
        table("images", image(A), image(B, '"x'), image(C)),
        [(3, BAD, None)],
        (3, 1, 0),
        [A, C],
    ),
    "two quotes that don't close each other": Case(
        "images",
        table("images", image(A, '"x'), image(B), image(C, '"y')),
        [(2, BAD, None), (4, BAD, None)],
        (3, 2, 0),
        [B],
    ),
    "a quote that stands for itself": Case(
        "images", table("images", image(A, '5" disk'), image(B)), [], (2, 0, 0), [A, B]
    ),
    "invalid UTF-8 in a title": Case(
        "images",
        table("images", image(A), image(B, "caf<E9>").encode().replace(b"<E9>", b"\xe9")),
        [(3, BAD, B)],
        (2, 0, 0),
        [A, B],
    ),
    "a short row that is not UTF-8": Case(
        "images",
        table("images", image(A), b"<B>,train,caf\xe9", image(C)),
        [(3, BAD, None)],
        (3, 1, 0),
        [A, C],
    ),
    "a long row that is not UTF-8": Case(
        "bboxes",
        table("bboxes", box(A), box(B).encode() + b",\xe9,\xff", box(C)),
        [(3, BAD, None)],
        (3, 1, 0),
        [A, C],
    ),
    "an ImageID that is not UTF-8": Case(
        "bboxes",
        table("bboxes", box(A), box("<B>").encode().replace(b">", b">\xe9"), box(C)),
        [(3, BAD, None)],
        (3, 1, 0),
        [A, C],
    ),
    "a carriage return within a line": Case(
        "bboxes",
        table("bboxes", box(A), box(B) + "\r" + box(B), "", box(C), ending="\r\n"),
        [(3, BAD, None)],
        (3, 1, 0),
        [A, C],
    ),
    "a flag in hexadecimal": Case(
        "bboxes",
        table("bboxes", box(A, flag="0x1"), box(B)),
        [(2, BAD, A)],
        (2, 0, 0),
        [A, B],
    ),
    "sizes in hexadecimal and of 19 digits": Case(
        "images",
        table(
            "images",
            *(image(A, rest="0x10,0.0"), image(B, rest=f"{2**63 - 1},0.0")),
            image(C, rest=f"{2**63},0.0"),
        ),
        [(2, BAD, A), (4, BAD, C)],
        (3, 0, 0),
        [A, B, C],
    ),
    "broken lines of JSON that are whole together": Case(
        "narratives",
        "\n".join(
            [
                narrative(A)[:-1] + ', "more": [',
                "{}]} " + narrative(B) + ' {"image_id": "<C>",',
                '"caption": "c"}',
                narrative(C),
            ]
        ).encode(),
        [(1, BAD, None), (2, BAD, None), (3, BAD, None)],
        (4, 3, 0),
        [C],
    ),
    "two stray quotes that could be a pair": Case(
        "images",
        table("images", image(A, '"x'), image(B, '"a, b"'), image(C, '"')),
        [(2, BAD, None), (4, BAD, None)],
        (3, 2, 0),
        [B],
    ),
    "a stray quote before a title over two lines": Case(
        "images",
        table("images", image(A, '"x'), image(B, '"one\ntwo"'), image(C)),
        [(2, BAD, None)],
        (3, 1, 0),
        [B, C],
    ),
    "a size that is nothing": Case(
        "images",
        table("images", image(A, rest="nada,0.0"), image(B, rest="5,0.0")),
        [(2, BAD, A)],
        (2, 0, 0),
        [A, B],
    ),
}
NAMES = list(ROWS)


def image_id(name: str, token: str) -> str:
    """An image of a case's own."""
    return f"{NAMES.index(name):08x}{'ABC'.index(token[1]):08x}"


def file_name(name: str) -> str:
    suffix = "jsonl" if ROWS[name].column == "narratives" else "csv"
    return f"train-{re.sub('[^a-z0-9]+', '-', name.lower())}.{suffix}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All cases' files, and a table of the images of those that don't bring their own."""
    folder = tmp_path_factory.mktemp("annotations")
    lines = [HEADERS["images"]]
    for name, case in ROWS.items():
        content = case.content
        for token in (A, B, C):
            content = content.replace(token.encode(), image_id(name, token).encode())
            if case.column != "images":
                lines.append(image(image_id(name, token)))
        (folder / file_name(name)).write_bytes(content)
    (folder / "train-images.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module", params=["16MiB", "20"])
def version(request: pytest.FixtureRequest, folder: Path, tmp_path_factory) -> Version:
    """What is published of all cases, read in one piece and in pieces that end within records."""
    output = tmp_path_factory.mktemp("output")
    flags = ["--images", "none", "--format", "parquet"]
    flags += ["--max_failure_rate", 1, "--max_bad_rate", 1]
    chunks = ["--chunk_size", request.param]
    built = run_build("--annotations", folder, *flags, *chunks, "--output", output)
    assert (built.returncode, built.stderr) == (0, "")
    return built.version


@pytest.mark.parametrize("name", NAMES)
def test_rows(version: Version, name: str):
    case = ROWS[name]
    own = {image_id(name, token): token for token in (A, B, C)}
    file = file_name(name)
    failures = [
        (row["line"], row["reason"], own.get(row["image_id"]))
        for row in version.failures
        if Path(row["source"] or "").name == file
        or (row["stage"] == "join" and row["image_id"] in own)
    ]
    assert failures == case.failures
    source = version.source(file)
    assert (source["rows"], source["bad_rows"], source["orphans"]) == case.counts
    built = [token for image_id, token in own.items() if image_id in version.examples]
    if case.column == "images":
        assert built == case.kept
    else:
        assert built == [A, B, C]
        examples = ((token, version.examples[image_id]) for image_id, token in own.items())
        assert [token for token, example in examples if example[case.column]] == case.kept


def test_rows_are_all_there_and_no_others(version: Version):
    own = sum(3 if case.column != "images" else len(case.kept) for case in ROWS.values())
    assert len(version.examples) == own
    assert len(version.failures) == sum(len(case.failures) for case in ROWS.values())
    assert sum(version.manifest["failures"].values()) == len(version.failures)
    elements = sum(
        len(example[column] or [])
        for example in version.examples.values()
        for column in {case.column for case in ROWS.values()} - {"images"}
    )
    assert elements == sum(len(c.kept) for c in ROWS.values() if c.column != "images")


def test_text_comes_through_as_it_was(version: Version):
    titles = {
        "a null byte in a title": (A, "x\0y"),
        "a title over three lines": (B, 'one\n\n"two", 2'),
        "a quote that stands for itself": (A, '5" disk'),
    }
    for name, (token, title) in titles.items():
        assert version.examples[image_id(name, token)]["title"] == title


def test_an_unknown_label_is_a_class_without_a_name(version: Version):
    classes = json.loads((version.folder / "classes.json").read_text())
    (entry,) = [entry for entry in classes if entry["label"] == "/m/0unknown"]
    assert entry["name"] is None


def test_a_failure_says_what_is_wrong(version: Version):
    details = {Path(row["source"] or "").name: row["detail"] for row in version.failures}
    assert details[file_name("a row of too few fields")] == "3 fields instead of 9"
    assert details[file_name("a reversed box")] == "box needs 0 <= XMin <= XMax <= 1"
    assert details[file_name("an ImageID that isn't one")] == "ImageID is not 16 hex digits"
    cut = "the file ends inside this record"
    assert details[file_name("a last line that is cut off")] == cut
    lost = "OriginalSize is not a number of its type: null, the image is kept"
    assert details[file_name("a size that is nothing")] == lost
    assert "quote" in details[file_name("a quote that nothing closes, in a title")]


def test_a_truncated_gzip_gives_the_rows_before_its_end(tmp_path: Path):
    ids = [f"{i:016x}" for i in np.random.default_rng(0).integers(0, 2**63, 60_000)]
    whole = gzip.compress(table("image_labels", *(f"{i},machine,/m/01,0.5" for i in ids)))
    cut = whole[: len(whole) * 3 // 4]
    (tmp_path / "train-labels.csv.gz").write_bytes(cut)
    flags = ["--images", "none", "--report", "json", "--output", tmp_path / "out"]
    built = run_build("--annotations", tmp_path / "train-labels.csv.gz", *flags)
    assert built.returncode == 1
    lines = zlib.decompressobj(wbits=31).decompress(cut).count(b"\n")
    assert 30_000 < lines < 60_000
    told = json.loads(built.stdout)
    assert told["failures"] == {"truncated": 1}
    assert told["images"] == lines - 1
    (source,) = told["sources"]
    assert (source["rows"], source["bad_rows"]) == (lines, 1)  # without header, with the cut
    (loss,) = told["losses"]
    assert loss["problem"] == "damaged"


# Pictures and masks.


def jpeg(size: tuple[int, int] = (96, 64), form: str = "JPEG", seed: int = 1) -> bytes:
    """A noisy picture."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, form)
    return data.getvalue()


def png(pixels: Any) -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(data, "PNG")
    return data.getvalue()


SOUND = jpeg()
MIDDLE = len(SOUND) // 2
#: Bytes of a picture, None for no file; the failure's stage and reason, or the path when published.
PICTURES: dict[str, tuple[bytes | None, tuple[str, str] | str]] = {
    "a sound JPEG": (SOUND, "jpg"),
    "a missing picture": (None, ("fetch", "missing")),
    "an empty picture": (b"", ("decode", "empty")),
    "a truncated JPEG": (SOUND[:MIDDLE], ("decode", "truncated")),
    "an HTML page": (b"<!DOCTYPE html><title>404</title>", ("decode", "not_image")),
    "a PNG named jpg": (jpeg(form="PNG"), "png"),
    "a truncated PNG": (jpeg(form="PNG")[:-30], ("decode", "truncated")),
    "a GIF": (jpeg(form="GIF"), ("decode", "format_not_allowed")),
    "a WebP": (jpeg(form="WEBP"), ("decode", "format_not_allowed")),
    "a JPEG corrupt in the middle": (
        SOUND[: MIDDLE - 500] + SOUND[MIDDLE + 500 :],
        ("decode", "corrupt"),
    ),
}
HALF = np.tile(np.arange(96) < 48, (64, 1))
#: Bytes of a mask's PNG; the failure's reason, or the area when published.
MASKS: dict[str, tuple[bytes | None, str | int]] = {
    "a sound mask": (png(HALF), 48 * 64),
    "a missing mask": (None, "mask_missing"),
    "a corrupt mask": (png(HALF)[:40] + b"\0" * 20 + png(HALF)[60:], "mask_corrupt"),
    "a truncated mask": (png(HALF)[:-20], "mask_corrupt"),
    "a mask that is a JPEG": (SOUND, "mask_corrupt"),
    "a mask of 16 bits": (png(HALF.astype(np.uint16) * 256), 48 * 64),
    "an empty mask file": (b"", "mask_corrupt"),
    "a mask of zeros": (png(HALF & False), 0),
    "a mask of another size": (png(HALF[:32, ::2]), 48 * 64),
}
PICTURE_IDS = {name: f"{i:016x}" for i, name in enumerate(PICTURES)}
MASK_IDS = {name: f"{i:016x}" for i, name in enumerate(MASKS, 100)}


def mask_name(name: str) -> str:
    return f"{MASK_IDS[name]}_m01_0000000b.png"


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with annotations, pictures and masks of all cases."""
    folder = tmp_path_factory.mktemp("pixels")
    for part in ("annotations", "images", "masks"):
        (folder / part).mkdir()
    for name, (data, _) in PICTURES.items():
        if data is not None:
            (folder / "images" / f"{PICTURE_IDS[name]}.jpg").write_bytes(data)
    for name, (data, _) in MASKS.items():
        (folder / "images" / f"{MASK_IDS[name]}.jpg").write_bytes(SOUND)
        if data is not None:
            (folder / "masks" / mask_name(name)).write_bytes(data)
    ids = [*PICTURE_IDS.values(), *MASK_IDS.values()]
    (folder / "annotations" / "images.csv").write_bytes(table("images", *map(image, ids)))
    rows = [mask(MASK_IDS[name], mask_name(name)) for name in MASKS]
    (folder / "annotations" / "masks.csv").write_bytes(table("masks", *rows))
    return folder


def build_pixels(pixels: Path, output: Path, *flags: object) -> Build:
    inputs = ["--annotations", pixels / "annotations", "--masks", pixels / "masks"]
    return run_build(*inputs, *flags, "--output", output)


@pytest.fixture(scope="module")
def with_pixels(pixels: Path, tmp_path_factory: pytest.TempPathFactory) -> Version:
    output = tmp_path_factory.mktemp("output")
    flags = ["--images", pixels / "images", "--verify_pixels", "--max_failure_rate", 0.5]
    flags += ["--max_bad_rate", 1]
    built = build_pixels(pixels, output, *flags)
    assert (built.returncode, built.stderr) == (0, "")
    return built.version


@pytest.mark.parametrize("name", PICTURES)
def test_pictures(with_pixels: Version, name: str):
    data, wanted = PICTURES[name]
    image_id = PICTURE_IDS[name]
    failures = [row for row in with_pixels.failures if row["image_id"] == image_id]
    example = with_pixels.examples.get(image_id)
    if isinstance(wanted, str):
        assert failures == []
        assert example["image"] == {"bytes": data, "path": f"{image_id}.{wanted}"}
        return
    assert example is None
    (failure,) = failures
    assert (failure["stage"], failure["reason"]) == wanted
    assert failure["split"] == "train"
    assert (failure["source"] or "").endswith(f"{image_id}.jpg") == (data is not None)


@pytest.mark.parametrize("name", MASKS)
def test_masks(with_pixels: Version, name: str):
    wanted = MASKS[name][1]
    image_id = MASK_IDS[name]
    failures = [row for row in with_pixels.failures if row["image_id"] == image_id]
    (row,) = with_pixels.examples[image_id]["masks"]
    assert row["label"] == "/m/01"
    if isinstance(wanted, int):
        assert failures == []
        assert (row["size"], row["area"]) == ([64, 96], wanted)
        return
    assert (row["size"], row["counts"], row["area"]) == (None, None, None)
    (failure,) = failures
    assert (failure["stage"], failure["reason"]) == ("mask", wanted)
    assert mask_name(name) in failure["detail"]


def test_failures_of_pixels_are_counted(with_pixels: Version):
    assert len(with_pixels.examples) == len(MASKS) + 2
    reasons = [wanted[1] for _, wanted in PICTURES.values() if isinstance(wanted, tuple)]
    reasons += [wanted for _, wanted in MASKS.values() if isinstance(wanted, str)]
    assert with_pixels.manifest["failures"] == {r: reasons.count(r) for r in sorted(set(reasons))}


def test_too_many_failures_publish_nothing(pixels: Path, tmp_path: Path):
    built = build_pixels(pixels, tmp_path / "out", "--images", pixels / "images")
    assert built.returncode == 1
    line = built.stderr
    # The corrupt picture passes here, since its pixels aren't asked for.
    assert "7 of 19 images failed (36.84%), more than --max_failure_rate 0.01" in line
    assert "not_image" in built.stdout
    assert [*(tmp_path / "out").iterdir()] == []


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory, pixels: Path) -> Path:
    """Zips: one cut short, and one whose members try to leave it."""
    folder = tmp_path_factory.mktemp("archives")
    name = f"{PICTURE_IDS['a sound JPEG']}.jpg"
    with zipfile.ZipFile(folder / "unsafe.zip", "w") as archive:
        for member in (f"/{name}", f"../{name}", f"a/../../{name}", f"fine/{name}"):
            archive.writestr(member, SOUND)
    data = (folder / "unsafe.zip").read_bytes()
    (folder / "cut.zip").write_bytes(data[: len(data) // 2])
    return folder


def test_archives_that_are_cut_or_unsafe_harm_no_other_source(
    pixels: Path, archives: Path, tmp_path: Path
):
    sources = ["--images", archives / "cut.zip", "--images", archives / "unsafe.zip"]
    flags = [*sources, "--images", pixels / "images", "--max_failure_rate", 0.5]
    flags += ["--max_bad_rate", 1]
    built = build_pixels(pixels, tmp_path / "out", *flags, "--format", "parquet")
    assert built.returncode == 0, built.stderr
    assert len(built.version.examples) == len(MASKS) + 3
    listed = [
        (Path(row["source"]).name, row["stage"], row["reason"])
        for row in built.version.failures
        if row["source"] and row["source"].endswith(".zip")
    ]
    assert sorted(listed) == [
        ("cut.zip", "fetch", "truncated"),
        *[("unsafe.zip", "fetch", "unsafe_path")] * 3,
    ]
    account = built.version.source("unsafe.zip")
    assert (account["rows"], account["bad_rows"]) == (4, 3)


def test_a_cut_archive_alone_fails_the_build(pixels: Path, archives: Path, tmp_path: Path):
    built = build_pixels(pixels, tmp_path / "out", "--images", archives / "cut.zip")
    assert built.returncode == 1
    line = built.stderr
    assert "19 of 19 images failed" in line
    assert "truncated" in built.stdout
    assert "cut.zip" in built.stdout
