"""Building again: at no cost where nothing has changed, and for certain where something has."""

import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from open_images.building import fingerprint
from open_images.building.inputs import find_sources
from tests.builds import Build, latest_version, run_build
from tests.changing import overwrite_alike, replace_alike
from transforms.kinds.registry import TABLES
from transforms.storage.stores import ObjectOptions


class Corpus:
    """A copy of inputs that a test may change, and the builds of it."""

    def __init__(self, folder: Path, original: Path) -> None:
        self.folder = folder
        self.output = folder / "output"
        self.flags: tuple[str, ...] = ("--format", "parquet")
        for name in ("annotations", "images"):
            shutil.copytree(original / name, folder / name)

    def build(self) -> Build:
        inputs = ("--annotations", self.folder / "annotations", "--images", self.folder / "images")
        return run_build(*inputs, "--output", self.output, *self.flags)

    @property
    def table(self) -> Path:
        return self.folder / "annotations" / "test-annotations-bbox.csv"

    @property
    def picture(self) -> Path:
        return min((self.folder / "images").rglob("*.jpg"))


@pytest.fixture
def corpus(make_corpus: Callable[[str, int], Path], tmp_path: Path) -> Corpus:
    """A corpus of which a version is published."""
    made = Corpus(tmp_path, make_corpus("v7", 12))
    built = made.build()
    assert built.returncode == 0, built.stderr
    return made


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def test_nothing_has_changed(corpus: Corpus):
    version = latest_version(corpus.output)
    touch(corpus.table)  # as a copy or another download of the same would
    shutil.move(corpus.folder / "annotations", corpus.folder / "elsewhere")
    shutil.copytree(corpus.folder / "elsewhere", corpus.folder / "annotations")
    corpus.flags += ("--num_workers", "2", "--chunk_size", "4096")
    built = corpus.build()
    assert built.returncode == 0, built.stderr
    assert built.stdout == (
        f"unchanged: {version.folder} was built from these inputs with these flags; --rebuild "
        "builds it again\n"
    )
    assert [*(corpus.output / "versions").iterdir()] == [version.folder]
    assert sorted(path.name for path in corpus.output.iterdir()) == [
        "README.md",
        "latest",
        "versions",
    ]


def edit_in_place(corpus: Corpus) -> None:
    """As long as before, and with the times of change as before."""
    status = corpus.table.stat()
    lines = corpus.table.read_text().splitlines(keepends=True)
    corpus.table.write_text("".join([lines[0], *reversed(lines[1:])]))
    os.utime(corpus.table, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert corpus.table.stat().st_size == status.st_size


def add_flag(corpus: Corpus) -> None:
    corpus.flags += ("--shard_size", "1MiB")


def ask(corpus: Corpus) -> None:
    corpus.flags += ("--rebuild",)


CHANGES: dict[str, Callable[[Corpus], object]] = {
    "a table is edited in place": edit_in_place,
    "a table has gone": lambda corpus: corpus.table.unlink(),
    "a picture is written anew": lambda corpus: touch(corpus.picture),
    "a picture is replaced by one of its size and time": lambda corpus: replace_alike(
        corpus.picture
    ),
    "a picture has another name": lambda corpus: corpus.picture.rename(
        corpus.picture.with_suffix(".JPG")
    ),
    "another flag": add_flag,
    "a shard has gone": lambda corpus: (
        latest_version(corpus.output).shards("train", "parquet")[0].unlink()
    ),
    "there is no latest": lambda corpus: (corpus.output / "latest").unlink(),
    "it is asked for": ask,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_something_has_changed(corpus: Corpus, change: Callable[[Corpus], object]):
    before = latest_version(corpus.output).folder
    change(corpus)
    built = corpus.build()
    assert built.returncode == 0, built.stderr
    assert built.version.folder != before
    built.version.assert_whole()


@pytest.mark.parametrize("change", [replace_alike, overwrite_alike])
def test_archives_and_folders_of_their_size_and_time_are_others(
    change: Callable[[Path], None], tmp_path: Path
):
    packed = [tmp_path / "pictures.tar", tmp_path / "pictures.zip"]
    with tarfile.open(packed[0], "w"), zipfile.ZipFile(packed[1], "w"):
        pass
    in_folder = tmp_path / "folder/0123456789abcdef.jpg"
    in_folder.parent.mkdir()
    in_folder.write_bytes(b"picture")

    def digests() -> list[str]:
        images = [str(path) for path in (*packed, in_folder.parent)]
        _, sources, _ = find_sources([], images, [], ObjectOptions())
        return [source.digest for source in fingerprint.identify(sources, None)]

    before = digests()
    assert digests() == before
    for path in (*packed, in_folder):
        change(path)
    assert not {*digests()} & {*before}


def test_another_revision_of_the_output(corpus: Corpus, monkeypatch: pytest.MonkeyPatch):
    """As a release has it after one that wrote other bytes."""
    before = latest_version(corpus.output).folder
    monkeypatch.setattr(fingerprint, "OUTPUT_REVISION", 0)
    built = corpus.build()
    assert built.version.folder != before
    assert "taken over" not in built.stdout


def test_another_column_of_examples(corpus: Corpus, monkeypatch: pytest.MonkeyPatch):
    """As a release has it after one that knew a kind of annotation less."""
    before = latest_version(corpus.output).folder
    columns = fingerprint.EXAMPLE.append(pa.field("more", pa.string()))
    monkeypatch.setattr(fingerprint, "EXAMPLE", columns)
    built = corpus.build()
    assert built.version.folder != before
    assert "taken over" not in built.stdout


def test_only_files_with_another_stamp_are_read(corpus: Corpus, monkeypatch: pytest.MonkeyPatch):
    touch(corpus.table)
    read = []
    checksum_file = fingerprint.checksum_file

    def checksum(path: str, stamp: str) -> str:
        read.append(Path(path).name)
        return checksum_file(path, stamp)

    monkeypatch.setattr(fingerprint, "checksum_file", checksum)
    assert corpus.build().stdout.startswith("unchanged: ")
    assert read == [corpus.table.name]


def test_a_first_build_takes_checksums_in_passing(
    make_corpus: Callable[[str, int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    corpus = Corpus(tmp_path, make_corpus("v7", 12))
    (corpus.folder / "annotations" / "train-annotations-bbox.csv").write_text(
        corpus.table.read_text().partition("\n")[0] + "\n"
    )
    read = []
    checksum_file = fingerprint.checksum_file

    def checksum(path: str, stamp: str) -> str:
        read.append(path)
        return checksum_file(path, stamp)

    monkeypatch.setattr(fingerprint, "checksum_file", checksum)
    built = corpus.build()
    assert built.returncode == 0, built.stderr
    sources = [source for source in built.version.manifest["sources"] if source["stamp"]]
    assert {source["path"]: source["digest"] for source in sources} == {
        source["path"]: checksum_file(source["path"], source["stamp"]) for source in sources
    }
    ahead = {source["kind"] for source in sources if source["path"] in read}
    assert ahead & TABLES.keys() == {"boxes"}  # that of the file without a row
