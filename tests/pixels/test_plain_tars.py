"""Members of tars that are listed without `tarfile`: the same as it lists."""

import io
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.imaging import mutations
from transforms.failures import PixelError
from transforms.pixels import archive
from transforms.pixels.archive import walk_tar
from transforms.pixels.members import Member

KINDS = {tarfile.AREGTYPE: 1, tarfile.DIRTYPE: 1, tarfile.SYMTYPE: 1, tarfile.REGTYPE: 17}
FOLDERS = {"": 8, "./train/": 8, "long" * 20 + "/": 8, "Übung/": 1, "long" * 15 + "/" + "l" * 45: 1}


def write(rng: random.Random, form: int, **options) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, **options) as tar:
        for number in range(rng.randrange(1, 12)):
            [folder] = rng.choices(list(FOLDERS), FOLDERS.values())
            info = tarfile.TarInfo(f"{folder}{number:016x}.jpg")
            [info.type] = rng.choices(list(KINDS), KINDS.values())
            info.size = rng.choice((0, 1, 511, 512, 513, 2000)) if info.isreg() else 0
            info.mtime = rng.choice((0, 1_234_567_890))
            info.uid = rng.choice((0, 1000))
            info.uname = rng.choice(("", "", "root", "root", "jürgen"))
            tar.addfile(info, io.BytesIO(rng.randbytes(info.size)))
    return buffer.getvalue()


def walk(path: Path) -> list[Member | tuple]:
    """What is listed, and the error at the end if there is one."""
    found: list[Member | tuple] = []
    try:
        for member in walk_tar(str(path)):
            found.append(member)
    except PixelError as error:
        found.append((error.reason, error.detail))
    return found


def walked(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Member | tuple], int]:
    """What is listed, with how many members of it without `tarfile`; it must be what that lists."""
    plain = []

    def watched(*arguments) -> Iterator[Member]:
        for member in plain_members(*arguments):
            plain.append(member)
            yield member

    plain_members = archive._plain_members
    with monkeypatch.context() as patch:
        patch.setattr(archive, "_plain_members", watched)
        found = walk(path)
        patch.setattr(archive, "_plain_members", lambda *_: iter(()))
        assert walk(path) == found
    return found, len(plain)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_sound_and_mutated_tars(tmp_path: Path, form: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(form)
    path = tmp_path / "source.tar"
    seeds = [write(rng, form) for _ in range(20)]
    plain = total = damaged = 0
    for number in range(600):
        path.write_bytes(
            seeds[number] if number < len(seeds) else mutations.mutate(rng, mutations.TAR, seeds)
        )
        found, quick = walked(path, monkeypatch)
        plain, total = plain + quick, total + len(found)
        damaged += any(not isinstance(row, Member) for row in found)
    assert 0.2 * total < plain < 0.9 * total
    assert 100 < damaged < 580


def test_global_headers_change_what_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "source.tar"
    options = {"pax_headers": {"path": "another.jpg"}}
    path.write_bytes(write(random.Random(5), tarfile.PAX_FORMAT, **options))
    found, plain = walked(path, monkeypatch)
    assert "another.jpg" in {member.name for member in found}
    assert plain == 0


def edited(header: bytes, edits: dict[int, bytes]) -> bytes:
    """A header with other bytes at some places, and its checksum righted unless that was edited."""
    data = bytearray(header)
    for place, field in edits.items():
        data[place : place + len(field)] = field
    if 148 not in edits:
        data[148:156] = b" " * 8
        data[148:156] = b"%06o\0 " % sum(data)
    return bytes(data)


EDITS = {
    "as it is": ({}, True),
    "bsdtar's blanks": ({100: b"000644 \0", 124: b"00000001000 "}, True),
    "numbers without an end": ({100: b"00000644", 124: b"000000001000"}, True),
    "no numbers of a device": ({329: bytes(16)}, True),
    "checksum of six digits and blanks": ({265: b"\0", 148: b"      \0 "}, False),
    "blanks in front": ({100: b"   644 \0", 124: b"       1000 "}, False),
    "underscores": ({124: b"0000_001000\0"}, False),
    "a sign": ({124: b"-0000001000\0"}, False),
    "another number behind": ({124: b"01000\x0001000\0"}, False),
    "no octal": ({116: b"0000008\0"}, False),
    "no octal time": ({136: b"yesterday!!\0"}, False),
    "no octal device": ({337: b"0000009\0"}, False),
    "base 256": ({124: b"\x80" + (512).to_bytes(11, "big")}, False),
    "no size": ({124: bytes(12)}, False),
    "name of 100 bytes": ({0: b"n" * 100}, True),
    "prefix of 155 bytes": ({345: b"p" * 155}, True),
    "nulls in names": ({0: b"a\0b", 345: b"c\0d"}, True),
    "file with a slash": ({0: b"folder/\0"}, True),
    "owner in Latin-1": ({265: b"j\xfcrgen"}, False),
    "another checksum": ({148: b"000001\0 "}, False),
}


@pytest.mark.parametrize("name", EDITS)
def test_other_headers(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    edits, plain = EDITS[name]
    info = tarfile.TarInfo("picture.jpg")
    info.size = 512
    header = info.tobuf(tarfile.USTAR_FORMAT)
    path = tmp_path / "source.tar"
    path.write_bytes((header + bytes(512)) + edited(header, edits) + bytes(512 + 1024))
    assert walked(path, monkeypatch)[1] == plain


def test_signed_checksums_and_large_sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sum that `tarfile` accepts beside the usual one, and one of nearly all bytes at 127."""
    path = tmp_path / "source.tar"
    header = tarfile.TarInfo("picture.jpg").tobuf(tarfile.USTAR_FORMAT)
    signed = bytearray(edited(header, {265: b"\xfc\xfc"}))
    signed[148:156] = b"%06o\0 " % (int(signed[148:154], 8) - 2 * 256)
    full = {0: b"\x7f" * 100, 157: b"\x7f" * 172, 345: b"\x7f" * 167}
    for second, plain in ((bytes(signed), 0), (edited(header, full), 1)):
        path.write_bytes(header + second + bytes(1024))
        found, quick = walked(path, monkeypatch)
        assert (len(found), quick) == (2, plain)
