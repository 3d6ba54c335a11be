"""Builds whose pictures come from servers: HTTP, published addresses, S3, Google Cloud Storage."""

import base64
import csv
import functools
import hashlib
import http.server
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import builds
from tests.emulators import GcsServer, S3Server

IMAGES = 20


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, silently."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def corpus(make_corpus: Callable[[str, int], Path]) -> Path:
    return make_corpus("v7", IMAGES)


@pytest.fixture(scope="module")
def server(corpus: Path) -> Iterator[str]:
    handler = functools.partial(Handler, directory=str(corpus / "images"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


@pytest.fixture(scope="module")
def from_folder(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> builds.Version:
    return publish(corpus, tmp_path_factory.mktemp("folder"), corpus / "images")


def build(annotations: Path, output: Path, *images: object, flags: tuple = ()) -> builds.Build:
    named = [text for source in images for text in ("--images", source)]
    flags = (*flags, "--format", "parquet", "--output", output)
    return builds.run_build("--annotations", annotations, *named, *flags)


def publish(corpus: Path, output: Path, *images: object, flags: tuple = ()) -> builds.Version:
    built = build(corpus / "annotations", output, *images, flags=flags)
    assert built.returncode == 0, built.stderr
    return built.version


def test_http_equals_a_folder(
    corpus: Path, server: str, from_folder: builds.Version, tmp_path: Path
) -> None:
    template = f"{server}/{{split}}/{{image_id}}.jpg"
    built = publish(corpus, tmp_path, template, flags=("--allow_private_hosts",))
    assert built.table.equals(from_folder.table)


def test_private_addresses_are_blocked(corpus: Path, server: str, tmp_path: Path) -> None:
    built = build(corpus / "annotations", tmp_path, f"{server}/{{split}}/{{image_id}}.jpg")
    assert built.returncode == 1
    assert ["blocked_address", str(IMAGES)] in [line.split() for line in built.stdout.splitlines()]
    # Examples of failures name the picture that was asked for, not the template.
    assert re.search(rf"blocked_address: {server}/\w+/[0-9a-f]{{16}}\.jpg: ", built.stdout)
    assert not (tmp_path / "latest").exists()


def test_sources_are_tried_in_turn(
    corpus: Path, server: str, from_folder: builds.Version, tmp_path: Path
) -> None:
    some = tmp_path / "some"
    some.mkdir()
    pictures = sorted((corpus / "images").glob("*/*.jpg"))
    for picture in pictures[::2]:
        shutil.copy(picture, some)
    (some / pictures[1].name).write_bytes(b"")
    template = f"{server}/{{split}}/{{image_id}}.jpg"
    flags = ("--allow_private_hosts",)
    built = publish(corpus, tmp_path / "out", some, template, flags=flags)
    assert built.table.equals(from_folder.table)
    assert built.failures == []


@pytest.fixture
def addressed(corpus: Path, server: str, tmp_path: Path) -> tuple[Path, list[str]]:
    """Annotations whose image tables name the server; one picture has a wrong checksum, one a wrong
    size, one no thumbnail."""
    annotations = tmp_path / "annotations"
    shutil.copytree(corpus / "annotations", annotations)
    wrong = []
    for table in annotations.glob("*-images-*.csv"):
        with open(table, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            path = f"{row['Subset']}/{row['ImageID']}.jpg"
            data = (corpus / "images" / path).read_bytes()
            row["OriginalURL"] = f"{server}/{path}"
            row["Thumbnail300KURL"] = row["OriginalURL"]
            row["OriginalSize"] = str(len(data))
            row["OriginalMD5"] = base64.b64encode(hashlib.md5(data).digest()).decode()
        if len(rows) > 4:
            rows[0]["OriginalMD5"] = rows[1]["OriginalMD5"]
            rows[2]["OriginalSize"] = "1"
            rows[3]["Thumbnail300KURL"] = ""
            wrong = [rows[0]["ImageID"], rows[2]["ImageID"]]
        with open(table, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    return annotations, wrong


def test_originals_are_checked(addressed: tuple[Path, list[str]], tmp_path: Path) -> None:
    annotations, wrong = addressed
    flags = ("--allow_private_hosts", "--max_failure_rate", "0.5")
    built = build(annotations, tmp_path / "out", "original", flags=flags)
    assert built.returncode == 0, built.stderr
    failed = {row["image_id"]: row["reason"] for row in built.version.failures}
    assert failed == dict(zip(wrong, ("md5_mismatch", "size_mismatch"), strict=True))
    assert len(built.version.table) == IMAGES - 2


def test_thumbnails_fall_back_to_originals(
    addressed: tuple[Path, list[str]], tmp_path: Path
) -> None:
    flags = ("--allow_private_hosts",)
    built = build(addressed[0], tmp_path / "out", "thumbnail", flags=flags)
    assert built.returncode == 0, built.stderr
    assert len(built.version.table) == IMAGES


def test_sizes_of_originals_are_not_those_of_thumbnails(
    addressed: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """They are null where the thumbnail was taken, and stay so where it is taken over."""

    def unknown(*images: str) -> list[str]:
        flags = ("--allow_private_hosts", "--resize", "longest", "--image_size", "64")
        built = build(annotations, tmp_path / "-".join(images), *images, flags=flags)
        assert built.returncode == 0, built.stderr
        assert len(built.version.table) == IMAGES
        found = []
        for image_id, row in built.version.examples.items():
            size = (row["original_width"], row["original_height"])
            assert max(row["width"], row["height"]) == 64
            assert None not in size or size == (None, None)
            assert None in size or max(size) > 64
            found += [image_id] if None in size else []
        return sorted(found)

    annotations, wrong = addressed
    assert unknown("original", "thumbnail") == sorted(wrong)
    before = unknown("thumbnail")
    assert len(before) == IMAGES - 1  # one has no address but its original's
    (annotations / "train-annotations-bbox.csv").write_text(
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n"
        f"{wrong[0]},xclick,/m/01g317,1,0,1,0,1\n"
    )
    assert unknown("thumbnail") == before


def test_s3_equals_a_folder(
    corpus: Path, s3_server: S3Server, from_folder: builds.Version, tmp_path: Path
) -> None:
    s3_server.make_bucket("build-pictures")
    for picture in (corpus / "images").glob("*/*.jpg"):
        key = f"oid/{picture.parent.name}/{picture.name}"
        s3_server.put("build-pictures", key, picture.read_bytes())
    flags = ("--s3_endpoint_url", s3_server.url)
    built = publish(corpus, tmp_path, "s3://build-pictures/oid", flags=flags)
    assert built.table.equals(from_folder.table)


def test_gs_equals_a_folder(
    corpus: Path,
    gcs_server: GcsServer,
    from_folder: builds.Version,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gcs_server.make_bucket("build-pictures")
    for picture in (corpus / "images").glob("*/*.jpg"):
        gcs_server.put("build-pictures", picture.name, picture.read_bytes())
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server.url)
    built = publish(corpus, tmp_path, "gs://build-pictures")
    assert built.table.equals(from_folder.table)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ("ftp://host/{image_id}.jpg", "use http://, https://, s3:// or gs://"),
        ("http://host/pictures/", "put {image_id}"),
        ("http://host/{id}.jpg", "only {split} and {image_id} are known"),
    ],
)
def test_wrong_addresses_are_one_line(
    corpus: Path, tmp_path: Path, images: str, words: str
) -> None:
    built = build(corpus / "annotations", tmp_path, images)
    assert built.returncode == 2
    assert words in built.stderr
    assert built.stderr.count("\n") == 1


def test_published_addresses_need_an_image_table(corpus: Path, tmp_path: Path) -> None:
    boxes = corpus / "annotations" / "test-annotations-bbox.csv"
    built = build(boxes, tmp_path, "original")
    assert built.returncode == 2
    assert "image tables" in built.stderr
