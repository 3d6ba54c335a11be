"""Pictures that are there: whole ones are left alone, all others are fetched again."""

import os
from pathlib import Path

import pytest

from tests.downloading.conftest import IDS, JPEG, Run, encoded, failures, picture
from tests.downloading.server import Server
from tests.examples.imaging.pictures import jpeg

BIG = encoded("JPEG") + bytes(5000)
MIDDLE = JPEG.index(b"\xff\xda") + 20

#: What other downloaders leave under a picture's name; a word of why it isn't one.
LEFT: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "cut in half": (JPEG[: len(JPEG) // 2], "truncated"),
    "cut by its last byte": (JPEG[:-1], "truncated"),
    "room that was never filled": (JPEG[:MIDDLE] + bytes(len(JPEG)), "truncated"),
    "an error page": (b"<!DOCTYPE html><title>404</title>" * 40, "not_image"),
    "zeros alone": (bytes(4096), "not_image"),
    "a PNG that is cut": (encoded("PNG")[:-4], "truncated"),
    "another format": (encoded("GIF"), "format_not_allowed"),
}

#: What is a picture, however it was named and whoever wrote it.
WHOLE = {
    "a JPEG": JPEG,
    "a JPEG with bytes behind": JPEG + b"behind",
    "a JPEG with zeros behind": BIG,
    "a PNG under the name of a JPEG": encoded("PNG"),
}


@pytest.fixture
def folder(output: Path) -> Path:
    folder = output / "images" / "train"
    folder.mkdir(parents=True)
    return folder


def test_what_is_not_whole_is_fetched_again(
    run: Run, server: Server, listed: list[str], folder: Path
):
    for image_id, (data, _) in zip(IDS, LEFT.values(), strict=False):
        (folder / f"{image_id}.jpg").write_bytes(data)
    (folder / f"{IDS[9]}.jpg.part").write_bytes(JPEG[:-1])
    whole = folder / f"{IDS[8]}.jpg"
    whole.write_bytes(JPEG)
    result = run(*listed)
    assert result.code == 0, result.err
    assert "9 pictures downloaded, 1 were there, 0 missing, 0 failed" in result.out
    assert (
        f"pictures that are there, but not whole: {len(LEFT)}, again; the first train/"
        in result.err
    )
    for image_id in {*IDS} - {IDS[8]}:
        assert (folder / f"{image_id}.jpg").read_bytes() == picture(image_id)
    assert whole.read_bytes() == JPEG
    assert "10 were there" in run(*listed).out
    assert sum(map(len, server.requests.values())) == 9


@pytest.mark.parametrize("name", LEFT)
def test_it_is_said_why(run: Run, listed: list[str], folder: Path, name: str):
    data, word = LEFT[name]
    (folder / f"{IDS[0]}.jpg").write_bytes(data)
    err = run(*listed).err
    assert f"but not whole: 1, again; the first train/{IDS[0]}.jpg ({word}" in err


def test_what_is_whole_is_left_alone(run: Run, server: Server, listed: list[str], folder: Path):
    for image_id, data in zip(IDS, WHOLE.values(), strict=False):
        (folder / f"{image_id}.jpg").write_bytes(data)
    for flags in ((), ("--verify",)):
        result = run(*listed, *flags)
        assert (result.code, "not whole" in result.err) == (0, False), result.err
    for image_id, data in zip(IDS, WHOLE.values(), strict=False):
        assert (folder / f"{image_id}.jpg").read_bytes() == data
        assert f"/train/{image_id}.jpg" not in server.requests


PHOTO = jpeg()
INSIDE = len(PHOTO) // 2


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(PHOTO[:INSIDE] + bytes(500) + PHOTO[INSIDE + 500 :], id="a hole"),
        pytest.param(PHOTO[:INSIDE] + PHOTO[-2:], id="what was in the middle is gone"),
        pytest.param(PHOTO[:INSIDE] + PHOTO[MIDDLE:], id="a splice"),
    ],
)
def test_verify_finds_the_rest(run: Run, listed: list[str], folder: Path, data: bytes):
    path = folder / f"{IDS[4]}.jpg"
    path.write_bytes(data)
    assert "9 pictures downloaded, 1 were there" in run(*listed).out
    result = run(*listed, "--verify")
    assert result.code == 0, result.err
    assert "1 picture downloaded, 9 were there" in result.out
    assert f"the first train/{path.name} (" in result.err
    assert path.read_bytes() == picture(IDS[4])


def test_what_cannot_be_had_again_stays_and_is_listed(
    run: Run, server: Server, listed: list[str], folder: Path, output: Path
):
    del server.files[f"/train/{IDS[1]}.jpg"]
    path = folder / f"{IDS[1]}.jpg"
    path.write_bytes(JPEG[:-1])
    result = run(*listed)
    assert result.code == 1
    assert "9 pictures downloaded, 0 were there, 1 missing" in result.out
    assert [*failures(output)] == [f"train/{IDS[1]}"]
    assert path.read_bytes() == JPEG[:-1]


def test_a_link_to_nowhere_is_replaced(run: Run, listed: list[str], folder: Path):
    path = folder / f"{IDS[2]}.jpg"
    os.symlink(folder / "gone.jpg", path)
    assert run(*listed).code == 0
    assert path.read_bytes() == picture(IDS[2])


def test_looking_is_done_in_pieces(run: Run, listed: list[str], folder: Path):
    ids = [f"{i:016x}" for i in range(2500)]
    Path(listed[1]).write_text("\n".join(f"train/{image_id}" for image_id in ids))
    for image_id in ids:
        (folder / f"{image_id}.jpg").write_bytes(JPEG if image_id not in IDS[:4] else b"")
    result = run(*listed)
    assert "4 pictures downloaded, 2,496 were there" in result.out
    assert "but not whole: 4, again" in result.err
