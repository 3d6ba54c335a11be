"""`datasets.load_dataset(OUTPUT)` gives the latest version, by the dataset card in the output."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import pytest

from pipelines import versions
from tests.builds import Build, run_build
from tests.emulators import S3Server
from tests.test_shards import write_tables
from transforms.releases import card, removal
from transforms.releases.output import Output
from transforms.storage import conditional, files, objects
from transforms.storage.objects import StorageError
from transforms.storage.stores import ObjectOptions

#: Images of the first and the second version.
FIRST, SECOND = ({"train": 30, "validation": 20}, {"train": 31, "validation": 20, "test": 5})


def build(tables: Path, output: object, images: dict[str, int], *more: object) -> Build:
    for path in tables.glob("*.csv"):
        path.unlink()
    write_tables(tables, images)
    return run_build("--annotations", tables, "--images", "none", "--output", output, *more)


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    return tmp_path / "tables"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions; not to be changed."""
    folder = tmp_path_factory.mktemp("published")
    for images in (FIRST, SECOND):
        built = build(folder / "tables", folder / "output", images)
        assert built.returncode == 0, built.stderr
    return folder / "output"


@pytest.fixture
def output(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "output"))


def names_of(output: Path) -> list[str]:
    return sorted(path.name for path in (output / "versions").iterdir())


def load(output: Path, folder: Path) -> dict[str, int]:
    """Splits and examples as a user gets them."""
    loaded = datasets.load_dataset(str(output), cache_dir=str(folder / "cache"))
    for split in loaded.values():
        assert len(set(split["image_id"])) == len(split)
    return {name: len(split) for name, split in loaded.items()}


def run(*arguments: object) -> int:
    return versions.main([*map(str, arguments)])


def test_it_gives_the_latest_alone(output: Path, tmp_path: Path):
    assert load(output, tmp_path) == SECOND
    first, second = names_of(output)
    assert run(output, "rollback", first) == 0
    assert load(output, tmp_path) == FIRST
    assert run(output, "rollback", second) == 0
    assert load(output, tmp_path) == SECOND
    assert run(output, "gc", "--keep", 1) == 0
    assert load(output, tmp_path) == SECOND


def test_it_streams_and_takes_a_split(output: Path):
    streamed = datasets.load_dataset(str(output), split="validation", streaming=True)
    assert sum(1 for _ in streamed) == SECOND["validation"]


def test_an_output_that_was_moved_or_is_named_otherwise(output: Path, tmp_path: Path):
    moved = tmp_path / "a b" / "it's moved"
    shutil.copytree(output, moved)
    shutil.rmtree(output)
    assert load(moved, tmp_path) == SECOND
    (tmp_path / "link").symlink_to(moved)
    assert load(tmp_path / "link", tmp_path) == SECOND


def test_without_parquet_it_says_what_to_do(output: Path, tables: Path, tmp_path: Path):
    built = build(tables, output, SECOND, "--format", "tfrecord")
    assert built.returncode == 0, built.stderr
    with pytest.raises(FileNotFoundError, match="no Parquet, build with --format parquet"):
        load(output, tmp_path)


def test_without_parquet_it_names_the_folder_of_hugging_face(output: Path, tables: Path):
    built = build(tables, output, SECOND, "--format", "huggingface")
    assert built.returncode == 0, built.stderr
    folder = built.version.folder.relative_to(output) / "huggingface"
    with pytest.raises(FileNotFoundError, match=f"--format parquet, or load {folder}"):
        datasets.load_dataset(str(output))


def test_a_readme_of_somebody_else_is_left_alone(tables: Path, tmp_path: Path):
    output = tmp_path / "output"
    output.mkdir()
    (output / "README.md").write_text("# Our own notes\n")
    for images in (FIRST, SECOND):
        assert build(tables, output, images).returncode == 0
    assert run(output, "rollback", names_of(output)[0]) == 0
    assert run(output, "gc", "--keep", 1) == 0
    assert (output / "README.md").read_text() == "# Our own notes\n"
    # One that was ours, and to which somebody has put other words, isn't ours any more.
    (output / "README.md").unlink()
    assert build(tables, output, FIRST, "--rebuild").returncode == 0
    ours = (output / "README.md").read_text()
    kept = "\n".join(line for line in ours.splitlines() if not line.startswith("<!--"))
    (output / "README.md").write_text(kept)
    assert build(tables, output, SECOND).returncode == 0
    assert (output / "README.md").read_text() == kept


def stop_before_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace

    def killed(source: str, target: str) -> None:
        if target.endswith("/README.md"):
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)


@pytest.mark.parametrize("mended_by", ["build", "gc", "rollback"])
def test_a_build_that_was_stopped_before_it_leaves_the_version_before(
    mended_by: str, output: Path, tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    third = {"train": 12}
    with monkeypatch.context() as patch:
        stop_before_the_card(patch)
        assert build(tables, output, third).returncode == 1
    latest = (output / "latest").read_text().strip()
    assert names_of(output)[-1] == latest
    assert load(output, tmp_path) == SECOND
    if mended_by == "build":
        again = build(tables, output, third)
        assert "unchanged" in again.stdout
    elif mended_by == "gc":
        # What the card names isn't removed before it names another.
        second = names_of(output)[1]
        with monkeypatch.context() as patch:
            patch.setattr(card, "write", lambda *_: None)
            assert not removal.remove(Output(str(output)), second, str(tmp_path))
            assert run(output, "gc", "--keep", 1) == 0
        assert names_of(output) == [second, latest]
        assert load(output, tmp_path) == SECOND
        assert run(output, "gc", "--keep", 1) == 0
        assert names_of(output) == [latest]
    else:
        assert run(output, "rollback", names_of(output)[0]) == 0
        assert load(output, tmp_path) == FIRST
        assert run(output, "rollback", latest) == 0
    assert load(output, tmp_path) == third


def test_a_card_that_can_not_be_written_fails_no_build(
    output: Path, tables: Path, monkeypatch: pytest.MonkeyPatch
):
    replace = os.replace

    def denied(source: str, target: str) -> None:
        if target.endswith("/README.md"):
            raise PermissionError(13, "Permission denied", target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", denied)
    built = build(tables, output, FIRST)
    assert (built.returncode, built.stderr) == (0, "")
    assert card.version_of((output / "README.md").read_bytes()) == names_of(output)[1]


def test_it_reads_as_a_card(output: Path):
    """What the Hub makes of it: metadata, and a text."""
    from huggingface_hub import DatasetCard

    read = DatasetCard.load(output / "README.md")
    version = (output / "latest").read_text().strip()
    (config,) = read.data.to_dict()["configs"]
    assert config["data_files"] == [
        {"split": split, "path": f"versions/{version}/parquet/{split}-*.parquet"}
        for split in SECOND
    ]
    assert "31 train, 20 validation, 5 test" in read.text
    assert all(len(line) <= 100 for line in read.text.splitlines())


def test_other_readers_do_not_mind(output: Path):
    """Those that look at all of an output."""
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.verify", output], check=False, capture_output=True
    )
    assert done.returncode == 0, done.stdout
    assert run(output, "list", "--report", "json") == 0


@pytest.fixture
def store(s3_server: S3Server, store_options: ObjectOptions) -> tuple[str, ObjectOptions]:
    s3_server.make_bucket("cards")
    return f"s3://cards/{os.urandom(4).hex()}", store_options


def test_in_a_store(
    store: tuple[str, ObjectOptions],
    tables: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """As a copy of it is loaded: written after `latest`, mended, and never over another's."""
    uri, options = store
    assert options.s3_endpoint_url is not None
    flags = ("--s3_endpoint_url", options.s3_endpoint_url)

    def named() -> str | None:
        return card.version_of(files.read_file(f"{uri}/README.md", options))

    def latest() -> str:
        return files.read_file(f"{uri}/latest", options).decode().strip()

    assert build(tables, uri, FIRST, *flags).returncode == 0
    first = latest()
    assert named() == first
    write = conditional.write

    def refuse(path: str, *others: object) -> bool:
        if path.endswith("/README.md"):
            raise StorageError("refused")
        return write(path, *others)

    with monkeypatch.context() as patch:
        patch.setattr(conditional, "write", refuse)
        assert build(tables, uri, SECOND, *flags).returncode == 0
    assert (named(), latest() == first) == (first, False)
    assert "unchanged" in build(tables, uri, SECOND, *flags).stdout
    assert named() == latest()
    assert run(uri, "rollback", first, *flags) == 0
    assert named() == latest() == first
    copy = tmp_path / "copy"
    for path in files.list_files(uri, options):
        target = copy / path.removeprefix(f"{uri}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(files.read_file(path, options))
    assert load(copy, tmp_path) == FIRST
    objects.upload(f"{uri}/README.md", b"# Ours\n", options)
    assert build(tables, uri, {"train": 3}, *flags).returncode == 0
    assert files.read_file(f"{uri}/README.md", options) == b"# Ours\n"
