"""Unpacking compressed archives, sound and damaged."""

import gzip
import random
from pathlib import Path

import pytest

from transforms.failures import Reason
from transforms.pixels.unpack import unpack

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
