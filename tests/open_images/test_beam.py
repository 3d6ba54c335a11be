"""Steps of Beam: examples of a published version, and of published files, as Arrow batches."""

import tarfile
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to

import open_images
from tests.builds import Version, latest_version


@pytest.fixture(scope="module")
def corpus(make_corpus: Callable[[str, int], Path]) -> Path:
    return make_corpus("v7", 60)


@pytest.fixture(scope="module")
def output(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("read") / "output"
    open_images.build(
        annotations=corpus / "annotations",
        images=corpus / "images",
        masks=corpus / "masks",
        output=folder,
        num_shards=3,
        num_workers=1,
    )
    return folder


@pytest.fixture(scope="module")
def version(output: Path) -> Version:
    return latest_version(output)


def rows_of(batch: pa.RecordBatch) -> list[dict]:
    """The examples of a batch."""
    assert isinstance(batch, pa.RecordBatch)
    return batch.to_pylist()


def test_examples_of_a_split_are_read(output: Path, version: Version):
    expected = [each for each in version.table.to_pylist() if each["split"] == "train"]
    with beam.Pipeline(FnApiRunner()) as pipeline:
        batches = pipeline | open_images.ReadExamples(output, "train")
        assert_that(batches | beam.FlatMap(rows_of), equal_to(expected))


def test_columns_and_fields_of_all_splits_are_read(output: Path, version: Version):
    columns = ["image_id", "bboxes.list.element.label"]
    expected = [
        {
            "image_id": each["image_id"],
            "bboxes": [{"label": box["label"]} for box in each["bboxes"]],
        }
        for each in version.table.to_pylist()
    ]
    with beam.Pipeline(FnApiRunner()) as pipeline:
        batches = pipeline | open_images.ReadExamples(output, columns=columns)
        assert_that(batches | beam.FlatMap(rows_of), equal_to(expected))


def test_what_is_not_there_is_told_before_anything_runs(output: Path, tmp_path: Path):
    with pytest.raises(open_images.UsageError, match="did you mean train"):
        open_images.ReadExamples(output, "trian")
    with pytest.raises(open_images.UsageError, match=r"column 'bbox' is none of .*mean bboxes"):
        open_images.ReadExamples(output, "train", ["bbox"])
    with pytest.raises(open_images.UsageError, match=r"did you mean bboxes.list.element.label"):
        open_images.ReadExamples(output, "train", ["bboxes.list.element.labels"])
    with pytest.raises(open_images.UsageError, match="'bboxes' is one text: give a list"):
        open_images.ReadExamples(output, "train", "bboxes")
    with pytest.raises(open_images.VersionError, match="nothing is published there"):
        open_images.ReadExamples(tmp_path, "train")


@pytest.mark.parametrize("shares_folder", [False, True])
def test_examples_are_made_of_published_files(
    corpus: Path, version: Version, tmp_path: Path, shares_folder: bool
):
    work = {"work_folder": tmp_path} if shares_folder else {}
    with beam.Pipeline(FnApiRunner()) as pipeline:
        batches = pipeline | open_images.BuildExamples(
            annotations=corpus / "annotations",
            images=corpus / "images",
            masks=corpus / "masks",
            splits="train,val",
            **work,
        )
        expected = [row for row in version.table.to_pylist() if row["split"] != "test"]
        assert_that(batches | beam.FlatMap(rows_of), equal_to(expected))
    written = {path.name for path in tmp_path.glob("*/*")}
    assert written == ({"exchange", "progress", "journal"} if shares_folder else set())


def test_wrong_use_of_examples(corpus: Path, tmp_path: Path):
    flags = {"annotations": corpus / "annotations", "images": "none"}
    with pytest.raises(open_images.UsageError, match="give both, or neither"):
        open_images.BuildExamples(**flags, resize="shortest")
    with tarfile.open(tmp_path / "pictures.tar.gz", "w:gz") as archive:
        archive.add(corpus / "images")
    with pytest.raises(open_images.UsageError, match=r"--work_folder: .* has to be unpacked"):
        open_images.BuildExamples(**flags | {"images": tmp_path / "pictures.tar.gz"})
    with pytest.raises(TypeError, match="output"):
        open_images.BuildExamples(**flags, output=tmp_path)
