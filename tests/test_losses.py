"""What is lost of the inputs fails a build, or is told: never an empty list in silence."""

import gzip
import json
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import verify
from tests.builds import Build, run_build

IDS = [f"{i:016x}" for i in range(1, 51)]
IMAGES = "ImageID,Subset\n" + "".join(f"{i},train\n" for i in IDS)
BOX = "{},xclick,/m/01,1,0.25,0.5,0.25,0.5\n"
BOXES = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n"


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """A folder with an image table of 50 images."""
    folder = tmp_path / "annotations"
    folder.mkdir()
    (folder / "train-images.csv").write_text(IMAGES)
    return folder


def build(annotations: Path, *flags: object) -> Build:
    where = ("--annotations", annotations, "--output", annotations.parent / "output")
    if "--images" not in flags:
        flags = ("--images", "none", *flags)
    return run_build(*where, *flags)


def boxes(ids: list[str], bad: int = 0) -> str:
    """A table of boxes, of which the last ones are in pixels."""
    rows = [BOX.format(i) for i in ids]
    spoiled = [row.replace("0.25,0.5,", "25,50,") for row in rows[len(rows) - bad :]]
    return BOXES + "".join([*rows[: len(rows) - bad], *spoiled])


def assert_refused(built: Build, *words: str) -> None:
    assert built.returncode == 1, built.stdout
    assert not (built.output / "latest").exists()
    for word in words:
        assert word in built.stderr
    assert "Traceback" not in built.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (boxes(IDS, bad=50), ("50 of 50 rows are bad", "box needs 0 <= XMin")),
        (boxes(IDS, bad=1), ("1 of 50 (2.00%)", "train-boxes.csv:51")),
        (boxes([*IDS[:30], *(f"img_{i}" for i in range(20))]), ("20 of 50 (40.00%)", "16")),
        (boxes([i.replace("0", "f") for i in IDS]), ("none of its 50 rows", "leave it out")),
    ],
    ids=["pixels for fractions", "one in fifty", "own ids among others", "orphans"],
)
def test_a_table_that_is_lost_fails_the_build(
    annotations: Path, text: str, words: tuple[str, ...]
) -> None:
    (annotations / "train-boxes.csv").write_text(text)
    refused = build(annotations)
    assert_refused(refused, "train-boxes.csv", *words)
    assert "--max_bad_rate" in refused.stderr
    accepted = build(annotations, "--max_bad_rate", "1")
    assert accepted.returncode == 0, accepted.stderr


def test_a_few_bad_rows_are_told(annotations: Path) -> None:
    (annotations / "train-boxes.csv").write_text(boxes(IDS * 2, bad=1))
    built = build(annotations, "--report", "json", "--metrics_file", annotations.parent / "m.prom")
    assert built.returncode == 0, built.stderr
    told = json.loads(built.stdout)
    (source,) = [s for s in told["sources"] if s["kind"] == "boxes"]
    counts = {name: source[name] for name in ("rows", "kept", "repeats", "orphans", "bad_rows")}
    assert counts == {"rows": 100, "kept": 99, "repeats": 0, "orphans": 0, "bad_rows": 1}
    assert told["losses"] == []
    metrics = (annotations.parent / "m.prom").read_text()
    path = annotations / "train-boxes.csv"
    assert f'open_images_build_source_bad_rows{{kind="boxes",path="{path}"}} 1' in metrics


def test_machines_are_told_of_losses(annotations: Path) -> None:
    (annotations / "train-boxes.csv").write_text(boxes(IDS, bad=50))
    built = build(annotations, "--report", "json", "--metrics_file", annotations.parent / "m.prom")
    told = json.loads(built.stdout)
    assert (told["outcome"], told["version"]) == ("failed", None)
    (loss,) = told["losses"]
    assert loss["problem"] == "bad_rows"
    assert loss["source"] == str(annotations / "train-boxes.csv")
    assert "50 of 50 rows are bad" in told["error"]
    assert len(loss["examples"]) == 3
    assert "open_images_build_losses 1.0\n" in (annotations.parent / "m.prom").read_text()


@pytest.fixture(scope="module")
def long_table() -> bytes:
    """A gzipped table that is longer than what is looked at before a build starts."""
    rng = random.Random(7)
    rows = (f"{rng.choice(IDS)},machine,/m/{rng.randrange(10**6)},0.5\n" for _ in range(60_000))
    return gzip.compress(("ImageID,Source,LabelName,Confidence\n" + "".join(rows)).encode())


@pytest.mark.parametrize("cut", [-50_000, -4], ids=["within", "in the trailer"])
@pytest.mark.parametrize("exchange", ["files", "engine"])
def test_a_cut_gzip_fails_the_build(
    annotations: Path, long_table: bytes, cut: int, exchange: str
) -> None:
    (annotations / "train-labels.csv.gz").write_bytes(long_table[:cut])
    refused = build(annotations, "--exchange", exchange, "--max_bad_rate", "1")
    assert_refused(refused, "train-labels.csv.gz", "cut or damaged", "download it again")


def test_a_damaged_gzip_fails_the_build(annotations: Path, long_table: bytes) -> None:
    data = bytearray(long_table)
    data[-8] ^= 1  # of its CRC-32
    (annotations / "train-labels.csv.gz").write_bytes(data)
    assert_refused(build(annotations), "train-labels.csv.gz", "download it again")


def test_a_gzip_that_is_cut_at_its_beginning_is_wrong_use(annotations: Path) -> None:
    (annotations / "train-boxes.csv.gz").write_bytes(gzip.compress(boxes(IDS).encode())[:-20])
    refused = build(annotations)
    assert refused.returncode == 2
    assert "train-boxes.csv.gz" in refused.stderr
    assert "download it again" in refused.stderr


def test_orphans_of_a_split_that_is_not_built_are_counted(annotations: Path) -> None:
    (annotations / "validation-boxes.csv").write_text(boxes([i.replace("0", "f") for i in IDS]))
    built = build(annotations)
    assert built.returncode == 0, built.stderr
    assert built.version.source("validation-boxes.csv")["orphans"] == 50


def test_an_image_row_that_cannot_be_read_is_a_failed_image(annotations: Path) -> None:
    (annotations / "train-images.csv").write_text(IMAGES + "nonsense,train\n" * 2)
    refused = build(annotations, "--max_bad_rate", "1")
    assert_refused(refused, "2 of 52 images failed", "--max_failure_rate")
    flags = ("--max_bad_rate", "1", "--max_failure_rate", "0.1", "--report", "json")
    accepted = json.loads(build(annotations, *flags).stdout)
    assert (accepted["images"], accepted["failed_images"]) == (52, 2)


def test_an_empty_table_is_told(annotations: Path) -> None:
    (annotations / "train-boxes.csv").write_text(BOXES)
    built = build(annotations)
    assert built.returncode == 0, built.stderr
    assert f"note: {annotations / 'train-boxes.csv'}: has no rows" in built.stdout


@pytest.fixture
def with_masks(make_corpus: Callable[[str, int], Path], tmp_path: Path) -> Path:
    """The validation split of a small corpus, with masks."""
    corpus = make_corpus("v7", 200)
    target = tmp_path / "masked"
    for kind in ("images", "masks"):
        shutil.copytree(corpus / kind, target / kind)
    (target / "annotations").mkdir()
    for path in (corpus / "annotations").glob("validation-*"):
        shutil.copy(path, target / "annotations")
    return target


def test_masks_without_pixels_fail_the_build(with_masks: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "readme.txt").write_text("no masks here")
    annotations = with_masks / "annotations"
    flags = ("--images", with_masks / "images", "--masks", tmp_path / "wrong")
    refused = build(annotations, *flags)
    assert_refused(refused, "masks of validation", "have no pixels", "check --masks")
    assert "no source of masks has it" in refused.stderr
    without = build(annotations, "--images", with_masks / "images")
    assert without.returncode == 0, without.stderr
    assert "its masks have no pixels: name their PNGs by --masks" in without.stdout
    others = build(annotations, "--images", with_masks / "images", "--label_types", "boxes")
    assert others.returncode == 0, others.stderr
    assert "no pixels" not in others.stdout
    accepted = build(annotations, *flags, "--max_bad_rate", "1")
    assert accepted.returncode == 0, accepted.stderr


def test_a_cut_zip_of_masks_fails_the_build(with_masks: Path, tmp_path: Path) -> None:
    masks = sorted((with_masks / "masks").rglob("*.png"))
    archive = tmp_path / "validation-masks-0.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in masks:
            file.write(path, path.name)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) * 2 // 3])
    flags = ("--images", with_masks / "images", "--masks", archive, "--max_bad_rate", "1")
    assert_refused(build(with_masks / "annotations", *flags), "validation-masks-0.zip")


def test_verify_checks_the_account(annotations: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (annotations / "train-boxes.csv").write_text(boxes(IDS * 2, bad=1))
    (annotations / "other-train-boxes.csv").write_text(boxes(IDS))
    for form in ("parquet", "tfrecord"):
        built = build(annotations, "--format", form)
        assert built.returncode == 0, built.stderr
        output = str(built.output)
        assert verify.main([output, "--num_workers", "1"]) == 0, capsys.readouterr().out
        path = built.version.folder / "manifest.json"
        for edit in ("kept", "repeats"):
            manifest = json.loads(path.read_text())
            (source,) = [s for s in manifest["sources"] if s["path"].endswith("/train-boxes.csv")]
            source[edit] += 1
            original = path.read_bytes()
            path.write_text(json.dumps(manifest))
            assert verify.main([output, "--num_workers", "1"]) == 1
            assert "rows" in capsys.readouterr().out
            path.write_bytes(original)
        manifest = json.loads(path.read_text())
        manifest["annotations"]["bboxes"]["written"] -= 1
        manifest["annotations"]["bboxes"]["left_out"] += 1
        path.write_text(json.dumps(manifest))
        assert verify.main([output, "--num_workers", "1"]) == 1
        assert "are in the shards" in capsys.readouterr().out
