"""`wids`, which came with WebDataset up to 0.2: samples by their number."""

import json
from collections.abc import Callable
from pathlib import Path

import wids

from tests.builds import Build


def test_samples_by_number(
    make_corpus: Callable[[str, int], Path], run_build: Callable[..., Build], tmp_path: Path
):
    corpus = make_corpus("v7", 30)
    done = run_build(
        *("--annotations", corpus / "annotations", "--images", corpus / "images"),
        *("--output", tmp_path / "output", "--format", "webdataset,parquet", "--num_shards", "4"),
    )
    assert done.returncode == 0, done.stderr
    index = done.version.folder / "webdataset" / "train.json"
    rows = [each for each in done.version.examples.values() if each["split"] == "train"]
    # Else it copies shards to a cache of its own.
    dataset = wids.ShardListDataset(str(index), localname=str, transformations=[], keep=True)
    assert len(dataset) == len(rows)
    for number in (len(rows) - 1, 0, 7):
        sample, row = dataset[number], rows[number]
        assert sample["__key__"] == row["image_id"]
        assert sample["." + row["image"]["path"].split(".")[1]].read() == row["image"]["bytes"]
        assert json.load(sample[".json"])["image_id"] == row["image_id"]
