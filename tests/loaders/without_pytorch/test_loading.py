"""The page on loading: Keras, by TFDS."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.builds import run_build
from tests.loaders.snippets import run_sections


def test_keras(make_corpus: Callable[[str, int], Path], tmp_path: Path):
    corpus = make_corpus("v7", 60)
    done = run_build(
        *("--annotations", corpus / "annotations", "--images", corpus / "images"),
        *("--output", tmp_path / "demo" / "dataset", "--format", "parquet,tfrecord"),
    )
    assert done.returncode == 0, done.stderr
    with contextlib.chdir(tmp_path):
        names = run_sections("guide/loading.md", ["TFDS", "Keras"])
    (loss,) = names["history"].history["loss"]
    assert 0 < loss < 10
    vocabulary = names["numbers"].get_vocabulary()
    for example in names["examples"]:
        picture, truth = names["pair"](example)
        assert picture.shape == (224, 224, 3)
        row = done.version.examples[example["image_id"].numpy().decode()]
        by_people = [each for each in row["image_labels"] if each["source"] != "machine"]
        present = {each["label"] for each in by_people if each["confidence"] == 1}
        absent = {each["label"] for each in by_people if each["confidence"] == 0} - present
        for value, expected in ((1, present), (0, absent)):
            found = {vocabulary[number] for number in np.flatnonzero(truth == value)}
            assert found == expected
