"""A small published version of several shards, and copies of it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builds import Build, Version, latest_version, run_build

IMAGES = 30


@pytest.fixture(scope="session")
def published(
    make_corpus: Callable[[str, int], Path], tmp_path_factory: pytest.TempPathFactory
) -> Build:
    """30 images in both formats, those of train in several shards; not to be changed."""
    corpus = make_corpus("v7", IMAGES)
    inputs = (f"--{name}={corpus / name}" for name in ("annotations", "images", "masks"))
    output = tmp_path_factory.mktemp("published")
    built = run_build(*inputs, "--output", output, "--shard_size", "512KiB")
    assert built.returncode == 0, built.stderr
    assert len(built.version.shards("train", "parquet")) > 1
    return built


@pytest.fixture
def copy(published: Build, tmp_path: Path) -> Version:
    """A copy to be spoiled."""
    shutil.copytree(published.output, tmp_path / "copy")
    return latest_version(tmp_path / "copy")
