"""The library: builds in this process, and what is read of a published version."""

import asyncio
import inspect
import io
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from PIL import Image

import open_images
from open_images import reading
from pipelines.cli import build_flags
from tests.builds import latest_version
from tests.test_shards import write_tables
from transforms.formats.parquet.page_index import find_page
from transforms.releases import lease
from transforms.storage import files
from transforms.storage.stores import ObjectOptions


@pytest.fixture(scope="module")
def corpus(make_corpus: Callable[[str, int], Path]) -> Path:
    return make_corpus("v7", 60)


@pytest.fixture(scope="module")
def output(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published version, built by the library, one of whose pictures is missing."""
    images = tmp_path_factory.mktemp("images")
    pictures = sorted((corpus / "images").rglob("*.jpg"))
    for path in pictures[1:]:
        (images / path.name).symlink_to(path)
    folder = tmp_path_factory.mktemp("built") / "output"
    result = open_images.build(
        annotations=corpus / "annotations",
        images=[images],
        masks=corpus / "masks",
        output=folder,
        num_workers=1,
        max_failure_rate=0.1,
    )
    assert result.outcome.failures == {"missing": 1}
    return folder


@pytest.fixture(scope="module")
def dataset(output: Path) -> open_images.Dataset:
    return open_images.open_dataset(output)


def test_importing_it_is_cheap():
    code = (
        "import sys, open_images\n"
        "heavy = {'apache_beam', 'pyarrow', 'numpy', 'tensorflow', 'grpc', 'tqdm'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
        "assert 'open_dataset' in dir(open_images)\n"
        "assert not hasattr(open_images, 'nothing')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_of_its_names_are_there():
    for name in open_images.__all__:
        assert getattr(open_images, name).__doc__ or name == "__version__"


def test_a_build_takes_the_flags_of_the_command():
    keywords = inspect.signature(open_images.build).parameters
    flags = inspect.signature(build_flags.ProgramFlags).parameters
    assert keywords.keys() - flags.keys() == {"beam_arguments", "progress"}
    assert flags.keys() - keywords.keys() == {"dry_run", "report", "metrics_file"}
    assert all(flags[name].default == keywords[name].default for name in flags & keywords.keys())
    documented = open_images.build.__doc__
    assert all(f"    {name}: " in documented for name in keywords)


def test_a_build_in_a_thread_beside_a_running_loop(tmp_path: Path, capfd):
    """As in a notebook: nothing is printed, and the process stays as it was."""
    tables = write_tables(tmp_path / "tables", {"train": 30})
    state = (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    state += (logging.getLogger().handlers[:], logging.getLogger().filters[:])
    heard: list[open_images.Progress] = []

    def build() -> open_images.BuildResult:
        return open_images.build(
            annotations=tables,
            images="none",
            output=tmp_path / "out",
            format="parquet",
            progress=heard.append,
        )

    async def main() -> open_images.BuildResult:
        in_thread = await asyncio.to_thread(build)
        again = build()  # in the main thread, whose loop is running
        assert (again.version, again.is_unchanged) == (in_thread.version, True)
        return in_thread

    result = asyncio.run(main())
    version = latest_version(tmp_path / "out")
    assert (result.version, result.folder) == (version.folder.name, str(version.folder))
    assert result.manifest.fingerprint == version.manifest["fingerprint"]
    assert result.outcome.images == 30
    assert not result.is_unchanged
    assert {progress.label for progress in heard} <= {"reading 1 file", "building"}
    after = (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    assert state == (*after, logging.getLogger().handlers, logging.getLogger().filters)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"resize": "short"}, "argument --resize: invalid choice: 'short'"),
        ({"format": ["parket"]}, "did you mean parquet?"),
        ({"max_failure_rate": 2}, "argument --max_failure_rate: '2' is not a fraction"),
        ({"num_shards": 2, "shard_size": "1MiB"}, "--num_shards: not allowed with argument"),
        ({"rebuild": "yes"}, "argument --rebuild: 'yes' is neither True nor False"),
        ({"num_workers": 10**6}, "argument --num_workers: 1,000,000 is too many"),
        ({"annotations": "/nowhere"}, "--annotations /nowhere: no such file or folder"),
        ({"images": None}, "argument --images: None is no value"),
        ({"format": None}, "argument --format: None is no value"),
    ],
)
def test_wrong_use_raises(tmp_path: Path, flags: dict, words: str):
    given = {"annotations": tmp_path, "images": "none", "output": tmp_path / "out"} | flags
    with pytest.raises(open_images.UsageError, match=re.escape(words)):
        open_images.build(**given)
    assert not (tmp_path / "out").exists()


def test_keywords_are_those_of_the_signature():
    with pytest.raises(TypeError, match=r"build\(\): missing a required.* 'annotations'"):
        open_images.build(images="none", output="out")
    with pytest.raises(TypeError, match=r"build\(\): .*'imagse': did you mean images"):
        open_images.build(annotations="oid", imagse="none", output="out")
    with pytest.raises(TypeError, match=r"build\(\): too many positional arguments"):
        open_images.build("oid", images="none", output="out")


def test_losses_raise_and_nothing_is_published(tmp_path: Path):
    tables = write_tables(tmp_path / "tables", {"train": 3})
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / f"{999:016x}.jpg").touch()
    with pytest.raises(open_images.BuildError, match="nothing was published") as raised:
        open_images.build(
            annotations=tables, images=tmp_path / "images", output=tmp_path / "out", num_workers=1
        )
    error = raised.value
    ((cause, examples),) = error.causes
    assert "3 of 3 images failed" in cause
    assert "missing" in examples[0]
    assert error.outcome.failures == {"missing": 3}
    assert error.__cause__ is None
    assert not (tmp_path / "out" / "latest").exists()


def test_a_build_beside_another(tmp_path: Path, output: Path):
    tables = write_tables(tmp_path / "tables", {"train": 3})
    flags = {"annotations": tables, "images": "none", "output": str(tmp_path / "out")}
    with (
        lease.hold(flags["output"], 0, files.DEFAULTS, lambda _: None),
        pytest.raises(open_images.BusyError, match="another build is at work"),
    ):
        open_images.build(**flags)


def test_a_dataset_says_what_it_is(dataset: open_images.Dataset, output: Path):
    version = latest_version(output)
    assert dataset.version == version.folder.name
    assert dataset.manifest.fingerprint == version.manifest["fingerprint"]
    assert sum(dataset.splits.values()) == 59
    assert list(dataset.splits) == ["train", "validation", "test"]
    shown = repr(dataset)
    for word in (dataset.version, str(output), f"train {dataset.splits['train']}", "parquet"):
        assert word in shown


def test_its_classes_and_schema(dataset: open_images.Dataset):
    rows = dataset.classes.to_pylist()
    assert [row["index"] for row in rows] == list(range(1, len(rows) + 1))
    assert all(row["label"].startswith("/") for row in rows)
    assert any(row["parents"] for row in rows)
    assert dataset.schema.field("image").type.names == ["bytes", "path"]


def test_its_shards(dataset: open_images.Dataset):
    everything = dataset.shards("parquet")
    assert everything == [
        path for split in dataset.splits for path in dataset.shards("parquet", split)
    ]
    assert all(Path(path).is_file() for path in everything + dataset.shards("tfrecord", "val"))
    with pytest.raises(open_images.UsageError, match="did you mean parquet"):
        dataset.shards("parket")
    with pytest.raises(open_images.UsageError, match="did you mean train"):
        dataset.shards("parquet", "trian")


def test_each_image_by_its_id(dataset: open_images.Dataset, output: Path):
    examples = latest_version(output).examples
    assert len(examples) == 59
    for image_id, example in list(examples.items())[::7]:
        assert dataset.image(image_id) == example


def test_of_pictures_one_page_is_read(dataset: open_images.Dataset):
    """As a store counts bytes: those of the ids, the annotations, and a few pictures."""
    (path, *_) = dataset.shards("parquet", "train")
    with reading.opened(path, ObjectOptions()) as shard:
        image_id = shard.read_row_group(0, ["image_id"])["image_id"][-1].as_py()
        column = shard.metadata.row_group(0).column(2)
        size = os.path.getsize(path)
        assert column.path_in_schema == "image.bytes"
        last = shard.metadata.row_group(0).num_rows - 1
        with open(path, "rb") as file:
            page = find_page(file, size, shard.metadata, 0, 2, last)
    assert page.size < column.total_compressed_size / 2
    with open(path, "r+b") as file:
        before = file.read()
        file.seek(column.data_page_offset)
        file.write(bytes(page.start - column.data_page_offset))  # all pages before that one
    try:
        example = dataset.image(image_id)
        assert Image.open(io.BytesIO(example["image"]["bytes"])).width == example["width"]
    finally:
        Path(path).write_bytes(before)


def test_an_image_that_failed_is_among_the_failures(dataset: open_images.Dataset):
    (Path(dataset.folder) / "failures" / ".DS_Store").touch()  # as systems leave
    (row,) = dataset.failures().to_pylist()
    (Path(dataset.folder) / "failures" / ".DS_Store").unlink()
    assert row["reason"] == "missing"
    with pytest.raises(KeyError, match="no such image"):
        dataset.image(row["image_id"])
    with pytest.raises(KeyError, match="no such image"):
        dataset.image("cat.jpg")
    with pytest.raises(TypeError, match="5 is no text"):
        dataset.image(5)  # pyrefly: ignore


def test_a_version_is_verified(dataset: open_images.Dataset, output: Path):
    heard: list[open_images.Progress] = []
    found = open_images.verify(output, progress=heard.append)
    assert (found.version, found.is_whole, found.problems) == (dataset.version, True, [])
    assert (found.account.examples, found.account.pictures) == (59, 59)
    assert heard[-1].done == heard[-1].total > 0
    shard = Path(dataset.shards("parquet", "test")[0])
    whole = shard.read_bytes()
    shard.unlink()
    try:
        assert not open_images.verify(output, sample=0).is_whole
    finally:
        shard.write_bytes(whole)


def test_pictures_are_downloaded_by_a_list(corpus: Path, tmp_path: Path):
    paths = sorted((corpus / "images").rglob("*.jpg"))[:3]
    lines = [f"train/{path.stem}" for path in paths]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    flags = {"output": tmp_path / "out", "image_list": tmp_path / "list.txt"}
    (said,) = open_images.download(**flags, images=[corpus / "images"])
    assert said == "3 pictures downloaded, 0 were there, 0 missing, 0 failed"
    assert len(list((tmp_path / "out" / "images" / "train").iterdir())) == 3
    with pytest.raises(open_images.UsageError, match="did you mean boxes"):
        open_images.download(output=tmp_path, kinds="box")
    (tmp_path / "list.txt").write_text(f"train/{'f' * 16}")
    with pytest.raises(open_images.DownloadError, match="check the list and --images"):
        open_images.download(**flags, images=[corpus / "images"])
    listed = open_images.download(output=tmp_path, kinds="boxes", splits="val", list=True)
    assert "validation-annotations-bbox.csv" in "\n".join(listed)


def test_there_is_no_such_version(output: Path, tmp_path: Path):
    with pytest.raises(open_images.VersionError, match="has no version 1"):
        open_images.open_dataset(output, "1")
    with pytest.raises(open_images.VersionError, match="nothing is published there"):
        open_images.open_dataset(tmp_path)
    (tmp_path / "versions" / "half").mkdir(parents=True)
    (tmp_path / "latest").write_text("half\n")
    with pytest.raises(open_images.VersionError, match=r"version half: manifest.json: is missing"):
        open_images.open_dataset(tmp_path)


def test_an_image_is_found_among_many_shards_and_row_groups(tmp_path: Path):
    tables = write_tables(tmp_path / "tables", {"train": 300, "test": 40})
    result = open_images.build(
        annotations=tables, images="none", output=tmp_path / "out", num_shards=7, num_workers=1
    )
    dataset = open_images.open_dataset(tmp_path / "out", result.version)
    examples = latest_version(tmp_path / "out").examples
    assert len(dataset.shards("parquet", "train")) == 7
    for image_id in list(examples)[::23]:
        assert dataset.image(image_id) == examples[image_id]


#: Waits for another build, and prints what it logs.
WAITING = """
import logging, signal, sys, open_images
signal.signal(signal.SIGINT, signal.default_int_handler)  # which programs in the background lack
logging.basicConfig(level=logging.ERROR, format="%(message)s", stream=sys.stdout)
logging.getLogger("open_images").setLevel(logging.INFO)
open_images.build(annotations=sys.argv[1], images="none", output=sys.argv[2], wait=100)
"""


def test_an_interrupt_ends_the_build_in_order(tmp_path: Path):
    tables = write_tables(tmp_path / "tables", {"train": 3})
    output = tmp_path / "out"
    command = [sys.executable, "-c", WAITING, str(tables), str(output)]
    with lease.hold(str(output), 0, files.DEFAULTS, lambda _: None):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert "waiting for another build" in process.stdout.readline()
        (build,) = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert errors.splitlines()[-1] == "KeyboardInterrupt"
    assert not build.is_running()
    assert not (output / "latest").exists()


def test_a_build_that_is_killed_is_an_error(tmp_path: Path):
    tables = write_tables(tmp_path / "tables", {"train": 3})
    output = tmp_path / "out"

    class Killer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            for process in psutil.Process().children():
                if "open_images.building.child" in process.cmdline():
                    process.kill()

    logger, killer = logging.getLogger("open_images.building"), Killer()
    logger.addHandler(killer)
    logger.setLevel(logging.INFO)
    try:
        with (
            lease.hold(str(output), 0, files.DEFAULTS, lambda _: None),
            pytest.raises(open_images.BuildError, match="ended with code -9"),
        ):
            open_images.build(annotations=tables, images="none", output=output, wait=100)
    finally:
        logger.removeHandler(killer)
        logger.setLevel(logging.NOTSET)
