"""Mistakes in the flags: one line, exit code 2; and the catalogue that the project carries."""

import re
from pathlib import Path

import pytest

from open_images.downloading import catalogue as catalogues
from open_images.downloading.catalogue import OPTIONAL_KINDS, read, select
from open_images.downloading.plan import make_plan
from tests.downloading.conftest import Run
from transforms.kinds.names import KINDS
from transforms.wording import bytes_of

MISTAKES = {
    "no such release": (["--release", "v9"], "--release"),
    "no such kind": (["--kinds", "boxen"], "did you mean boxes?"),
    "a kind that the release lacks": (
        ["--release", "v6", "--kinds", "image_labels"],
        "--kinds: v6 has no image_labels: choose of boxes, mask_pngs, narratives",
    ),
    "a kind that the split lacks": (
        ["--kinds", "narratives", "--splits", "test"],
        "--splits: v7 has no narratives of test",
    ),
    "no such split": (["--splits", "dev"], "'dev' is none of train"),
    "a mirror of another scheme": (["--base_url", "ftp://host/x"], "--base_url: 'ftp://host/x'"),
    "a mirror without host": (["--base_url", "http:///x"], "--base_url"),
    "a mirror with a wrong port": (["--base_url", "http://host:x"], "--base_url"),
    "pictures without a list": (["--images", "oid/images"], "Give their list by --image_list"),
    "no such list": (["--image_list", "/none.txt"], "--image_list: /none.txt: No such file"),
    "no connections": (["--num_connections", "0"], "'0' is not a number from 1 to 256"),
    "no timeout": (["--timeout", "nan"], "'nan' is not a positive number of seconds"),
    "no fraction": (["--max_failure_rate", "2"], "'2' is not a fraction between 0 and 1"),
    "an unknown flag": (["--kind", "boxes"], "unrecognized arguments: --kind boxes"),
    "a file for a folder": (["--output", __file__], f"--output: {__file__}: File exists"),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_gets_one_line(run: Run, arguments: list[str], message: str):
    result = run(*arguments)
    assert result.code == 2
    assert result.err.startswith("python -m pipelines.download: error: ")
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert result.out == ""


IMAGE_MISTAKES = {
    "none": "--images none: name where the pictures are",
    "/none.tar": "--images /none.tar: no such file or folder",
    __file__: "neither a folder, a tar nor a zip",
    "http://h/{split}.jpg": "put {image_id}, and {split}, where they belong",
    "http://h/{image_id}{0}": "only {split} and {image_id} are known",
    "http://h/{image_id!r}": "only {split} and {image_id} are known",
    "http://h/{image_id}}": "only {split} and {image_id} are known",
    "file:///{image_id}": "use http://, https://, s3:// or gs://",
    "s3://bucket/{split}": "{image_id} is missing",
    "original": "its addresses are in the image tables: give one to --annotations",
    "thumbnail": "its addresses are in the image tables: give one to --annotations",
}


@pytest.mark.parametrize(("images", "message"), IMAGE_MISTAKES.items())
def test_a_wrong_source_gets_one_line(
    run: Run, image_list: Path, output: Path, images: str, message: str
):
    result = run("--image_list", str(image_list), "--images", images)
    assert result.code == 2
    assert result.err.startswith("python -m pipelines.download: error: --images")
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert not output.exists()


@pytest.mark.parametrize("release", ["v3", "v4", "v5", "v6", "v7"])
def test_the_published_catalogue(release: str, tmp_path: Path):
    kinds = {*KINDS, *OPTIONAL_KINDS}
    ours = [entry for entry in read() if release in entry.releases]
    assert {entry.kind for entry in ours} <= kinds
    for entry in ours:
        assert re.fullmatch(r"https://[\w./-]+", entry.url)
        assert re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}|", entry.checksum)
        assert (entry.size is None) == (not entry.checksum)
        assert entry.split in ("train", "validation", "test", "")
    paths = [item.path for item in make_plan(ours, tmp_path, None)]
    assert len(set(paths)) == len(paths)


def test_v7_is_whole():
    chosen = select(read(), "v7", None, ["train", "validation", "test"])
    assert not {entry.kind for entry in chosen} & set(OPTIONAL_KINDS)
    numbers = {
        "images": 3,
        "boxes": 3,
        "masks": 3,
        "relationships": 3,
        "narratives": 12,
        "points": 3,
        "image_labels": 6,
    }
    for kind, number in numbers.items():
        assert sum(entry.kind == kind for entry in chosen) == number
    for kind, number in {"mask_pngs": 48, "person_boxes": 3}.items():
        assert len(select(read(), "v7", [kind], ["train", "validation", "test"])) == number


def test_a_notice_goes_with_the_catalogue():
    notice = catalogues.PUBLISHED.with_name("NOTICE").read_text()
    assert "CC BY 4.0" in notice
    assert "Google LLC" in notice


def test_sizes_for_people():
    assert [bytes_of(n) for n in (0, 1023, 1536, 5 << 40)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "5.0 TiB",
    ]
