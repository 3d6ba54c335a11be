"""Ranges that begin inside quotes are read again, once that is known."""

import csv
from pathlib import Path

import pytest

from tests.builds import run_build
from transforms.exchange import place
from transforms.formats import blocks

IMAGES = 12
CHUNK = 1024


@pytest.fixture(params=[1, 3], ids=["balanced", "with a stray quote"])
def annotations(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An image table whose titles span ranges; with three quotes more, one is stray."""
    folder = tmp_path / "annotations"
    folder.mkdir()
    with open(folder / "train-images-boxable.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["ImageID", "Subset", "Title"])
        for number in range(IMAGES):
            title = "\n".join(f"{number} {line} of 'a' title" for line in range(150))
            writer.writerow([f"{number:016x}", "train", title])
        if request.param == 3:
            file.write(f'{IMAGES:016x},train,"unclosed\n{IMAGES + 1:016x},train,5" disk"\n')
    return folder


@pytest.mark.parametrize("exchange", ["files", "engine"])
def test_they_hold_what_one_range_does(
    annotations: Path, exchange: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    read: list[int] = []
    placed = place._name

    def name(element):
        read.append(element.quotes)
        return placed(element)

    monkeypatch.setattr(place, "_name", name)
    flags = ("--annotations", annotations, "--images", "none", "--max_failure_rate", "1")
    flags += ("--max_bad_rate", "1")
    flags += ("--num_workers", "1", "--format", "parquet", "--exchange", exchange)
    whole = run_build(*flags, "--output", tmp_path / "whole").version
    assert set(read) <= {0}
    read.clear()
    cut = run_build(*flags, "--chunk_size", CHUNK, "--output", tmp_path / "cut").version

    is_balanced = len(whole.examples) == IMAGES
    with open(annotations / "train-images-boxable.csv", "rb") as file:
        size = file.seek(0, 2)
        assert (blocks.count_quotes(file, 0, size) % 2 == 0) == is_balanced
    if exchange == "files":
        assert set(read) == ({0, 1} if is_balanced else {0, -1})
        # What begins or ends inside quotes isn't read in vain.
        assert is_balanced or read.count(0) < read.count(-1)
    if is_balanced:
        assert cut.digests() == whole.digests()
        assert cut.examples[f"{1:016x}"]["title"].count("\n") == 149
    counted = [version.manifest["sources"][0] for version in (cut, whole)]
    assert counted[0]["digest"] == counted[1]["digest"]
