"""Directories of zips: the same as `zipfile` reads, and no more memory than a piece takes."""

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from tests.builds import run_build
from transforms.storage.claims import ArchiveError
from transforms.storage.zips import find_directory, read_entries

NAMES = [f"{number:016x}.jpg" for number in range(5)]


def write_zip(**options) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name in NAMES:
            archive.writestr(name, name * 20)
    return buffer.getvalue()


SOUND = write_zip()


def with_directory(claimed_bytes: int, claimed_start: int = 0) -> bytes:
    """The start of a zip with 64-bit records at its end that claim a directory."""
    record = (b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, claimed_bytes, claimed_start)
    end = (b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, 0, 1)
    return struct.pack("<4sQHHIIQQQQ", *record) + locator + struct.pack("<4sHHHHIIH", *end)


@pytest.mark.parametrize("claimed", [6 << 30, (6 << 30) - 30, 1 << 63, (1 << 64) - 1, 0])
def test_a_directory_of_gigabytes_is_not_read_as_a_whole(tmp_path: Path, claimed: int) -> None:
    """In a file with a hole, so that what is claimed is there."""
    path = tmp_path / "source.zip"
    with path.open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(6 << 30)
        file.seek(6 << 30)
        file.write(with_directory(claimed))
    tracemalloc.start()
    try:
        with path.open("rb") as file:
            if claimed:
                with pytest.raises(ArchiveError):
                    list(read_entries(file))
            else:
                assert list(read_entries(file)) == []
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_long_directory_takes_the_memory_of_a_piece(tmp_path: Path) -> None:
    path = tmp_path / "source.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(2_000):
            info = zipfile.ZipInfo(f"{number:04000d}")
            info.comment = bytes(56_000)
            archive.writestr(info, b"")
    with path.open("rb") as file:
        assert find_directory(file).size > 100 << 20
        tracemalloc.start()
        try:
            assert sum(1 for _ in read_entries(file)) == 2_000
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()


def test_a_long_directory_where_tables_are_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "tables.zip"
    with path.open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(100 << 20)
        file.seek(100 << 20)
        file.write(with_directory((100 << 20) - 4, 4))
    built = run_build("--annotations", path, "--images", "none", "--output", tmp_path / "out")
    assert built.returncode == 2
    assert "at most 67,108,864 bytes" in built.stderr
    assert len(built.stderr.strip().splitlines()) == 1


def entries(data: bytes) -> list:
    return list(read_entries(io.BytesIO(data)))


def test_names_and_extra_fields_that_end_beyond_the_directory() -> None:
    place = SOUND.index(b"PK\x01\x02")
    for field in (28, 30, 32):
        data = bytearray(SOUND)
        struct.pack_into("<H", data, place + field, 0xFFFF)
        with pytest.raises(ArchiveError, match="no entry of a directory at offset"):
            entries(bytes(data))


def test_names_that_are_longer_than_any_path() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("n" * 4096, b"")
        archive.writestr("n" * 4097, b"")
    found = read_entries(io.BytesIO(buffer.getvalue()))
    with pytest.raises(ArchiveError, match="at most 4,096"):
        list(found)


def test_sizes_of_64_bits_that_are_missing() -> None:
    data = bytearray(SOUND)
    struct.pack_into("<I", data, SOUND.index(b"PK\x01\x02") + 20, 0xFFFFFFFF)
    with pytest.raises(ArchiveError, match="no sizes of 64 bits"):
        entries(bytes(data))


def test_members_that_share_bytes_are_known() -> None:
    """As in a bomb whose members all inflate the same data; one that is listed twice is no harm."""
    first, second, third, *_ = entries(SOUND)
    places = [at for at in range(len(SOUND)) if SOUND.startswith(b"PK\x01\x02", at)]
    data = bytearray(SOUND)
    struct.pack_into("<I", data, places[1] + 42, first.offset + 10)
    struct.pack_into("<I", data, places[3] + 42, third.offset)
    found = entries(bytes(data))
    assert [entry.overlaps for entry in found] == [False, True, False, False, False]
    assert second.overlaps is False
    data = bytearray(SOUND)
    struct.pack_into("<I", data, places[0] + 20, 10_000)
    assert [entry.overlaps for entry in entries(bytes(data))] == [False, True, True, True, True]


def test_names_in_utf_8_and_in_the_old_code_page() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("Übung.jpg", b"")
        archive.writestr("plain.jpg", b"")
    data = buffer.getvalue().replace(b"plain", b"pl\x84in")
    assert [entry.name for entry in entries(data)] == ["Übung.jpg", "pläin.jpg"]
