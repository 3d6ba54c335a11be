"""Reading by address: equal to what zipfile and tarfile read, and bad members by their reason."""

import io
import os
import random
import struct
import tarfile
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transforms.dataset.failures import PixelError, Reason
from transforms.sources import members
from transforms.sources.listing import PICTURES, list_members
from transforms.sources.members import Address, MemberReader, address_of

SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

NAME = "0123456789abcdef.jpg"


def addresses(path: Path) -> dict[str, Address]:
    """The address of each member, by name."""
    return {
        row["name"]: address_of(row)
        for batch in list_members(str(path), PICTURES)
        for row in batch.table.to_pylist()
    }


def payload(size: int, seed: int) -> bytes:
    """Half noise, half repetition, so that deflating does something."""
    noise = random.Random(seed).randbytes(size // 2)
    return noise + b"picture " * (size // 16 + 1)


files = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 100), st.integers(0, 200_000)),
        st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


# zipfile itself takes the last of these marks for the end of the archive.
comments = st.binary(max_size=50).filter(lambda comment: b"PK\x05\x06" not in comment)


@given(files=files, streamed=st.booleans(), comment=comments)
@SETTINGS
def test_zip_members_equal_zipfile(
    tmp_path: Path, files: list, streamed: bool, comment: bytes
) -> None:
    path = tmp_path / "source.zip"
    target = path.open("wb")
    if streamed:  # sizes follow the data, and the local header holds none
        target.seekable = lambda: False
    with target, zipfile.ZipFile(target, "w") as archive:
        archive.comment = comment
        for number, (size, method, zip64) in enumerate(files):
            info = zipfile.ZipInfo(f"train/{number:016x}.jpg")
            info.compress_type = method
            info.extra = struct.pack("<HH3s", 0x4242, 3, b"own") if number % 2 else b""
            with archive.open(info, "w", force_zip64=zip64) as member:
                member.write(payload(size, number))
    found = addresses(path)
    with zipfile.ZipFile(path) as archive, closing(MemberReader()) as reader:
        assert sorted(found) == sorted(archive.namelist())
        for name, address in found.items():
            assert reader.read(address) == archive.read(name)


@given(
    sizes=st.lists(st.integers(0, 5_000), min_size=1, max_size=6),
    form=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    folder=st.sampled_from(["", "./train/", "long" * 24 + "/", "Übung/"]),
)
@SETTINGS
def test_tar_members_equal_tarfile(
    tmp_path: Path, sizes: list[int], form: int, folder: str
) -> None:
    path = tmp_path / "source.tar"
    with tarfile.open(path, "w", format=form) as tar:
        for number, size in enumerate(sizes):
            info = tarfile.TarInfo(f"{folder}{number:016x}.jpg")
            info.size = size
            tar.addfile(info, io.BytesIO(payload(size, number)))
    found = addresses(path)
    with tarfile.open(path) as tar, closing(MemberReader()) as reader:
        assert sorted(found) == sorted(tar.getnames())
        for name, address in found.items():
            assert reader.read(address) == tar.extractfile(name).read()


def test_zip64_offsets_and_sizes(tmp_path: Path) -> None:
    """A member behind a hole of 5 GiB, which takes no place on the disk."""
    path = tmp_path / "source.zip"
    with path.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("README", b"")
        archive.start_dir = 5 << 30
        archive.writestr(NAME, b"far away")
    [address] = addresses(path).values()
    assert address[1] == 5 << 30
    with closing(MemberReader()) as reader:
        assert reader.read(address) == b"far away"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "source.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(NAME, payload(4000, 0))
    return path


def patched(path: Path, place: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)


def reason_of(address: Address, limit: int = 1 << 20) -> Reason:
    with closing(MemberReader(limit)) as reader, pytest.raises(PixelError) as caught:
        reader.read(address)
    assert caught.value.detail
    return caught.value.reason


@pytest.mark.parametrize(
    ("place", "data"),
    [
        (0, b"XX"),  # the local header's signature
        (6, b"\x01"),  # encrypted
        (8, b"\x00"),  # another method than in the directory
        (50, b"\xff\xff\xff\xff"),  # where the deflated data starts
        (500, b"damage"),
    ],
)
def test_damaged_zip_members(archive: Path, place: int, data: bytes) -> None:
    [address] = addresses(archive).values()
    patched(archive, place, data)
    assert reason_of(address) is Reason.CORRUPT


def test_stored_members_are_checked_too(tmp_path: Path) -> None:
    path = tmp_path / "source.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(NAME, bytes(1000))
    [address] = addresses(path).values()
    patched(path, 500, b"damage")
    assert reason_of(address) is Reason.CORRUPT


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods(tmp_path: Path, method: int) -> None:
    path = tmp_path / "source.zip"
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr(NAME, bytes(1000))
    [address] = addresses(path).values()
    assert reason_of(address) is Reason.CORRUPT


def test_cut_archives_and_data(archive: Path) -> None:
    [(container, offset, size, method, crc32, _)] = addresses(archive).values()
    assert reason_of(Address(container, offset, size // 2, method, crc32)) is Reason.TRUNCATED
    os.truncate(container, size)
    assert reason_of(Address(container, offset, size, method, crc32)) is Reason.TRUNCATED
    os.truncate(container, 10)
    assert reason_of(Address(container, offset, size, method, crc32)) is Reason.TRUNCATED
    assert reason_of(Address(container, 0, 11)) is Reason.TRUNCATED
    os.remove(container)
    assert reason_of(Address(container, offset, size, method, crc32)) is Reason.MISSING


def test_bombs_stop_at_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "source.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(NAME, bytes(1 << 20))
    [address] = addresses(path).values()
    with closing(MemberReader(1 << 20)) as reader:
        assert len(reader.read(address)) == 1 << 20
    assert reason_of(address, (1 << 20) - 1) is Reason.TOO_LARGE
    assert reason_of(Address(str(path), 0, 1 << 40)) is Reason.TOO_LARGE


def test_files_are_kept_open_within_bounds_and_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count_open() -> int:
        return len(os.listdir("/proc/self/fd"))

    paths = [tmp_path / str(number) for number in range(10)]
    for path in paths:
        path.write_bytes(path.name.encode())
    before = count_open()
    monkeypatch.setattr(members, "MAX_OPEN", 3)
    with closing(MemberReader()) as reader:
        for path in [*paths, paths[0], *paths]:
            assert reader.read(Address(str(path), 0, 1)) == path.name.encode()
            assert count_open() <= before + 3
        os.remove(paths[-1])
        assert reader.read(Address(str(paths[-1]), 0, 1)) == b"9"  # still open
    assert count_open() == before
