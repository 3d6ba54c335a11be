"""How a build is cut."""

import pytest

from pipelines.plan import _count_buckets
from transforms.elements import Source


@pytest.mark.parametrize(
    ("images", "buckets"),
    [(100, 1), (1_000, 5), (3_000, 16), (30_000, 64), (100_000, 64), (1_000_000, 488)],
)
def test_buckets_are_enough_for_all_workers_and_large_where_they_are(images: int, buckets: int):
    table = Source(0, "images", "train-images.csv", 330 * images)
    assert _count_buckets([table], with_pictures=True) == buckets
    assert _count_buckets([table], with_pictures=False) <= buckets
