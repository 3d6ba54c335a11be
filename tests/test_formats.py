"""Every program with every format that the registry has, alone and together."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from open_images.building import plan
from pipelines import verify, versions
from tests.builds import Version, latest_version
from tests.changing import Corpus, edit_row, name_new_label
from tests.releases import spoiling
from transforms.formats import described, jsonl
from transforms.formats.format import Content
from transforms.formats.registry import FORMATS, find_format
from transforms.formats.settings import DEFAULT_SETTINGS
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

IMAGES = 30


@pytest.fixture
def corpus(
    make_corpus: Callable[[str, int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Corpus:
    """A corpus of several buckets, whose parts are put together to shards."""
    monkeypatch.setattr(plan, "_BUCKET_IMAGES", 4)
    return Corpus(make_corpus("v7", IMAGES), tmp_path, "--shard_size", "1MiB")


@pytest.fixture
def check(capfd: pytest.CaptureFixture[str]) -> Callable[[Version], list[str]]:
    """Verifies a version in this process; its problems."""

    def check(version: Version) -> list[str]:
        code = verify.main([str(version.folder.parents[1]), "--num_workers", "1"])
        *problems, last = capfd.readouterr().out.splitlines()
        assert (code == 0) == (": whole; " in last) == (not problems)
        return problems[:-1] if problems else []

    return check


@pytest.mark.parametrize("form", FORMATS)
def test_a_format_alone(
    form: str, corpus: Corpus, check: Callable, capfd: pytest.CaptureFixture[str]
):
    """A build, and one more that takes over what hasn't changed; verified and compared."""
    corpus.flags += ("--format", form)
    built = corpus.build()
    before = built.version
    assert {
        s["format"] for split in before.manifest["splits"].values() for s in split["shards"]
    } == {form}
    code = find_format(form).loading_code(str(before.folder), DEFAULT_SETTINGS, "train")
    assert f"  {code}" in built.stdout.splitlines()
    assert check(before) == []
    edit_row(corpus, Random(0))
    has_loose_files = find_format(form).has_loose_files
    assert (corpus.build_again()["buckets"] > 1) != has_loose_files
    assert check(latest_version(corpus.output)) == []
    capfd.readouterr()
    command = [str(corpus.output), "diff", before.folder.name, "--images", "--num_workers", "1"]
    if has_loose_files:
        assert versions.main(command) == 2
        assert "build with --format parquet too" in capfd.readouterr().err
        return
    assert versions.main(command) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len([line for line in lines if re.fullmatch("changed train .{16} bboxes", line)]) == 1


def edit_lines(version: Version, edit: Callable[[list[bytes]], list[bytes]]) -> None:
    """Edits the first shard of train, and lets the manifest fit."""
    path = version.shards("train", "jsonl")[0]
    with gzip.open(path) as file:
        lines = edit([*file])
    path.write_bytes(gzip.compress(b"".join(lines)))
    spoiling.reseal(version, path)


def set_label(lines: list[bytes]) -> list[bytes]:
    row = json.loads(lines[0])
    row["image_labels"][0]["label"] = "/m/none"
    return [json.dumps(row).encode() + b"\n", *lines[1:]]


def without_label(lines: list[bytes]) -> list[bytes]:
    row = json.loads(lines[0])
    del row["image_labels"][0]
    return [json.dumps(row).encode() + b"\n", *lines[1:]]


def test_all_formats_together(corpus: Corpus, check: Callable):
    corpus.flags += ("--format", ",".join(FORMATS))
    version = corpus.build().version
    assert check(version) == []
    edit_lines(version, set_label)
    (problem,) = check(version)
    assert re.fullmatch(
        "train: image .{16} in jsonl isn't as in parquet: image_labels/label", problem
    )
    edit_lines(version, lambda lines: lines[1:])
    problem = check(version)[-1]
    others = " and ".join(form for form in FORMATS if form != "jsonl")
    assert re.fullmatch(f"train: image .{{16}} in {others} alone", problem)


LABELS = pa.schema(
    {"image_id": pa.string(), "image_labels": pa.list_(pa.struct({"label": pa.string()}))}
)


class LabelsWriter(jsonl.JsonLinesWriter):
    def write(self, table: pa.Table) -> None:
        rows = [
            {
                "image_id": row["image_id"],
                "image_labels": [{"label": each["label"]} for each in row["image_labels"] or ()],
            }
            for row in table.to_pylist()
        ]
        super().write(pa.Table.from_pylist(rows, LABELS))


class Labels(jsonl.JsonLines):
    """JSON Lines of the labels of images, and of nothing else."""

    is_partial = True

    def open_part(
        self, path: str, content: Content, options: ObjectOptions = files.DEFAULTS
    ) -> LabelsWriter:
        return LabelsWriter(path, content, options)

    def schema(self, content: Content) -> dict[str, str]:
        return described.describe(LABELS)


@pytest.fixture
def labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """`jsonl` is a format of some columns."""
    monkeypatch.setattr(jsonl, "FORMAT", Labels())


@pytest.mark.usefixtures("labels")
def test_a_format_of_some_columns_beside_others(corpus: Corpus, check: Callable):
    """It is held against them by its ImageIDs, and they against each other by everything."""
    corpus.flags += ("--format", ",".join(FORMATS))
    version = corpus.build().version
    assert check(version) == []
    edit_lines(version, set_label)
    assert check(version) == []
    edit_lines(version, lambda lines: lines[1:])
    problem = check(version)[-1]
    others = " and ".join(form for form in FORMATS if form != "jsonl")
    assert re.fullmatch(f"train: image .{{16}} in {others} alone", problem)


@pytest.mark.usefixtures("labels")
def test_a_format_of_some_columns_alone(
    corpus: Corpus, check: Callable, capfd: pytest.CaptureFixture[str]
):
    """Its annotations are counted, and versions are compared by what it holds."""
    corpus.flags += ("--format", "jsonl")
    before = corpus.build().version
    assert check(before) == []
    edit_row(corpus, Random(0))  # a box
    name_new_label(corpus, Random(0))
    assert corpus.build_again()["buckets"] > 1
    after = latest_version(corpus.output)
    assert check(after) == []
    capfd.readouterr()
    command = [str(corpus.output), "diff", before.folder.name, "--images", "--num_workers", "1"]
    assert versions.main(command) == 0
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("changed ")]
    (line,) = (line for line in lines if "image_labels" in line)
    assert re.fullmatch("changed train .{16} image_labels", line)
    edit_lines(after, without_label)
    assert check(after)[-1].startswith("image_labels: ")


@pytest.mark.usefixtures("labels")
def test_a_version_of_some_columns_beside_one_of_all(
    corpus: Corpus, capfd: pytest.CaptureFixture[str]
):
    flags = corpus.flags
    corpus.flags = (*flags, "--format", "jsonl")
    before = corpus.build().version.folder.name
    corpus.flags = (*flags, "--format", "parquet")
    after = corpus.build().version.folder.name
    assert versions.main([str(corpus.output), "diff", before]) == 2
    assert f"version {after} has no jsonl, and the other one has" in capfd.readouterr().err
