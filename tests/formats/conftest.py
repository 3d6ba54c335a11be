"""A build in all formats of samples, beside Parquet."""

from collections.abc import Callable
from pathlib import Path

import pytest

from open_images.building import plan
from tests.builds import Version, run_build


@pytest.fixture(scope="session")
def build_of_samples(
    make_corpus: Callable[[str, int], Path], tmp_path_factory: pytest.TempPathFactory
) -> Version:
    """A version whose shards are made of several parts, with pictures, masks and maps."""
    corpus = make_corpus("v7", 30)
    flags = ["--annotations", corpus / "annotations", "--images", corpus / "images"]
    flags += ["--masks", corpus / "masks", "--mask_maps", "instance,semantic"]
    flags += ["--format", "parquet,webdataset,mds", "--num_shards", "2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "_BUCKET_IMAGES", 4)
        built = run_build(*flags, "--output", tmp_path_factory.mktemp("samples"))
    assert built.returncode == 0, built.stderr
    return built.version
