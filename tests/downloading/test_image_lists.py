"""Image lists: what they may hold, and in how little memory they are read."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from open_images.downloading.gather import gather
from open_images.downloading.image_list import count, read_list
from open_images.downloading.parallel import Meter
from open_images.progress import Observer
from tests.downloading.conftest import IDS, Run, encoded, failures, picture
from transforms.dataset.elements import Source
from transforms.dataset.keys import image_ids
from transforms.errors import UsageError
from transforms.storage.stores import ObjectOptions

BAD_LINES = [
    "train/0123",
    "val/0123456789abcdef",
    "train/0123456789ABCDEF",
    "train/0123456789abcdef.jpg",
    "../0",
    "train/\xff",
]


def ids_of(keys: np.ndarray) -> set[str]:
    return set(image_ids(keys).to_pylist())


@pytest.mark.parametrize("ending", ["\n", "\r\n", "  \n\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_lines_may_end_and_repeat_as_they_like(tmp_path: Path, ending: str, start: str):
    path = tmp_path / "ids.txt"
    lines = [f"train/{i}" for i in IDS] + [f"challenge2018/{i}" for i in IDS[:2]]
    path.write_text(start + ending.join(lines * 2), encoding="utf-8", newline="")
    pictures = read_list(path, piece=60)
    assert {split: ids_of(keys) for split, keys in pictures.items()} == {
        "train": set(IDS),
        "challenge2018": set(IDS[:2]),
    }
    assert count(pictures) == 12
    assert set(read_list(path, ["train"])) == {"train"}


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_bad_line_is_named(run: Run, listed: list[str], line: str):
    path = Path(listed[1])
    path.write_bytes(path.read_bytes() + b"\n" + line.encode("latin-1"))
    result = run(*listed)
    assert result.code == 2
    assert f"--image_list: {path}, line 13: " in result.err
    assert "16 lowercase hex digits" in result.err
    assert len(result.err.splitlines()) == 1


def test_a_bad_line_is_counted_through_pieces(image_list: Path):
    image_list.write_text(image_list.read_text() + "\nnone\n")
    with pytest.raises(UsageError, match="line 13: 'none' is not"):
        read_list(image_list, piece=60)


def test_an_empty_list(run: Run, tmp_path: Path):
    path = tmp_path / "ids.txt"
    path.write_text("\n\n")
    result = run("--image_list", str(path))
    assert result.code == 2
    assert f"{path} holds no images" in result.err


def test_pieces_are_put_together(run: Run, listed: list[str], output: Path, tmp_path: Path):
    more = [f"{i:016x}" for i in range(1000, 1040)]
    folder = tmp_path / "folder"
    folder.mkdir()
    for image_id in more:
        (folder / f"{image_id}.jpg").write_bytes(picture(image_id))
    path = Path(listed[1])
    path.write_text(path.read_text() + "\n" + "\n".join(f"test/{image_id}" for image_id in more))
    present = output / "images" / "test" / f"{more[5]}.jpg"
    present.parent.mkdir(parents=True)
    present.write_bytes(encoded("PNG"))
    result = run(*listed, "--images", str(folder))
    assert result.code == 0, result.err
    assert "49 pictures downloaded, 1 were there, 0 missing, 0 failed" in result.out
    assert present.read_bytes() == encoded("PNG")
    for image_id in {*more} - {more[5]}:
        assert (present.parent / f"{image_id}.jpg").read_bytes() == picture(image_id)


def test_buckets_hold_each_picture_once(tmp_path: Path, image_list: Path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for image_id in IDS[:5]:
        (folder / f"{image_id}.jpg").write_bytes(picture(image_id))
    source = Source(0, "pictures", str(folder), 0, medium="folder")
    meter = Meter(Observer(), "pictures", 10, "pictures")
    gathered = gather(
        read_list(image_list), [source], False, str(tmp_path), meter, ObjectOptions(), 4
    )
    tables = [joined.table for joined in gathered]
    assert len(tables) == 3
    rows = pa.concat_tables(tables).to_pylist()
    assert sorted(row["image_id"] for row in rows) == IDS
    assert {row["image_id"] for row in rows if row["pictures"]} == {*IDS[:5]}


def test_an_image_of_two_splits_is_a_conflict(run: Run, listed: list[str], output: Path):
    path = Path(listed[1])
    path.write_text(path.read_text() + f"\ntest/{IDS[0]}\n")
    result = run(*listed)
    assert result.code == 1
    assert "9 pictures downloaded, 0 were there, 0 missing, 1 failed" in result.out
    assert [reason for reason, _ in failures(output).values()] == ["conflict"]
