"""Files of a source of pictures or masks that aren't used: how many there are, and what one is."""

from pathlib import Path

import apache_beam as beam
import pytest

from tests.sources.test_listing_sources import WRITERS
from transforms.dataset.elements import Source, SourceCount
from transforms.sources import listing
from transforms.sources.contents import unpack_source
from transforms.sources.listed import list_outputs
from transforms.storage.files import DEFAULTS

A, B = "0123456789abcdef", "00000000000000bb"
MASK = f"{A}_m0bl9f_05580497.png"

#: Kind of source, names of its members, and what is said of them.
CASES = {
    "renamed by Roboflow": (
        "pictures",
        [f"train/images/{i}_jpg.rf.{A}{A}.jpg" for i in (B, A)] + ["README.txt"],
        f"2 pictures are there, none named by an ImageID, for example 'train/images/{B}_jpg.rf",
    ),
    "numbered": (
        "pictures",
        ["000000000.jpg", "000000000.json", "000000000.txt", "000000001.jpg"],
        "2 pictures are there, none named by an ImageID, for example '000000000.jpg'",
    ),
    "other ends": (
        "pictures",
        ["a/IMG_0001.JPEG", "a/IMG_0002.Tif"],
        "2 pictures are there, none named by an ImageID, for example 'a/IMG_0001.JPEG'",
    ),
    "copies among others": (
        "pictures",
        [f"{A}.jpg", f"{A} (1).jpg", f"{B}.jpg"],
        f"that aren't named by an ImageID, and so aren't used: 1, for example '{A} (1).jpg'",
    ),
    "no ends": (
        "pictures",
        [f"train/{A}", f"train/{B}"],
        f"no pictures are there, but other files: 2, for example 'train/{B}'",
    ),
    "videos": (
        "pictures",
        ["films/a.mp4", "films/b.mp4"],
        "no pictures are there, but other files: 2, for example 'films/a.mp4'",
    ),
    "archives, which are sources themselves": ("pictures", ["a/0.tar", "a/1.ZIP", "2.tar.gz"], ""),
    "nothing": ("pictures", [], "no pictures are there, nor any other file"),
    "a name with a line break": (
        "pictures",
        ["a\nb.jpg"],
        "1 picture is there, not named by an ImageID: 'a\\nb.jpg'",
    ),
    "masks and hidden files beside": (
        "pictures",
        [f"images/{A}.jpg", f"masks/{MASK}", "images/.DS_Store", f"__MACOSX/images/._{A}.jpg"],
        "",
    ),
    "masks alone": (
        "pictures",
        [MASK],
        f"no pictures are there, but other files: 1, for example '{MASK}'",
    ),
    "masks of another tool": (
        "mask_files",
        ["masks/0001.png", "masks/0002.png"],
        "2 mask PNGs are there, none named IMAGE_ID_MID_BOX_ID.png, for example 'masks/0001.png'",
    ),
    "some masks of another tool": (
        "mask_files",
        ["masks/0001.png", MASK],
        "mask PNGs that aren't named IMAGE_ID_MID_BOX_ID.png, and so aren't used: 1, for example",
    ),
    "pictures for masks": (
        "mask_files",
        [f"{A}.jpg", f"{B}.png"],
        f"no mask PNGs are there, but other files: 2, for example '{B}.png'",
    ),
    "recordings of another tool": (
        "voice_files",
        ["voices/0001.ogg", "voices/0002.wav", "voices/readme.txt"],
        "2 recordings are there, none named DATASET_IMAGE_ID_ANNOTATOR.ogg, for example "
        "'voices/0001.ogg'",
    ),
    "recordings": ("voice_files", [f"a/train_{A}_7.ogg", f"{B}.OGG"], ""),
    "masks with pictures beside": ("mask_files", [MASK, f"{B}.png", f"{A}.jpg"], ""),
}


def counts_of(path: str, medium: str, kind: str, tmp_path: Path) -> list[SourceCount]:
    source = Source(3, kind, path, 0, medium=medium)
    unpacked = unpack_source(source, str(tmp_path), DEFAULTS)
    outputs = list_outputs(source, DEFAULTS, unpacked)
    tagged = [output for output in outputs if isinstance(output, beam.pvalue.TaggedOutput)]
    return [output.value for output in tagged if output.tag == "counts"]


@pytest.mark.parametrize("medium", WRITERS)
@pytest.mark.parametrize("name", CASES)
def test_what_is_not_used_is_told_once(
    tmp_path: Path, medium: str, name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(listing, "ROWS", 1)
    kind, names, warning = CASES[name]
    if medium == "folder":
        (tmp_path / "source").mkdir()  # else an empty one isn't there
    path = WRITERS[medium](tmp_path / "source", dict.fromkeys(sorted(names), b""))
    counts = counts_of(path, medium, kind, tmp_path)
    told = [count for count in counts if count.warning]
    assert len(told) == bool(warning)
    for count in told:
        assert (count.source, count.rows, count.bad_rows, count.damage) == (3, 0, 0, "")
        assert warning in count.warning
        assert "\n" not in count.warning
    orders = [count.order for count in counts]
    assert len(set(orders)) == len(orders)


def test_a_damaged_archive_is_no_empty_one(tmp_path: Path):
    path = WRITERS["zip"](tmp_path / "source", {f"{A}.jpg": b""})
    Path(path).write_bytes(Path(path).read_bytes()[:20])
    (count,) = counts_of(path, "zip", "pictures", tmp_path)
    assert (count.bad_rows, count.warning, count.damage) == (1, "", "")


def test_a_damaged_archive_of_masks_is_a_loss(tmp_path: Path):
    path = WRITERS["zip"](tmp_path / "source", {MASK: b""})
    Path(path).write_bytes(Path(path).read_bytes()[:20])
    failed, last = counts_of(path, "zip", "mask_files", tmp_path)
    assert (failed.bad_rows, failed.damage) == (1, "")
    assert (last.rows, last.warning) == (0, "")
    assert "cut or damaged (truncated: " in last.damage
