"""Unpacking compressed archives, sound and damaged."""

import gzip
import random
import tarfile
from pathlib import Path

import pytest

from tests.builds import run_build
from transforms.dataset.failures import Reason
from transforms.sources.unpack import unpack
from transforms.storage.claims import FREE_BYTES, MAX_RATIO

DATA = random.Random(0).randbytes(300_000) + b"row\n" * 50_000


def unpacked(tmp_path: Path, packed: bytes) -> tuple[bytes, Reason | None]:
    (tmp_path / "source.tar.gz").write_bytes(packed)
    path, damage = unpack(str(tmp_path / "source.tar.gz"), str(tmp_path))
    return Path(path).read_bytes(), damage and damage.reason


@pytest.mark.parametrize("members", [1, 3])
def test_everything_is_unpacked(tmp_path: Path, members: int) -> None:
    step = -(-len(DATA) // members)
    pieces = [gzip.compress(DATA[at : at + step]) for at in range(0, len(DATA), step)]
    assert unpacked(tmp_path, b"".join(pieces)) == (DATA, None)


def test_what_precedes_a_cut_is_kept(tmp_path: Path) -> None:
    packed = gzip.compress(DATA)
    data, reason = unpacked(tmp_path, packed[: len(packed) // 2])
    assert reason is Reason.TRUNCATED
    assert len(data) > 100_000
    assert DATA.startswith(data)


def test_padding_is_passed_over(tmp_path: Path) -> None:
    packed = gzip.compress(DATA)
    assert unpacked(tmp_path, packed + bytes(700_000)) == (DATA, None)
    assert unpacked(tmp_path, packed + b"more" * 9)[1] is Reason.CORRUPT


def test_an_empty_file_is_truncated(tmp_path: Path) -> None:
    assert unpacked(tmp_path, b"") == (b"", Reason.TRUNCATED)


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9999])
def test_damage_is_told(tmp_path: Path, place: float) -> None:
    packed = bytearray(gzip.compress(DATA))
    at = int(place * len(packed))
    packed[at : at + 4] = bytes(byte ^ 0xFF for byte in packed[at : at + 4])
    assert unpacked(tmp_path, bytes(packed))[1] in (Reason.CORRUPT, Reason.TRUNCATED)


def test_two_attempts_write_two_files(tmp_path: Path) -> None:
    (tmp_path / "source.tar.gz").write_bytes(gzip.compress(DATA))
    first, second = (unpack(str(tmp_path / "source.tar.gz"), str(tmp_path))[0] for _ in "ab")
    assert first != second


def member(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.USTAR_FORMAT) + bytes(size + -size % 512)


BOMBS = {
    "one member": lambda: gzip.compress(member(f"{0:016x}.jpg", 200 << 20), 1),
    "members of zeros": lambda: gzip.compress(member(f"{0:016x}.jpg", 100_000) * 2_000, 1),
    "gzip members": lambda: gzip.compress(bytes(1 << 20)) * 200,
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_unpacks_to_far_more_than_it_has_is_refused_early(tmp_path: Path, name: str) -> None:
    packed = BOMBS[name]()
    (tmp_path / "source.tar.gz").write_bytes(packed)
    path, damage = unpack(str(tmp_path / "source.tar.gz"), str(tmp_path))
    assert damage
    assert damage.reason is Reason.TOO_LARGE
    assert "at most 64 MiB and 100 times as much" in damage.detail
    assert Path(path).stat().st_size <= FREE_BYTES + MAX_RATIO * len(packed)


def test_small_members_that_shrink_a_lot_are_unpacked(tmp_path: Path) -> None:
    """Flat masks of a few bytes each, beside a header and padding of a kilobyte."""
    chance = random.Random(3)
    names = (
        f"{chance.randbytes(8).hex()}_m01_{chance.randbytes(4).hex()}.png" for _ in range(70_000)
    )
    tar = b"".join(member(name, 250) for name in names)
    assert len(tar) > FREE_BYTES
    data, reason = unpacked(tmp_path, gzip.compress(tar))
    assert (len(data), reason) == (len(tar), None)


def test_a_bomb_is_told_by_a_build(tmp_path: Path) -> None:
    picture = tmp_path / "pictures.tar.gz"
    picture.write_bytes(BOMBS["one member"]())
    (tmp_path / "train-images.csv").write_text(f"ImageID,Subset\n{0:016x},train\n")
    command = ["--annotations", tmp_path / "train-images.csv", "--images", picture]
    built = run_build(*command, "--output", tmp_path / "out", "--num_workers", "1")
    assert built.returncode == 1
    assert "at most 64 MiB and 100 times as much" in built.stderr
