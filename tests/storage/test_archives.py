"""Members of archives as streams: whole, cut, damaged, and never anything beside them."""

import gzip
import io
import random
import tarfile
import zipfile
from pathlib import Path

import pytest

from transforms.storage import archives

DATA = random.Random(1).randbytes(3 << 20)
FILES = {"./a/empty.csv": b"", "./a/first.csv": DATA[: 2 << 20], "second.csv": DATA[1 << 20 :]}


def write_tar(path: Path, mode: str) -> Path:
    with tarfile.open(path, mode) as tar:  # pyrefly: ignore[no-matching-overload]
        for name, data in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        folder = tarfile.TarInfo("a")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    return path


def write_zip(path: Path, method: int) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
        archive.mkdir("a")
    return path


WRITERS = {
    "tar": lambda path: write_tar(path, "w:"),
    "tar.gz": lambda path: write_tar(path, "w:gz"),
    "stored": lambda path: write_zip(path, zipfile.ZIP_STORED),
    "deflated": lambda path: write_zip(path, zipfile.ZIP_DEFLATED),
}


def read_all(stream: archives.Inflated) -> bytes:
    return b"".join(iter(lambda: stream.read1(1 << 16), b""))


@pytest.mark.parametrize("kind", WRITERS)
def test_members_in_order_and_by_name(kind: str, tmp_path: Path):
    path = str(WRITERS[kind](tmp_path / "archive"))
    is_tar = kind.startswith("tar")
    assert archives.archive_kind(archives.head_of(path, 512)) == ("tar" if is_tar else "zip")
    with archives.open_archive(path) as members:
        found = {m.name: read_all(archives.Inflated(m.open())) for m in members}
    assert found == FILES
    for name, data in FILES.items():
        with archives.open_inflated(path, name) as stream:
            assert stream.read(10) + read_all(stream) == data
    with pytest.raises(EOFError), archives.open_inflated(path, "third.csv"):
        pass


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "deflated"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_what_precedes_a_cut_is_read(kind: str, share: float, tmp_path: Path):
    path = WRITERS[kind](tmp_path / "archive")
    size = sum(map(len, FILES.values())) if kind == "tar" else path.stat().st_size
    path.write_bytes(path.read_bytes()[: int(size * share)])
    seen = {}
    with pytest.raises(archives.DAMAGE), archives.open_archive(str(path)) as members:
        for member in members:
            seen[member.name] = b""
            stream = archives.Inflated(member.open())
            while piece := stream.read1(1 << 16):
                seen[member.name] += piece
    for name, data in seen.items():
        assert FILES[name].startswith(data)
    if kind != "deflated":  # whose directory is at its end
        assert sum(map(len, seen.values())) > size * share - (1 << 20)


def test_a_flipped_byte_is_damage(tmp_path: Path):
    for kind in ("deflated", "stored", "tar.gz"):
        path = WRITERS[kind](tmp_path / kind)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
        with pytest.raises(archives.DAMAGE), archives.open_archive(str(path)) as members:
            for member in members:
                read_all(archives.Inflated(member.open()))


def test_gzip_by_content(tmp_path: Path):
    path = tmp_path / "table.csv"
    path.write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    with archives.open_inflated(str(path)) as stream:
        assert read_all(stream) == b"one\ntwo\n"
    path.write_bytes(gzip.compress(DATA)[:-100])
    with archives.open_inflated(str(path)) as stream:
        assert len(stream.read(len(DATA))) > len(DATA) - 1000
        with pytest.raises(EOFError):
            stream.read(1)


def test_members_that_are_never_opened(tmp_path: Path):
    path = tmp_path / "archive.tar"
    with tarfile.open(path, "w") as tar:
        for name, kind in (
            *(("link.csv", tarfile.SYMTYPE), ("hard.csv", tarfile.LNKTYPE)),
            *(("device.csv", tarfile.CHRTYPE), ("/etc/passwd.csv", tarfile.REGTYPE)),
            *(("a/../../up.csv", tarfile.REGTYPE), ("a/..", tarfile.REGTYPE)),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    with archives.open_archive(str(path)) as members:
        refusals = {member.name: member.refusal for member in members}
    assert len(refusals) == 6
    assert all(refusals.values())


def test_what_unpacks_to_far_more_than_it_has(tmp_path: Path):
    """A table that is passed over, one that is read, and one in a zip."""
    bomb = bytes(200 << 20)
    path = tmp_path / "archive.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name in ("first.csv", "second.csv"):
            info = tarfile.TarInfo(name)
            info.size = len(bomb)
            tar.addfile(info, io.BytesIO(bomb))
    for read in (True, False):
        with (
            pytest.raises(archives.DAMAGE, match="at most 64 MiB and 100 times"),
            archives.open_archive(str(path)) as members,
        ):
            for member in members:
                found = 0
                stream = archives.Inflated(member.open())
                while read and (piece := stream.read1(1 << 20)):
                    found += len(piece)
                    assert found < len(bomb)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("table.csv", bomb)
        archive.writestr("other.csv", DATA)
    with archives.open_archive(str(tmp_path / "archive.zip")) as members:
        first, second = members
    assert "at most 64 MiB and 100 times as much" in first.refusal
    assert second.refusal == ""
