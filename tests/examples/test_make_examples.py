"""Examples as batches of a pipeline are those that a build writes, and nothing is written."""

from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that

from open_images.building import graph, plan
from pipelines.cli import build_flags
from tests.builds import run_build
from transforms.kinds.registry import EXAMPLE

MAPS = ("--mask_maps", "instance,semantic")


@pytest.fixture(scope="module")
def inputs(make_corpus: Callable[[str, int], Path]) -> list[str]:
    corpus = make_corpus("v7", 20)
    paths = {name: corpus / name for name in ("annotations", "images", "masks")}
    return [text for name, path in paths.items() for text in (f"--{name}", str(path))]


@pytest.fixture(scope="module")
def written(inputs: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """The examples of a build."""
    output = tmp_path_factory.mktemp("built")
    built = run_build(*inputs, *MAPS, "--format", "parquet", "--output", output)
    assert built.returncode == 0, built.stderr
    return sorted_rows(built.version.table)


def sorted_rows(table: pa.Table) -> list[dict]:
    return table.sort_by("image_id").to_pylist()


@pytest.mark.parametrize("exchange", ["files", "engine"])
def test_they_are_those_of_a_build(
    inputs: list[str], written: list[dict], exchange: str, tmp_path: Path
):
    flags, _ = build_flags.parse(
        [*inputs, *MAPS, "--exchange", exchange, "--output", str(tmp_path / "none")]
    )
    work = tmp_path / "work"
    (work / "exchange").mkdir(parents=True)
    wanted = plan.make_plan(flags, str(work))
    vocabulary = plan.read_vocabulary(wanted.examples.sources)

    def check(batches: list[pa.RecordBatch]) -> None:
        assert all(batch.schema.equals(EXAMPLE, check_metadata=True) for batch in batches)
        assert all(len(set(batch["split"].to_pylist())) == 1 for batch in batches)
        table = pa.Table.from_batches(batches)
        assert sorted_rows(table) == written

    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        made = graph.define_examples(pipeline, wanted, vocabulary)
        # Kept until all are there, as a consumer may: none is overwritten meanwhile.
        kept = made.examples | beam.combiners.ToList()
        assert_that(kept | beam.FlatMap(lambda batches: batches), check)
        counted = made.counts | beam.Map(lambda count: (count.images, count.failed))
        assert_that(counted, lambda counts: check_sums(counts, 20), label="Counts")
    assert not (tmp_path / "none").exists()
    assert {path.name for path in work.iterdir()} <= {"exchange", "progress"}


def check_sums(counts: list[tuple[int, int]], images: int) -> None:
    assert [sum(column) for column in zip(*counts, strict=True)] == [images, 0]
