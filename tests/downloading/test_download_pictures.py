"""Pictures by an image list."""

from pathlib import Path

import pytest

from tests.downloading import server as servers
from tests.downloading.conftest import Run
from tests.downloading.server import Server

IDS = [f"{i:016x}" for i in range(10)]


@pytest.fixture
def listed(server: Server, tmp_path: Path) -> list[str]:
    """The flags for a list of ten pictures that the server has."""
    for image_id in IDS:
        server.files[f"/train/{image_id}.jpg"] = b"\xff\xd8" + image_id.encode() * 100
    path = tmp_path / "ids.txt"
    path.write_text("\r\n".join(f"train/{image_id}" for image_id in IDS) + f"\n\ntrain/{IDS[0]}")
    return ["--image_list", str(path), "--image_url", server.url + "/{split}/{image_id}.jpg"]


def test_gets_pictures(run: Run, server: Server, listed: list[str], output: Path):
    result = run(*listed)
    assert result.code == 0, result.err
    assert "10 pictures downloaded, 0 were there, 0 missing, 0 failed" in result.out
    for image_id in IDS:
        path = output / "images" / "train" / f"{image_id}.jpg"
        assert path.read_bytes() == server.files[f"/train/{image_id}.jpg"]
    assert sorted(path.name for path in output.iterdir()) == ["images"]
    assert "0 pictures downloaded, 10 were there" in run(*listed).out
    assert sum(map(len, server.requests.values())) == 10


def test_missing_ones_are_listed(run: Run, server: Server, listed: list[str], output: Path):
    lost = {i: server.files.pop(f"/train/{i}.jpg") for i in (IDS[7], IDS[3])}
    result = run(*listed)
    assert result.code == 1
    assert "2 of 10 pictures are missing or failed (20.00%)" in result.err
    assert (output / "missing.txt").read_text() == f"train/{IDS[3]}\ntrain/{IDS[7]}\n"
    assert len(server.requests[f"/train/{IDS[3]}.jpg"]) == 1
    result = run(*listed, "--max_failure_rate", "0.2")
    assert result.code == 0
    assert f"listed in {output}/missing.txt" in result.out
    server.files |= {f"/train/{image_id}.jpg": data for image_id, data in lost.items()}
    assert "2 pictures downloaded, 8 were there" in run(*listed).out
    assert not (output / "missing.txt").exists()


def test_what_can_pass_is_tried_again(run: Run, server: Server, listed: list[str]):
    for image_id, behaviour in zip(
        IDS,
        [servers.drop(100), servers.fail(503, Retry_After="0"), servers.stall(50), servers.drip],
        strict=False,
    ):
        server.behaviours[f"/train/{image_id}.jpg"] = [behaviour]
    result = run(*listed, "--timeout", "0.3")
    assert result.code == 0, result.err
    assert sum(map(len, server.requests.values())) == 14


def test_what_is_no_picture_fails(run: Run, server: Server, listed: list[str], output: Path):
    server.files[f"/train/{IDS[4]}.jpg"] = b"<html>Gone</html>"
    server.behaviours[f"/train/{IDS[5]}.jpg"] = [servers.fail(403)]
    result = run(*listed)
    assert result.code == 1
    assert "8 pictures downloaded, 0 were there, 0 missing, 2 failed" in result.out
    assert f"train/{IDS[4]}: {server.url}/train/{IDS[4]}.jpg is no JPEG" in result.err
    assert len(list((output / "images" / "train").iterdir())) == 8


def test_a_server_that_refuses_all_is_given_up(
    run: Run, server: Server, listed: list[str], monkeypatch
):
    monkeypatch.setattr("downloading.images._FAILURES_BEFORE_GIVING_UP", 3)
    for image_id in IDS:
        server.behaviours[f"/train/{image_id}.jpg"] = [servers.fail(401)]
    result = run(*listed, "--num_connections", "1")
    assert result.code == 1
    assert "4 pictures failed" in result.err
    assert sum(map(len, server.requests.values())) == 4


def test_splits_narrow_a_list_and_kinds_add_files(
    run: Run, server: Server, listed: list[str], output: Path
):
    path = Path(listed[1])
    path.write_text(path.read_text() + f"\nvalidation/{IDS[0]}\n")
    result = run(*listed, "--splits", "train", "--kinds", "classes")
    assert result.code == 0, result.err
    assert (output / "annotations" / "oidv7-class-descriptions.csv").exists()
    assert not (output / "images" / "validation").exists()


@pytest.mark.parametrize(
    "line", ["train/0123", "val/0123456789abcdef", "train/0123456789ABCDEF", "../0", "train/\xff"]
)
def test_a_bad_line_is_named(run: Run, listed: list[str], line: str):
    path = Path(listed[1])
    path.write_bytes(path.read_bytes() + b"\n" + line.encode("latin-1"))
    result = run(*listed)
    assert result.code == 2
    assert f"--image_list: {path}, line 13: " in result.err
    assert len(result.err.splitlines()) == 1
