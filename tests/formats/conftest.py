"""A build in all formats of samples, beside Parquet."""

from collections.abc import Callable
from pathlib import Path

import pytest

from open_images.building import plan
from tests.builds import Version, build_corpus


@pytest.fixture(scope="session")
def build_of_samples(
    make_corpus: Callable[[str, int], Path], tmp_path_factory: pytest.TempPathFactory
) -> Version:
    """A version whose shards are made of several parts, with pictures, masks and maps."""
    corpus = make_corpus("v7", 30)
    flags = ["--mask_maps", "instance,semantic", "--format", "parquet,webdataset,mds"]
    flags += ["--num_shards", "2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "_BUCKET_IMAGES", 4)
        return build_corpus(corpus, tmp_path_factory.mktemp("samples"), *flags)
