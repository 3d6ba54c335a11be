"""Listing folders, tars and zips: what counts, what is skipped, refused or damaged."""

import gzip
import io
import os
import random
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transforms.dataset.failures import PixelError, Reason, Stage
from transforms.sources import listing
from transforms.sources.listing import MASKS, PICTURES, SCHEMA, kind_of, list_members
from transforms.sources.members import Address, MemberReader, address_of

A, B, C = "0123456789abcdef", "00000000000000bb", "cccccccccccccccc"


def write_tar(path: Path, files: dict[str, bytes]) -> str:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return str(path)


def write_zip(path: Path, files: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return str(path)


def write_folder(path: Path, files: dict[str, bytes]) -> str:
    for name, data in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return str(path)


WRITERS = {"folder": write_folder, "tar": write_tar, "zip": write_zip}


def read_all(path: str, contents: listing.Contents = PICTURES) -> tuple[list[dict], int, list]:
    rows, skipped, failures = [], 0, []
    for batch in list_members(path, contents):
        assert batch.table.schema == SCHEMA
        rows += batch.table.to_pylist()
        skipped += batch.skipped
        failures += batch.failures
    return rows, skipped, failures


@pytest.mark.parametrize("kind", WRITERS)
def test_layouts_and_other_files(tmp_path: Path, kind: str) -> None:
    files = {
        f"train/{A}.jpg": b"first",
        f"{B}.JPG": b"second",
        f"deep/er/train_0/{C}.png": b"",
        "README": b"",
        "train/.DS_Store": b"",
        f"__MACOSX/train/._{A}.jpg": b"",
        f"{A[:-1]}.jpg": b"",
        f"{A}0.jpg": b"",
        f"{A.upper()}.jpg": b"",
        f"{A}.json": b"",
        f"{A}_m0bl9f_05580497.png": b"",
    }
    path = WRITERS[kind](tmp_path / "source", files)
    assert kind_of(path) == kind
    rows, skipped, failures = read_all(path)
    found = {row["image_id"]: row["name"] for row in rows}
    assert found == {A: f"train/{A}.jpg", B: f"{B}.JPG", C: f"deep/er/train_0/{C}.png"}
    assert skipped == len(files) - 3
    assert failures == []
    with closing(MemberReader()) as reader:
        for row in rows:
            address = [row[key] for key in ("container", "offset", "size", "method", "crc32")]
            assert reader.read(Address(*address)) == files[row["name"]]


@pytest.mark.parametrize("kind", WRITERS)
def test_masks(tmp_path: Path, kind: str) -> None:
    names = [f"{A}_m0bl9f_05580497.png", f"train-masks-0/{A}_m01_5g_ab12cd34.png"]
    others = [f"{A}.png", f"{A}_m0bl9f_05580497.jpg", f"{A}_05580497.png"]
    path = WRITERS[kind](tmp_path / "masks", dict.fromkeys(names + others, b""))
    rows, skipped, _ = read_all(path, MASKS)
    assert sorted(row["name"] for row in rows) == sorted(names)
    assert {row["image_id"] for row in rows} == {A}
    assert skipped == len(others)


def test_folder_order_is_that_of_names(tmp_path: Path) -> None:
    names = [f"{folder}/{n:016x}.jpg" for folder in ("b", "a") for n in range(30)]
    random.Random(0).shuffle(names)
    path = write_folder(tmp_path, dict.fromkeys(names, b""))
    assert [row["name"] for row in read_all(path)[0]] == sorted(names)


@pytest.mark.parametrize("kind", WRITERS)
def test_batches_are_bounded(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = WRITERS[kind](tmp_path / "source", {f"{n:016x}.jpg": b"" for n in range(25)})
    monkeypatch.setattr(listing, "ROWS", 10)
    batches = list_members(path, PICTURES)
    assert [len(batch.table) for batch in batches] == [10, 10, 5]


def test_long_tars_need_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tar(tmp_path / "source", {f"{n:016x}.jpg": b"" for n in range(3000)})
    monkeypatch.setattr(listing, "ROWS", 100)
    tracemalloc.start()
    try:
        batches = list_members(path, PICTURES)
        assert sum(len(batch.table) for batch in batches) == 3000
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize(
    "name",
    [
        f"/etc/{A}.jpg",
        f"../{A}.jpg",
        f"train/../../{A}.jpg",
        f"..\\{A}.jpg",
        f"train\\{A}.jpg",
        "../README",
        "train/..",
    ],
)
def test_unsafe_names_become_failures(tmp_path: Path, kind: str, name: str) -> None:
    path = WRITERS[kind](tmp_path / "source", {name: b"data", f"{B}.jpg": b"good"})
    rows, _, failures = read_all(path)
    assert [row["image_id"] for row in rows] == [B]
    [failure] = failures
    assert (failure.stage, failure.reason, failure.source) == (
        Stage.FETCH,
        Reason.UNSAFE_PATH,
        path,
    )
    assert ascii(name) in failure.detail
    assert failure.image_id == (A if A in name and "\\" not in name else None)


def test_names_that_are_not_text(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(folder)
    with open(folder + f"/{A}.jpg".encode(), "wb"):
        pass
    [failure] = read_all(str(tmp_path))[2]
    assert failure.reason is Reason.UNSAFE_PATH
    failure.detail.encode()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.SYMTYPE, Reason.UNSAFE_PATH),
        (tarfile.LNKTYPE, Reason.UNSAFE_PATH),
        (tarfile.CHRTYPE, Reason.UNSAFE_PATH),
        (tarfile.FIFOTYPE, Reason.UNSAFE_PATH),
        (tarfile.GNUTYPE_SPARSE, Reason.FORMAT_NOT_ALLOWED),
    ],
)
def test_tar_members_that_are_no_files(tmp_path: Path, kind: bytes, reason: Reason) -> None:
    path = tmp_path / "source.tar"
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo(f"{A}.jpg")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    rows, _, [failure] = read_all(str(path))
    assert (rows, failure.image_id, failure.reason) == ([], A, reason)


def test_directories_named_like_pictures_are_skipped(tmp_path: Path) -> None:
    tar, archive = tmp_path / "source.tar", tmp_path / "source.zip"
    (tmp_path / "folder" / f"{A}.jpg").mkdir(parents=True)
    with tarfile.open(tar, "w") as file:
        file.add(tmp_path / "folder" / f"{A}.jpg", f"{A}.jpg")
    write_zip(archive, {f"{A}.jpg/": b""})
    assert read_all(str(tmp_path / "folder")) == ([], 0, [])
    assert read_all(str(tar)) == ([], 1, [])
    assert read_all(str(archive)) == ([], 1, [])


def test_zip_links_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "source.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo(f"{A}.jpg")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    rows, _, [failure] = read_all(str(path))
    assert (rows, failure.reason) == ([], Reason.UNSAFE_PATH)


def test_links_in_folders(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write_folder(outside, {f"{A}.jpg": b"there", "folder/x": b""})
    inside = tmp_path / "inside"
    write_folder(inside, {f"train/{B}.jpg": b"good"})
    (inside / f"{A}.png").symlink_to(outside / f"{A}.jpg")
    (inside / f"{B}.png").symlink_to("nowhere")
    (inside / f"{C}.jpg").symlink_to(f"train/{B}.jpg")
    (inside / "linked").symlink_to(outside)
    (inside / "again").symlink_to("train")
    (outside / "folder/loop").symlink_to("..")
    (inside / "loop").symlink_to(tmp_path)
    os.mkfifo(inside / f"{C}.png")
    rows, skipped, failures = read_all(str(inside))
    names = {(row["name"], row["size"]) for row in rows}
    assert names == {
        *((f"train/{B}.jpg", 4), (f"{C}.jpg", 4)),
        *((f"{A}.png", 5), (f"linked/{A}.jpg", 5)),
    }
    assert skipped == 1
    refused = {(failure.reason, failure.detail) for failure in failures}
    assert refused == {
        (Reason.MISSING, f"'{B}.png': a link that leads nowhere, to 'nowhere'"),
        (Reason.UNSAFE_PATH, f"'{C}.png': not a regular file"),
    }


def test_a_linked_source_is_followed(tmp_path: Path) -> None:
    write_folder(tmp_path / "real", {f"{A}.jpg": b"good"})
    (tmp_path / "link").symlink_to("real")
    rows, _, failures = read_all(str(tmp_path / "link"))
    assert (len(rows), failures) == (1, [])


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]


FILES = {f"{n:016x}.jpg": bytes([n]) * 700 for n in range(4)}  # 1536 bytes each in a tar

DAMAGED: dict[str, tuple[Callable, Callable[[bytes], bytes], Reason, int]] = {
    "tar cut in a member": (write_tar, lambda d: d[: 1536 * 2 + 600], Reason.TRUNCATED, 3),
    "tar cut in a header": (write_tar, lambda d: d[: 1536 * 2 + 100], Reason.TRUNCATED, 2),
    "tar cut between": (write_tar, lambda d: d[: 1536 * 2], Reason.TRUNCATED, 2),
    "tar header damaged": (write_tar, lambda d: flipped(d, 1536 * 2 + 5), Reason.CORRUPT, 2),
    "zip cut": (write_zip, lambda d: d[: len(d) // 2], Reason.TRUNCATED, 0),
    "zip cut in its directory": (write_zip, lambda d: d[:-30], Reason.TRUNCATED, 0),
    "zip directory damaged": (
        write_zip,
        lambda d: flipped(d, d.index(b"PK\x01\x02") + 2),
        Reason.CORRUPT,
        0,
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_archives_are_listed_up_to_the_damage(tmp_path: Path, name: str) -> None:
    write, damage, reason, listed = DAMAGED[name]
    path = Path(write(tmp_path / "source", FILES))
    path.write_bytes(damage(path.read_bytes()))
    rows = []
    with pytest.raises(PixelError) as caught:
        for batch in list_members(str(path), PICTURES):
            rows += batch.table.to_pylist()
    assert caught.value.reason is reason
    assert len(rows) == listed


def forged_size(data: bytes, field: bytes, kind: bytes) -> bytes:
    """A tar whose second header claims another size, with a matching checksum."""
    header = bytearray(data[1536:2048])
    header[124:136] = field
    header[156:157] = kind
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return data[:1536] + bytes(header) + data[2048:]


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_SPARSE])
@pytest.mark.parametrize("size", [-1, -512, -(1 << 40), 1 << 40, 1 << 63, (1 << 87) - 1])
def test_forged_tar_sizes_end_the_listing(tmp_path: Path, size: int, kind: bytes) -> None:
    path = Path(write_tar(tmp_path / "source", FILES))
    field = (b"\xff" if size < 0 else b"\x80") + (size % (1 << 88)).to_bytes(11, "big")
    path.write_bytes(forged_size(path.read_bytes(), field, kind))
    with pytest.raises(PixelError):
        for batch in list_members(str(path), PICTURES):
            assert len(batch.table) <= 2


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_forged_size_at_the_start_needs_no_memory(tmp_path: Path, kind: bytes) -> None:
    path = Path(write_tar(tmp_path / "source", FILES))
    field = b"\x80" + (1 << 60).to_bytes(11, "big")
    path.write_bytes(forged_size(path.read_bytes(), field, kind)[1536:])
    with pytest.raises(ValueError, match="neither a folder, a tar nor a zip"):
        kind_of(str(path))


@given(kind=st.sampled_from(["tar", "zip"]), place=st.floats(0, 1), noise=st.binary(min_size=1))
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damage_never_crashes(tmp_path: Path, kind: str, place: float, noise: bytes) -> None:
    path = tmp_path / "source"
    data = bytearray(Path(WRITERS[kind](path, FILES)).read_bytes())
    start = int(place * len(data))
    data[start : start + len(noise)] = noise
    path.write_bytes(data)
    with closing(MemberReader()) as reader:
        try:
            for batch in list_members(str(path), PICTURES):
                for row in batch.table.to_pylist():
                    reader.read(address_of(row))
        except (PixelError, ValueError) as error:
            assert str(error)


@pytest.mark.parametrize(
    ("data", "remedy"),
    [
        (b"BZh9" + bytes(100), "of compressed tars only .tar.gz is supported"),
        (b"", "is empty: download it again"),
        (b"<?xml version='1.0'?><Error/>", "is a web page, the server's answer"),
        (b"\n <!DOCTYPE html>", "is a web page, the server's answer"),
        (b"ImageID,Source\n" * 99, "neither a folder, a tar nor a zip"),
        (None, "check the path"),
    ],
)
def test_other_sources_are_refused_with_a_remedy(
    tmp_path: Path, data: bytes | None, remedy: str
) -> None:
    path = tmp_path / "source"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ValueError, match=remedy) as caught:
        kind_of(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_compressed_is_not_listed(tmp_path: Path) -> None:
    """As an archive compressed twice still is once it has been unpacked."""
    path = tmp_path / "source"
    path.write_bytes(gzip.compress(bytes(10_240)))
    assert kind_of(str(path)) == "tar.gz"
    with pytest.raises(ValueError, match="unpack it"):
        next(list_members(str(path), PICTURES))


def test_zip_behind_other_bytes(tmp_path: Path) -> None:
    path = Path(write_zip(tmp_path / "source", FILES))
    path.write_bytes(b"#!/bin/sh\n" * 60 + path.read_bytes())
    rows = read_all(str(path))[0]
    with closing(MemberReader()) as reader:
        for row in rows:
            assert reader.read(address_of(row)) == FILES[row["name"]]
    assert len(rows) == len(FILES)


def test_method_that_no_one_knows(tmp_path: Path) -> None:
    path = Path(write_zip(tmp_path / "source", {f"{A}.jpg": b"data"}))
    data = bytearray(path.read_bytes())
    for signature, field in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
        struct.pack_into("<H", data, data.index(signature) + field, 65_535)
    path.write_bytes(data)
    [row] = read_all(str(path))[0]
    with closing(MemberReader()) as reader, pytest.raises(PixelError, match="method 65535"):
        reader.read(address_of(row))
