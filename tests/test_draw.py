"""The contact sheet: what is drawn where, and what is said of wrong use."""

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pycocotools import mask as coco

from open_images import drawing
from pipelines import draw
from tests import builds
from tests.conftest import CorpusMaker
from transforms.kinds.registry import ANNOTATION_COLUMNS

DATA = Path(__file__).with_name("data") / "real_v4"


@pytest.fixture(scope="module")
def output(make_corpus: CorpusMaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published corpus with all kinds of annotation."""
    corpus = make_corpus("v7", 30)
    done = builds.run_build(
        *("--annotations", corpus / "annotations", "--images", corpus / "images"),
        *("--masks", corpus / "masks", "--output", tmp_path_factory.mktemp("output")),
    )
    assert done.returncode == 0, done.stderr
    return done.output


@pytest.fixture(scope="module")
def palette(output: Path) -> drawing.Palette:
    return drawing.Palette(drawing.find_version(output))


def test_draws_six_examples(output: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    target = tmp_path / "examples.png"
    assert draw.main([str(output), "--output", str(target)]) == 0
    sheet = Image.open(target)
    assert sheet.width > sheet.height / 2 > 400
    assert sheet.mode == "RGB"
    assert len(sheet.getcolors(sheet.width * sheet.height)) > 1000
    assert capsys.readouterr().out == f"drew 6 examples on {target}\n"


def test_draws_of_a_version_and_a_split(output: Path, tmp_path: Path) -> None:
    target = tmp_path / "one.jpg"
    flags = ["--split", "test", "--images", "1", "--output", str(target)]
    assert draw.main([str(drawing.find_version(output)), *flags]) == 0
    assert Image.open(target).format == "JPEG"


def test_chooses_examples_with_many_kinds(output: Path) -> None:
    def kinds(row: dict) -> int:
        return sum(bool(row[name]) for name in ANNOTATION_COLUMNS)

    chosen = drawing.find_examples(drawing.find_version(output), "train", [], 4)
    table = builds.latest_version(output).table.to_pylist()
    best = sorted((kinds(row) for row in table if row["split"] == "train"), reverse=True)
    assert [kinds(row) for row in chosen] == best[:4]
    assert best[0] == len(ANNOTATION_COLUMNS)


def test_finds_images_in_the_order_asked_for(output: Path) -> None:
    ids = builds.latest_version(output).table["image_id"].to_pylist()
    wanted = [ids[-1], ids[0]]
    rows = drawing.find_examples(drawing.find_version(output), None, wanted, 6)
    assert [row["image_id"] for row in rows] == wanted


def blank_example(**annotations: list[dict]) -> dict:
    picture = io.BytesIO()
    Image.new("RGB", (280, 220), "white").save(picture, "PNG")
    example = {"image_id": "0" * 16, "image": {"bytes": picture.getvalue(), "path": "0.png"}}
    size = {"width": 280, "height": 220}
    return example | size | dict.fromkeys(ANNOTATION_COLUMNS) | annotations


def test_a_box_is_where_it_should_be(palette: drawing.Palette) -> None:
    """On white, drawn at twice the picture's size, in the colour of its class."""
    box = {"label": "/m/01yrx", "xmin": 0.25, "xmax": 0.75, "ymin": 0.5, "ymax": 0.9}
    cell = np.asarray(drawing.draw_example(blank_example(bboxes=[box]), palette))[:440]
    ys, xs = np.nonzero((cell == palette.colour("/m/01yrx")).all(axis=2))
    assert (xs.min(), xs.max()) == pytest.approx((140, 420), abs=1)
    assert ys.max() == pytest.approx(396, abs=1)
    # Its name is on top of it.
    assert ys.min() == pytest.approx(220 - 19, abs=1)


def test_person_boxes_are_told_from_boxes(palette: drawing.Palette) -> None:
    """In the same place as a box, and with gaps that a box doesn't have."""
    box = {"label": "/m/01yrx", "xmin": 0.25, "xmax": 0.75, "ymin": 0.5, "ymax": 0.9}

    def drawn(**annotations: list[dict]) -> np.ndarray:
        cell = np.asarray(drawing.draw_example(blank_example(**annotations), palette))[:440]
        return (cell == palette.colour("/m/01yrx")).all(axis=2)

    whole, dashed = drawn(bboxes=[box]), drawn(person_boxes=[box])
    assert 0.4 < dashed[230:].sum() / whole[230:].sum() < 0.6
    for marked in (whole, dashed):
        ys, xs = np.nonzero(marked)
        assert (xs.min(), xs.max()) == pytest.approx((140, 420), abs=1)
        assert ys.max() == pytest.approx(396, abs=8)


def test_draws_a_version_without_a_kind(output: Path, tmp_path: Path) -> None:
    """One that was built before there was a column of person boxes."""
    version = tmp_path / "old"
    shutil.copytree(drawing.find_version(output), version)
    for shard in version.glob("parquet/*.parquet"):
        pq.write_table(pq.read_table(shard).drop_columns("person_boxes"), shard)
    assert draw.main([str(version), "--output", str(tmp_path / "examples.png")]) == 0


def test_a_mask_is_tinted(palette: drawing.Palette) -> None:
    pixels = np.zeros((220, 280), np.uint8, order="F")
    pixels[110:, :140] = 1
    runs = coco.encode(pixels)
    mask = {"label": "/m/01yrx", "size": runs["size"], "counts": runs["counts"]}
    failed = {"label": "/m/01yrx", "size": None, "counts": None}
    example = blank_example(masks=[mask, failed])
    cell = np.asarray(drawing.draw_example(example, palette))
    assert (cell[:218] == 255).all()
    assert (cell[:440, 282:] == 255).all()
    tint = cell[222:440, :278].reshape(-1, 3)
    assert (tint == tint[0]).all()
    assert (tint[0] < 255).any()


def test_points_tell_yes_from_no(palette: drawing.Palette) -> None:
    def drawn(answer: str) -> np.ndarray:
        point = {"label": "/m/01yrx", "x": 0.5, "y": 0.5, "estimated_yes_no": answer}
        return np.asarray(drawing.draw_example(blank_example(points=[point]), palette))[:440]

    yes, no = drawn("yes"), drawn("no")
    assert (yes != no).any()
    for cell in (yes, no):
        ys, xs = np.nonzero((cell != 255).any(axis=2))
        assert xs.mean() == pytest.approx(279.5, abs=1.5)
        assert ys.mean() == pytest.approx(219.5, abs=1.5)


def test_classes_that_people_rejected_are_not_named(palette: drawing.Palette) -> None:
    """Whatever machines say of them; those that people found are, whatever others of them say."""
    labels = [
        ("/m/01yrx", "machine", 0.9),  # rejected
        ("/m/01yrx", "verification", 0.0),
        ("/m/01g317", "machine", 0.2),  # found
        ("/m/01g317", "crowdsource-verification", 1.0),
        ("/m/04bcr3", "crowdsource-verification", 0.0),  # nothing but rejected
        ("/m/0c9ph5", "machine", 0.8),  # nobody looked
        ("/m/04yx4", "machine", 0.3),
        ("/m/03bt1vf", "verification", 0.0),  # two who disagree
        ("/m/03bt1vf", "crowdsource-verification", 1.0),
        ("/m/0k4j", None, 1.0),  # a table without sources
    ]
    found = [dict(zip(("label", "source", "confidence"), each, strict=True)) for each in labels]
    for order in (found, found[::-1]):
        *_, last = drawing.caption_of(blank_example(image_labels=order), palette)
        wanted = {palette.name(mid) for mid in ("/m/01g317", "/m/0c9ph5", "/m/03bt1vf", "/m/0k4j")}
        assert set(last.split(", ")) == wanted


def test_names_hide_no_other(palette: drawing.Palette) -> None:
    """Six boxes in one place: the names are below one another, none on another's."""
    box = {"xmin": 0.1, "xmax": 0.6, "ymin": 0.2, "ymax": 0.9}
    labels = ["/m/01yrx", "/m/01g317", "/m/04bcr3", "/m/0c9ph5", "/m/04yx4", "/m/03bt1vf"]
    boxes = [box | {"label": label} for label in labels]
    cell = np.asarray(drawing.draw_example(blank_example(bboxes=boxes), palette))[:440]
    areas = [(cell == palette.colour(label)).all(axis=2).sum() for label in labels]
    assert len({palette.colour(label) for label in labels}) == 6
    assert min(areas) > 300


def test_draws_real_pictures(tmp_path: Path) -> None:
    flags = ("--annotations", DATA / "annotations", "--images", DATA / "images")
    done = builds.run_build(*flags, "--output", tmp_path / "out", "--format", "parquet")
    assert done.returncode == 0, done.stderr
    target = tmp_path / "real.png"
    assert draw.main([str(tmp_path / "out"), "--images", "7", "--output", str(target)]) == 0
    assert Image.open(target).size[0] > 1500


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--split", "holdout"], "--split holdout: no such split: use one of test, train, valid"),
        (["--split", "tran"], "--split tran: no such split: did you mean train?"),
        (["--image_id", "0" * 16], f"--image_id {'0' * 16}: no such example"),
        (["--images", "0"], "--images must be at least 1"),
        (["--output", "sheet.xyz"], "--output end in .png or .jpg"),
        (["--output", "/no/such/folder/sheet.png"], "No such file or directory"),
    ],
)
def test_wrong_use_gets_a_line(
    output: Path, tmp_path: Path, capsys: pytest.CaptureFixture, flags: list[str], message: str
) -> None:
    assert draw.main([str(output), "--output", str(tmp_path / "sheet.png"), *flags]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.timeout(60)
def test_a_sheet_is_no_pipe(output: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    os.mkfifo(tmp_path / "sheet.png")
    assert draw.main([str(output), "--output", str(tmp_path / "sheet.png")]) == 2
    assert "sheet.png is no file: name one" in capsys.readouterr().err


def test_nothing_to_draw_gets_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture, make_corpus: CorpusMaker
) -> None:
    target = str(tmp_path / "sheet.png")
    assert draw.main([str(tmp_path), "--output", target]) == 2
    assert "nothing is published there" in capsys.readouterr().err
    for form, message in (("tfrecord", "no Parquet"), ("parquet", "no pictures")):
        flags = ("--annotations", DATA / "annotations", "--images", "none", "--format", form)
        assert builds.run_build(*flags, "--output", tmp_path / form).returncode == 0
        assert draw.main([str(tmp_path / form), "--output", target]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
