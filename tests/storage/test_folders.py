"""Folders: however deep, with links in circles, and with files that vanish."""

import os
import socket
from pathlib import Path

import pytest

from tests.deep import dug
from transforms.sources.listing import PICTURES, list_members
from transforms.storage import files, folders
from transforms.storage.stamps import ChangedError


def test_deep_folders_are_walked_matched_and_removed(tmp_path: Path):
    top = tmp_path / "top"
    with dug(top, "file.csv") as name:
        assert [entry.name for entry in folders.walk_linked(str(top))] == [name]
        assert files.list_files(str(top)) == [f"{top}/{name}"]
        assert files.expand(f"{top}/**/*.csv") == [(f"{top}/{name}", False)]
        files.delete_folder(str(top))
        assert not top.exists()


def test_folders_whose_paths_are_too_long_are_removed(tmp_path: Path):
    with dug(tmp_path / "top", "file", name="a long name of a folder"):
        files.vanish(str(tmp_path / "top"))
        assert list(tmp_path.iterdir()) == []


def test_removing_follows_no_link(tmp_path: Path):
    kept = tmp_path / "kept/file"
    kept.parent.mkdir()
    kept.touch()
    (tmp_path / "top/below").mkdir(parents=True)
    (tmp_path / "top/link").symlink_to(kept.parent)
    (tmp_path / "top/below/link").symlink_to("../../kept")
    (tmp_path / "linked").symlink_to("kept")
    for name in ("top", "linked", "absent"):
        files.delete_folder(str(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert kept.exists()


def test_a_glob_ends_where_links_are_circles(tmp_path: Path):
    """By each name of a folder there would be 2**40 of them."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.csv").touch()
    for name in ("one", "two"):
        (tmp_path / "a" / name).symlink_to("..")
    (tmp_path / "again").symlink_to("a")
    found = folders.match(f"{tmp_path}/**/*.csv")
    assert found[0] == f"{tmp_path}/a/x.csv"
    assert {os.path.realpath(path) for path in found} == {f"{tmp_path}/a/x.csv"}


def test_what_vanishes_while_a_folder_is_listed_is_not_there(tmp_path: Path):
    """As the files do that rsync and downloads write to."""
    for name in ("a/.0000000000000001.jpg.Ab12Cd", "a/0000000000000001.jpg", "b/c/d.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    walk = folders.walk_linked(str(tmp_path))
    first = next(walk)
    (tmp_path / first.name).unlink()
    (tmp_path / "b/c/d.jpg").unlink()
    (tmp_path / "b/c").rmdir()
    (tmp_path / "b").rmdir()
    assert first.status() is None
    assert [entry.name for entry in walk] == ["a/0000000000000001.jpg"]


def test_a_picture_that_vanishes_while_it_is_listed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    names = [f"{number:016x}.jpg" for number in range(3)]
    for name in names:
        (tmp_path / name).touch()
    scandir = os.scandir

    def lose(path: str):
        found = scandir(path)
        (tmp_path / names[1]).unlink()
        return found

    monkeypatch.setattr(os, "scandir", lose)
    (listed,) = list_members(str(tmp_path), PICTURES)
    assert listed.table["name"].to_pylist() == [names[0], names[2]]
    assert listed.failures == []


def test_links_to_the_folder_itself_lead_nowhere_else(tmp_path: Path):
    """They are no failures: what they lead to is listed without them."""
    pictures = tmp_path / "pictures"
    (pictures / "train").mkdir(parents=True)
    (pictures / "train/0123456789abcdef.jpg").touch()
    (tmp_path / "named").symlink_to("pictures")
    for name, target in (
        ("itself", "."),
        ("by name", pictures),
        ("by link", tmp_path / "named"),
        ("train/up", ".."),
        ("train/above", "../.."),
    ):
        (pictures / name).symlink_to(target)
    for source in ("pictures", "named"):
        (listed,) = list_members(str(tmp_path / source), PICTURES)
        assert listed.table["name"].to_pylist() == ["train/0123456789abcdef.jpg"]
        assert (listed.failures, listed.others.count) == ([], 0)


@pytest.mark.parametrize("kind", ["a pipe", "a socket", "a device"])
def test_what_is_no_file_is_not_opened(kind: str, tmp_path: Path):
    path = tmp_path / "path"
    match kind:
        case "a pipe":
            os.mkfifo(path)
        case "a socket":
            with socket.socket(socket.AF_UNIX) as opened:
                opened.bind(str(path))
        case "a device":
            path.symlink_to("/dev/zero")
    with pytest.raises(OSError, match=f"it is {kind}, not a file"):
        files.read_file(str(path))


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


CHANGES = {
    "appended to": append,
    "cut": lambda path: os.truncate(path, 10),
    "touched": os.utime,
    "replaced": lambda path: os.replace(path.with_name("other"), path),
    "gone": os.remove,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_planned_file_must_stay_as_it_is(change: str, tmp_path: Path):
    path = tmp_path / "table"
    path.write_bytes(b"0123456789" * 10_000)
    (tmp_path / "other").write_bytes(path.read_bytes())
    stamp = files.status_of(str(path)).stamp
    with files.open_file(str(path), stamp=stamp) as file:
        assert file.read(10) == b"0123456789"
    message = f"^{path} changed while it was read: start again"

    def read_on() -> None:
        with files.open_file(str(path), stamp=stamp) as file:
            file.read(10)
            CHANGES[change](path)
            file.read(10)

    with pytest.raises(ChangedError, match=message):
        read_on()
    with pytest.raises(ChangedError, match=message):
        files.open_file(str(path), stamp=stamp)
