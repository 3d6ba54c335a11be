"""Folders as users have them: what a build makes of each, and that every row is accounted for.

The cases in `data/field_cases` rebuild, small and with invented contents, what public reports and
users' folders looked like.
"""

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from pipelines import verify
from tests.builds import run_build

CASES = Path(__file__).parent / "data" / "field_cases"


class Case(NamedTuple):
    """Attributes:
    flags: with paths below the case's folder, after `@`.
    code: the exit code.
    words: of what is said, on whichever stream.
    annotations: how many are in the examples, by column.
    repeats: how many rows of each file others have, too.
    """

    flags: str
    code: int
    words: tuple[str, ...] = ()
    annotations: dict[str, int] | None = None
    repeats: dict[str, int] | None = None


ANN = "--annotations @ann --images"
TABLE = {
    "01-ssd-toolkit": Case(
        "--annotations @open_images --images @open_images --max_failure_rate 0.5",
        0,
        ("unknown columns are ignored: id, ClassName",),
        {"bboxes": 10},
        {"train-annotations-bbox.csv": 3, "validation-annotations-bbox.csv": 1},
    ),
    "02-fiftyone": Case(
        "--annotations @open-images-v6 --images @open-images-v6 --masks @open-images-v6",
        0,
        ("info.json: not used",),
        {"bboxes": 5, "masks": 5, "image_labels": 5},
    ),
    "04-own-ids": Case(
        "--annotations @annotations --images @images", 2, ("'img_000' aren't ImageIDs", "rename")
    ),
    "04b-own-ids-mixed": Case(
        "--annotations @annotations --images @images",
        1,
        ("3 of 6 images failed", "3 of 6 (50.00%) rows are bad", "ImageID is not 16 hex digits"),
    ),
    "05-challenge": Case(f"{ANN} @validation", 0, (), {"bboxes": 3, "image_labels": 3}),
    "06-same-table-twice": Case(
        f"{ANN} @train", 0, ("not used: the same content as",), {"bboxes": 3}
    ),
    "06b-browser-copy": Case(
        f"{ANN} @train", 0, ("bbox.csv.gz: not used: the same content as",), {"bboxes": 3}
    ),
    "06d-full-and-boxable-labels": Case(
        f"{ANN} @train",
        0,
        (),
        {"image_labels": 6},
        {"train-annotations-human-imagelabels-boxable.csv": 3},
    ),
    "08b-cut-in-last-number": Case(
        f"{ANN} @train", 1, ("ends inside a record", "download it again", "1 of 14 (7.14%)")
    ),
    "09c-captions-and-narratives": Case(
        f"{ANN} @validation",
        0,
        (),
        {"narratives": 4},
        {"open_images_validation_localized_narratives.jsonl": 4},
    ),
    "10-v3-as-published": Case(f"{ANN} none", 0, (), {"bboxes": 93, "image_labels": 197}),
    "11b-utf16": Case(f"{ANN} @train", 2, ("UTF-16", "save it as UTF-8")),
    "11c-semicolons": Case(f"{ANN} @train", 2, ("semicolons", "save it with commas")),
    "12b-all-ids-damaged": Case(f"{ANN} @train", 2, ("numbers that a spreadsheet made",)),
    "12d-upper-ids": Case(f"{ANN} @train", 0, (), {"bboxes": 6}),
    "16-pandas-index": Case(f"{ANN} @train", 0, (), {"bboxes": 3}),
    "16d-columns-chosen": Case(f"{ANN} @train", 0, (), {"bboxes": 3}),
    "17b-nightly": Case("--annotations @ann --images @images", 0, (), {"bboxes": 2}),
    "19-renamed": Case(f"{ANN} @roboflow", 1, ("3 of 3 images failed", "named", "_jpg.rf.")),
    "25a-empty-zip": Case(f"{ANN} @validation --masks @masks", 2, ("is empty: download it again",)),
    "25b-page-for-zip": Case(f"{ANN} @validation --masks @masks", 2, ("is a web page",)),
    "25c-cut-zip": Case(
        f"{ANN} @validation --masks @masks --max_bad_rate 1", 1, ("cut or damaged", "get it again")
    ),
    "28-two-releases": Case(
        f"{ANN} @train", 1, ("OriginalURL is 'https://c1.example", "images.csv and 'https://farm1")
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_becomes_of_it(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = TABLE[name]
    flags = [word.replace("@", f"{CASES / name}/") for word in case.flags.split()]
    built = run_build(*flags, "--output", tmp_path / "output")
    said = built.stdout + built.stderr
    assert built.returncode == case.code, said
    assert "Traceback" not in said
    for word in case.words:
        assert word in said
    if case.code:
        assert not (tmp_path / "output" / "latest").exists()
        return
    manifest = built.version.manifest
    written = {column: its["written"] for column, its in manifest["annotations"].items()}
    assert {name: count for name, count in written.items() if count} == case.annotations
    repeats = case.repeats or {}
    for source in manifest["sources"]:
        parts = [source[part] for part in ("kept", "repeats", "orphans", "bad_rows")]
        assert sum(parts) == source["rows"], source["path"]
        assert source["repeats"] >= repeats.get(Path(source["path"]).name, 0)
    assert verify.main([str(tmp_path / "output"), "--num_workers", "1"]) == 0, capsys.readouterr()


def test_captions_take_over_what_narratives_know(tmp_path: Path) -> None:
    folder = CASES / "09c-captions-and-narratives"
    flags = ("--images", "none", "--format", "parquet", "--output", tmp_path / "output")
    built = run_build("--annotations", folder / "ann", *flags)
    lines = (folder / "ann" / "open_images_validation_localized_narratives.jsonl").read_text()
    told = {row["image_id"]: row for row in map(json.loads, lines.splitlines())}
    for image_id, example in built.version.examples.items():
        (narrative,) = example["narratives"]
        for name in ("annotator_id", "caption", "voice_recording"):
            assert narrative[name] == told[image_id].get(name)
        said = [each["utterance"] for each in narrative["timed_caption"] or []]
        assert said == [each["utterance"] for each in told[image_id].get("timed_caption", [])]
