"""A server with the files of a tiny catalogue, and a way to run the program."""

import csv
import hashlib
import io
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image

from open_images.downloading.client import RETRY
from pipelines import download
from pipelines.cli.progress import ProgressDisplay
from tests.downloading.server import Server, running

BOXES = "/openimages/v5/validation-annotations-bbox.csv"
LABELS = "/openimages/v7/oidv7-val-annotations-human-imagelabels.csv"
MIAP = "/openimages/open_images_extended_miap/open_images_extended_miap_boxes_val.csv"
CLASSES = "/openimages/v7/oidv7-class-descriptions.csv"
MASKS = "/openimages/v5/validation-masks/validation-masks-0.zip"
NARRATIVES = "/localized-narratives/annotations/open_images_train_v6_localized_narratives.jsonl"
V3_BOXES = "/openimages/2017_11/annotations_human_bbox_2017_11.tar.gz"

ROWS = [  # releases, kind, split, path, whether size and checksum are known
    ("v6,v7", "boxes", "validation", BOXES, "md5"),
    ("v7", "image_labels", "validation", LABELS, ""),
    ("v7", "classes", "", CLASSES, "sha256"),
    ("v6,v7", "mask_pngs", "validation", MASKS, "md5"),
    ("v6,v7", "narratives", "train", NARRATIVES, "md5"),
    ("v3", "boxes", "", V3_BOXES, "md5"),
    ("v6,v7", "person_boxes", "validation", MIAP, "md5"),
]


class Result(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Result]

IDS = [f"{i:016x}" for i in range(10)]


def picture(image_id: str) -> bytes:
    """A whole JPEG, of which no other image has the same bytes."""
    return JPEG + image_id.encode()


def encoded(form: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), "teal").save(file, form)
    return file.getvalue()


JPEG = encoded("JPEG")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        for i, (_, _, _, path, _) in enumerate(ROWS):
            server.files[path] = random.Random(i).randbytes(50_000 + i)
        yield server


@pytest.fixture
def catalogue(server: Server, tmp_path: Path) -> Path:
    """A catalogue of what the server has, addressed as it is published."""
    path = tmp_path / "files.tsv"
    lines = ["releases\tkind\tsplit\turl\tbytes\tchecksum"]
    for releases, kind, split, name, algorithm in ROWS:
        content, size, checksum = server.files[name], "", ""
        if algorithm:
            size = str(len(content))
            checksum = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
        url = f"https://storage.googleapis.com{name}"
        lines.append("\t".join((releases, kind, split, url, size, checksum)))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def run(server: Server, catalogue: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the program on the server as a mirror; the exit code and what it printed."""

    def run(*arguments: str, retries: int = RETRY.retries, **display: Any) -> Result:
        capsys.readouterr()
        flags = ["--output", str(output), "--base_url", server.url, *arguments]
        retry = replace(RETRY, retries=retries, first_wait=0.02)
        try:
            code = download.main(flags, catalogue, ProgressDisplay(**display), retry)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else -1
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def image_list(tmp_path: Path) -> Path:
    """A list of ten pictures, one of them named twice."""
    path = tmp_path / "ids.txt"
    path.write_text("\r\n".join(f"train/{image_id}" for image_id in IDS) + f"\n\ntrain/{IDS[0]}")
    return path


@pytest.fixture
def listed(server: Server, image_list: Path) -> list[str]:
    """The flags for these pictures, which the server has."""
    for image_id in IDS:
        server.files[f"/train/{image_id}.jpg"] = picture(image_id)
    template = server.url + "/{split}/{image_id}.jpg"
    return ["--image_list", str(image_list), "--images", template, "--allow_private_hosts"]


def failures(output: Path) -> dict[str, tuple[str, str]]:
    """Reason and detail by image, as the failures file has them."""
    with open(output / "failures.csv", newline="") as file:
        return {row["image"]: (row["reason"], row["detail"]) for row in csv.DictReader(file)}


def file_of(output: Path, path: str, folder: str = "annotations") -> Path:
    """Where the file that is published as `path` goes."""
    return output / folder / path.rsplit("/", 1)[1]
