"""Pictures by an image list, from all kinds of sources."""

import base64
import csv
import gzip
import hashlib
import io
import random
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.downloading.conftest import IDS, Run, encoded, failures, picture
from tests.downloading.server import Server
from tests.emulators import GcsServer, S3Server

#: Names within a source to what is there: the pictures, one that the list doesn't name, no picture.
FILES = {
    **{f"train/{image_id}.jpg": picture(image_id) for image_id in IDS},
    f"train/{'f' * 16}.jpg": picture("f" * 16),
    "train/README.txt": b"pictures",
}


def write_folder(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def write_tar(path: Path, files: Mapping[str, bytes], mode: str = "w:") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def write_tar_gz(path: Path, files: Mapping[str, bytes]) -> Path:
    return write_tar(path, files, "w:gz")


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_tars(path: Path, files: Mapping[str, bytes]) -> Path:
    path.mkdir()
    for i in range(3):
        write_tar(path / f"train_{i}.tar", dict(list(files.items())[i::3]))
    return path / "train_*.tar"


WRITERS = (write_folder, write_tar, write_tar_gz, write_zip, write_tars)


@pytest.fixture
def get(run: Run, image_list: Path) -> Callable[..., str]:
    """Gets the pictures, all there are, from sources; what was printed."""

    def get(*images: object, flags: tuple[str, ...] = (), code: int = 0) -> str:
        sources = [text for source in images for text in ("--images", str(source))]
        result = run("--image_list", str(image_list), *sources, *flags)
        assert result.code == code, result.err
        return result.out + result.err

    return get


def assert_whole(output: Path) -> None:
    """Asserts that all pictures are there, and nothing else is."""
    assert [path.name for path in output.iterdir()] == ["images"]
    pictures = {path.stem: path.read_bytes() for path in output.glob("images/train/*")}
    assert pictures == {image_id: picture(image_id) for image_id in IDS}


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_folders_and_archives(
    get: Callable[..., str], output: Path, tmp_path: Path, write: Callable[..., Path]
):
    said = get(write(tmp_path / "source", FILES))
    assert "10 pictures downloaded, 0 were there, 0 missing, 0 failed" in said
    assert_whole(output)
    (output / "images" / "train" / f"{IDS[4]}.jpg").unlink()
    assert "1 picture downloaded, 9 were there" in get(tmp_path / "source*")
    assert_whole(output)


def test_s3(get: Callable[..., str], s3_server: S3Server, output: Path):
    s3_server.make_bucket("downloads")
    for name, data in FILES.items():
        s3_server.put("downloads", f"oid/{name}", data)
    flags = ("--s3_endpoint_url", s3_server.url)
    assert "0 pictures downloaded" in get("s3://downloads", flags=flags, code=1)
    assert failures(output)[f"train/{IDS[0]}"][0] in ("missing", "http_status")
    assert "10 pictures downloaded" in get("s3://downloads/oid", flags=flags)
    assert_whole(output)


def test_gs(get: Callable[..., str], gcs_server: GcsServer, output: Path, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server.url)
    gcs_server.make_bucket("downloads")
    for name, data in FILES.items():
        gcs_server.put("downloads", name, data)
    assert "10 pictures downloaded" in get("gs://downloads/{split}/{image_id}.jpg")
    assert_whole(output)


def test_sources_are_tried_in_turn(
    get: Callable[..., str], server: Server, s3_server: S3Server, output: Path, tmp_path: Path
):
    files = {image_id: (f"train/{image_id}.jpg", picture(image_id)) for image_id in IDS}
    folder = dict([files[IDS[0]]])
    folder |= {files[IDS[1]][0]: b"", files[IDS[2]][0]: picture(IDS[2])[:100]}
    server.files = {f"/{files[IDS[1]][0]}": picture(IDS[1]), f"/{files[IDS[3]][0]}": b"<html>"}
    s3_server.make_bucket("later")
    for image_id in IDS[2:8]:
        s3_server.put("later", *files[image_id])
    decoys = {files[image_id][0]: encoded("PNG") for image_id in (*IDS[:8], IDS[9])}
    said = get(
        write_folder(tmp_path / "folder", folder),
        server.url + "/{split}/{image_id}.jpg",
        write_tar(tmp_path / "train.tar", dict([files[IDS[9]]])),
        "s3://later",
        write_zip(tmp_path / "last.zip", decoys),
        flags=(
            *("--s3_endpoint_url", s3_server.url, "--allow_private_hosts"),
            *("--max_failure_rate", "0.1"),
        ),
    )
    assert "9 pictures downloaded, 0 were there, 1 missing, 0 failed" in said
    ((image, (reason, detail)),) = failures(output).items()
    assert (image, reason) == (files[IDS[8]][0].removesuffix(".jpg"), "missing")
    assert "404" in detail
    assert "later has no" in detail
    for image_id in {*IDS} - {IDS[8]}:
        assert (output / "images" / files[image_id][0]).read_bytes() == picture(image_id)
    assert f"/{files[IDS[0]][0]}" not in server.requests


def test_a_picture_is_named_as_published_whatever_its_format(
    get: Callable[..., str], output: Path, tmp_path: Path
):
    files = {f"{image_id}.png": encoded("PNG") for image_id in IDS}
    get(write_folder(tmp_path / "source", files))
    assert (output / "images" / "train" / f"{IDS[0]}.jpg").read_bytes() == encoded("PNG")


@pytest.mark.parametrize("write", [write_tar, write_tar_gz])
def test_a_damaged_archive_gives_what_it_can(
    get: Callable[..., str], output: Path, tmp_path: Path, write: Callable[..., Path]
):
    # More than is inflated at once.
    files = {name: data + random.Random(name).randbytes(200_000) for name, data in FILES.items()}
    path = write(tmp_path / "source.tar", {"/etc/0123456789abcdef.jpg": b"", **files})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    said = get(path, code=1)
    assert f"{path}: truncated: " in said
    assert f"{path}: 1 members are left out, the first: '/etc/0123456789abcdef.jpg'" in said
    lost = failures(output)
    assert 0 < len(lost) < 10
    for image_id in IDS:
        got = output / "images" / "train" / f"{image_id}.jpg"
        assert got.exists() != (f"train/{image_id}" in lost)


COLUMNS = ("ImageID", "Subset", "OriginalURL", "OriginalSize", "OriginalMD5", "Thumbnail300KURL")


@pytest.fixture
def tables(server: Server, tmp_path: Path) -> Path:
    """Image tables of the pictures, which the server has.

    One table is gzipped; it has a row that is bad. The originals of three pictures are not as
    published, one has no thumbnail, and one no address at all. Subsets aren't those of the list.
    """
    rows = {}
    for image_id in IDS:
        data = picture(image_id)
        for folder in ("original", "thumbnail"):
            server.files[f"/{folder}/{image_id}"] = data
        md5 = base64.b64encode(hashlib.md5(data).digest()).decode()
        urls = (f"{server.url}/original/{image_id}", f"{server.url}/thumbnail/{image_id}")
        rows[image_id] = [image_id, "validation", urls[0], len(data), md5, urls[1]]
    rows[IDS[1]][3] = 1
    rows[IDS[2]][4] = rows[IDS[3]][4]
    del server.files[f"/original/{IDS[4]}"]
    rows[IDS[5]][5] = ""
    rows[IDS[6]][2] = rows[IDS[6]][5] = ""
    folder = tmp_path / "tables"
    folder.mkdir()
    for name, some in (("a.csv", IDS[:5]), ("b.csv", IDS[5:])):
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerows([COLUMNS, *(rows[image_id] for image_id in some)])
        (folder / name).write_text(text.getvalue())
    bad = (folder / "b.csv").read_bytes() + b"nonsense,train,,,,\n"
    (folder / "b.csv.gz").write_bytes(gzip.compress(bad))
    (folder / "b.csv").unlink()
    return folder


def test_originals_are_checked(
    get: Callable[..., str], output: Path, tables: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("open_images.downloading.gather._BLOCK_BYTES", 200)
    flags = ("--annotations", str(tables), "--allow_private_hosts")
    said = get("original", flags=flags, code=1)
    assert "6 pictures downloaded, 0 were there, 2 missing, 2 failed" in said
    assert f"{tables}/b.csv.gz: 1 bad rows are left out" in said
    assert {image: reason for image, (reason, _) in failures(output).items()} == {
        f"train/{IDS[1]}": "size_mismatch",
        f"train/{IDS[2]}": "md5_mismatch",
        f"train/{IDS[4]}": "missing",
        f"train/{IDS[6]}": "missing",
    }


def test_thumbnails_are_of_use_where_originals_are_gone(
    get: Callable[..., str], server: Server, output: Path, tables: Path, tmp_path: Path
):
    flags = ("--annotations", str(tables), "--allow_private_hosts")
    last = write_tar(tmp_path / "last.tar", {f"{IDS[6]}.jpg": picture(IDS[6])})
    assert "10 pictures downloaded" in get("original", "thumbnail", last, flags=flags)
    assert_whole(output)
    assert f"/thumbnail/{IDS[4]}" in server.requests
    assert f"/thumbnail/{IDS[0]}" not in server.requests


def test_a_thumbnail_that_was_not_published_is_the_original(
    get: Callable[..., str], server: Server, tables: Path
):
    flags = ("--annotations", str(tables), "--allow_private_hosts", "--max_failure_rate", "0.1")
    assert "9 pictures downloaded, 0 were there, 1 missing" in get("thumbnail", flags=flags)
    assert [path for path in server.requests if "/original/" in path] == [f"/original/{IDS[5]}"]


def test_a_broken_image_table_is_named(
    get: Callable[..., str], server: Server, output: Path, tables: Path, monkeypatch
):
    monkeypatch.setattr("transforms.kinds.parsing.head.HEAD_BYTES", 200)
    path = tables / "b.csv.gz"
    path.write_bytes(path.read_bytes()[:-12])
    flags = ("--annotations", str(tables), "--allow_private_hosts")
    said = get("original", flags=flags, code=1)
    assert f"error: {path}: compressed data: " in said
    assert "get it again" in said
    assert not server.requests
    assert list(output.iterdir()) == []


def test_addresses_need_an_image_table(get: Callable[..., str], tables: Path):
    boxes = tables / "train-boxes.csv"
    boxes.write_text("ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n")
    said = get("original", flags=("--annotations", str(boxes)), code=2)
    assert "--images original: its addresses are in the image tables" in said
    assert len(said.splitlines()) == 1
